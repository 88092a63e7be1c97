/* What the tender, which makes a host process ready, and the kernel inside it tell each other.
 * The kernel file carries a note that says where it is entered; the tender hands over one struct.
 */
#pragma once

/** Bytes of the stack that handlers run on. */
#define HOSTED_SIGNAL_STACK 32768
/** What a CPU besides the first has: that, and behind it a small stack to wait on for its start. */
#define HOSTED_CPU_STACKS (HOSTED_SIGNAL_STACK + 4096)

#ifndef __ASSEMBLER__
#include "abi/patch.h"
#include "lib/types.h"

/** Name and type of the ELF note; its description is a struct hosted_note. */
#define HOSTED_NOTE_NAME "Ingot"
enum { HOSTED_NOTE_TYPE = 1 };

/** Offsets from the image's first byte. */
struct hosted_note {
    u64 entry;      /* gets the struct hosted_boot in RDI; any stack */
    u64 stub_start; /* the only code that may make host system calls ... */
    u64 stub_end;   /* ... up to here */
    u64 on_signal;  /* handler of all signals, with SA_SIGINFO | SA_ONSTACK | SA_NODEFER */
    u64 restorer;
    u64 signal_stack; /* a stack for handlers: lowest byte ... */
    u64 signal_stack_size;
    u64 cpu_entry; /* a CPU besides the first gets its struct hosted_cpu in RDI, on its small stack
                    */
    u64 hot_start, hot_end; /* whole pages of data, all of which a start writes to */
};

/** A run of the kernel's physical addresses, and what is behind it. */
struct hosted_region {
    u64 pa, len; /* whole pages */
    u64 offset;  /* in the file */
    s32 fd;      /* -1, of memory: it has no file */
    u32 shared;  /* memory that the kernel owns; else a file, of which only copies are written */
};

enum {
    HOSTED_MAGIC = 0x746f6749,
    HOSTED_VERSION = 9,
    HOSTED_MAX_REGIONS = 24,
    HOSTED_MAX_CPUS = 64,
    HOSTED_SEED = 32,
    HOSTED_FIRST_PA = 8192,      /* memory for general use, */
    HOSTED_ARRAY_PA = 256 << 10, /* and behind the first of it the array of pages */
    HOSTED_PAGE_INFO = 40,       /* bytes of that array a page */
};

/* A process has 47 bits of addresses.  Above the program's comes, at a random place, all that is
 * ours, side by side because each page of the host's page tables costs as much as one of memory:
 * the kernel's mappings, the devices' window, the kernel, all memory and the layers.  What Linux
 * puts into every process is higher still; the tender lies low, in the program's part. */
#define HOSTED_ZONE_PROGRAM  0x600000000000ull
#define HOSTED_ZONE_OURS     0x610000000000ull
#define HOSTED_VMAP_SIZE     0x008000000000ull
#define HOSTED_PLACE_ALIGN   0x000000200000ull
#define HOSTED_KERNEL_ALIGN  0x000000010000ull /* what the host maps around a page of a file */
#define HOSTED_MEMORY_OFFSET 0x000000180000ull /* of its beginning, from HOSTED_PLACE_ALIGN */

/** Where the kernel lies for a debugger, which asks for places that stay. */
#define HOSTED_DEBUGGED_KERNEL 0x700000000000ull

/** Where physical address 0 is to be, chosen by @random; the kernel ends there, or up to
 * HOSTED_KERNEL_ALIGN before.  What a start uses of both, and the first stacks before them, are in
 * one page of the host's page tables. */
static inline u64 hosted_memory_at(u64 random)
{
    return HOSTED_ZONE_OURS + 2 * HOSTED_VMAP_SIZE + (random & 0x7fffff) * HOSTED_PLACE_ALIGN +
           HOSTED_MEMORY_OFFSET;
}

/** The physical address of the first layer, behind @ram_len bytes of memory; it begins a page of
 * the host's page tables. */
static inline u64 hosted_layers_at(u64 ram_len)
{
    return ALIGN_UP(ram_len, HOSTED_PLACE_ALIGN) + HOSTED_PLACE_ALIGN - HOSTED_MEMORY_OFFSET;
}

/** Bits of hosted_boot.features. */
enum {
    HOSTED_FSGSBASE = 1,  /* segment bases can be written without a call */
    HOSTED_TTY = 2,       /* streams 0 and 1 are the program's terminal */
    HOSTED_RELOCATED = 4, /* the image's addresses are true already */
};

/** Signals that the host sends us. */
enum {
    HOSTED_SIG_TIMER = 14,
    HOSTED_SIG_STOP = 15,
    HOSTED_SIG_KICK = 16, /* one CPU to another: look at your pending word, */
    HOSTED_SIG_HALT = 17, /* or tell where you are */
    HOSTED_SIG_TICK = 27, /* another HOSTED_TICK_US of CPU time are used up */
};
enum { HOSTED_TICK_US = 10000 };

/* What the runner knows of the CPU, from a file of its own.  It costs CPUIDs, which take
 * microseconds each where the host is a VM itself, and a measurement. */
struct hosted_facts {
    u32 magic;   /* HOSTED_MAGIC */
    u32 version; /* HOSTED_FACTS_VERSION */
    u64 tsc_khz; /* 0: not known */
    struct cpuid_table cpuids;
};
enum { HOSTED_FACTS_VERSION = 1 };

/** A CPU: a thread of the sandbox. */
struct hosted_cpu {
    u64 start; /* [A] the kernel's: its struct cpu; until then the thread waits */
    s32 tid;
    u32 waits; /* [A] it has come so far */
};
static_assert(offsetof(struct hosted_cpu, waits) == 12, "entry.S knows it");

/* The kernel copies it: the tender may lie where the program has its memory later. */
struct hosted_boot {
    u32 magic, version;
    u64 kernel_base; /* address of the image's first byte; text RX, constants RW, data RW */
    u64 floor;       /* the program may have what lies below */
    u64 direct_base; /* address of physical address 0 */
    u64 vmap_base, vmap_size; /* for mappings of the kernel's own */
    u64 ram_len;              /* physical memory from 0 on; pages 0 and 1 are not for general use */
    u64 head_len; /* so much of it is private, not the file's, until somebody shares it */
    u64 rest_pa;  /* memory from there on is mapped at its first use; 0: it is mapped */
    u64 initrd_pa, initrd_len; /* the layers, one behind the other, mapped already */
    u64 kernel_pa;             /* what the image's first byte counts as */
    u64 cmdline;               /* address of the text; NUL-terminated */
    u64 wall_ns;               /* since 1970 */
    u64 cpuids;                /* address of a struct cpuid_table, which may be empty */
    u8 seed[HOSTED_SEED];
    u32 features;
    u32 file_streams; /* bit n: stream n is a file, which never makes anybody wait */
    s32 log_fd;
    s32 timer_id; /* with several CPUs, the first one's; the others' follow */
    u32 nr_regions;
    u32 nr_devices; /* of the window; 0: there is no device process */
    u64 window;     /* address of the window (abi/window.h), whose CPUs' words lie in page 0; not
                     * mapped yet where memory is private: a network that nobody has used */
    s32 irq_fd;     /* a byte comes when a CPU that waits must look; ends with the device process */
    s32 operator_fd; /* a socket: the operator's line; 0 for none */
    s32 doorbell_fd; /* of the first device; the others' follow */
    struct hosted_region regions[HOSTED_MAX_REGIONS]; /* memory first */
    u64 cpu_stacks;          /* HOSTED_CPU_STACKS for each CPU from the second on */
    struct hosted_cpu *cpus; /* with several; the first one's tid is the process's number */
    u32 nr_cpus;
};
#endif
