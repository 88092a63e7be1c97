/* The part of a CPU's own data that entry.S knows (GS base points at it), and the instructions
 * that C has no word for. */
#pragma once

#define CPU_CURRENT  8
#define CPU_KSTACK   16
#define CPU_USER_RSP 24
#define CPU_PENDING  32
#define CPU_PANIC    40

#ifndef __ASSEMBLER__
#include "lib/types.h"

struct thread;

/* [C] own CPU only, [I] fixed once the CPU runs, [A] atomic. */
struct arch_cpu {
    struct arch_cpu *self; /* [I] */
    struct thread *thread; /* [C] the running one; `current` is its macro */
    void *kstack_top;      /* [C] end of current's kernel stack */
    u64 user_rsp;          /* [C] scratch of the system-call entry */
    u32 pending;           /* [A] bits of work that waits for a safe point; see core/irq.h */
    u32 id;                /* [I] 0, 1, ... */
    void *panic_stack_top; /* [I] for a panic whose own stack has run over */
    void *vector_owner;    /* [C] the arch_thread whose vector state the registers hold */
    u64 process_fs;        /* [C] what the host was told last, which is dear to ask */
};

static_assert(offsetof(struct arch_cpu, pending) == CPU_PENDING, "entry.S knows it");
static_assert(offsetof(struct arch_cpu, panic_stack_top) == CPU_PANIC, "entry.S knows it");
static_assert(offsetof(struct arch_cpu, kstack_top) == CPU_KSTACK, "entry.S knows it");

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}
static inline void outb(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outw(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outl(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline u8 inb(u16 port)
{
    u8 v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline u16 inw(u16 port)
{
    u16 v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline u32 inl(u16 port)
{
    u32 v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};
static inline struct cpuid_regs cpuid(u32 leaf, u32 sub)
{
    struct cpuid_regs r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(sub));
    return r;
}
#endif
