/* Data of each CPU.  GS base points at the running CPU's; there is no swap on kernel entry.
 * Kernel code is never preempted, so what this_cpu() returned stays right until the thread sleeps.
 */
#pragma once

#include "arch/cpu.h"
#include "core/spinlock.h"

struct runqueue;
struct pheap_node;
struct plat_as;
struct timer;
struct page_cpu;
struct heap_cpu;
struct mm;

enum { MAX_CPUS = 64 };

/* [C] own CPU only, [I] fixed once the CPU runs, [A] atomic. */
struct cpu {
    struct arch_cpu arch;          /* first: entry.S finds it at GS:0 */
    struct thread *idle;           /* [I] set by sched */
    struct runqueue *rq;           /* [I] set by sched */
    struct plat_as *as;            /* [C] the address space it runs in; the platform's */
    struct pheap_node *timer_heap; /* [T] by .timer_lock; see timer.c */
    struct timer *timer_running;   /* [T] */
    u64 timer_armed_ns;            /* [C] deadline given to the hardware, UINT64_MAX: none */
    struct spinlock timer_lock;    /* T */
    u32 apic_id;                   /* [I] of the platform */
    struct page_cpu *pages;        /* [I] set by mm: free pages of this CPU */
    struct heap_cpu *heap;         /* [I] set by mm: free objects of this CPU */
    struct mm *mm;                 /* [C] set by mm: the address space it translates by, or NULL */
    u64 next_touch;                /* [C] of mm: the page after the one that was touched last */
    u64 stat_irqs;                 /* [C] hardware interrupts taken */
};

/* An input of the reads below that any call may change: the compiler may keep a result between two
 * calls, but not across one, which may sleep and go on elsewhere. */
extern char percpu_reads;

/** The running CPU. */
static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    __asm__("movq %%gs:0, %0" : "=r"(c) : "m"(percpu_reads));
    return c;
}

/** Its number; one load, since it is asked for some twenty times a request. */
static inline u32 cpu_id(void)
{
    u32 id;
    __asm__("movl %%gs:36, %0" : "=r"(id) : "m"(percpu_reads));
    return id;
}
static_assert(offsetof(struct arch_cpu, id) == 36, "cpu_id()");

/** The running thread.  NULL until sched_init. */
static inline struct thread *current_thread(void)
{
    struct thread *t;
    __asm__("movq %%gs:8, %0" : "=r"(t) : "m"(percpu_reads));
    return t;
}
#define current (current_thread())

/** The frame through which the running program thread entered the kernel. */
static inline struct trap_frame *current_frame(void)
{
    char *top;
    __asm__("movq %%gs:16, %0" : "=r"(top) : "m"(percpu_reads));
    return (struct trap_frame *)(void *)(top - 176);
}

/** All CPUs; those at cpu_count and after do not exist.  Whole, run queue and lists of memory
 * included, before cpu_count counts them. */
extern struct cpu *cpus[MAX_CPUS];
extern u32 cpu_count;

/** One bit a CPU that runs: only those take kicks and get work.  [A] */
extern u64 cpus_online;

/** Each CPU there is, as @cpu, with its number @i. */
#define cpu_for_each(cpu, i) for (u32 i = 0; i < cpu_count && ((cpu) = cpus[i]); i++)

/** Each CPU number @i in the set @mask. */
#define cpu_for_each_in(i, mask)                                                                   \
    for (u64 i##_left = (mask), i; i##_left && (i = (u64)__builtin_ctzll(i##_left), true);         \
         i##_left &= i##_left - 1)

/** A mask of CPU @id alone. */
static inline u64 cpu_bit(u32 id)
{
    return 1ull << id;
}
/** Does it run, and take interrupts? */
static inline bool cpu_is_online(u32 id)
{
    return __atomic_load_n(&cpus_online, __ATOMIC_ACQUIRE) >> id & 1;
}
