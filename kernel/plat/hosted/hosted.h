/* What the files of plat/hosted share: the kernel in a process of a host, without privileges.
 * The host is reached through the stub alone; its filter lets nothing else pass. */
#pragma once

#include "abi/hosted.h"
#include "core/percpu.h"
#include "plat/plat.h"

struct siginfo64;
struct trap_frame;
struct ucontext64;

/* Numbers of the host's calls that the filter of host/tender lets pass (x86-64). */
enum {
    HOST_READ = 0,
    HOST_WRITE = 1,
    HOST_MMAP = 9,
    HOST_MPROTECT = 10,
    HOST_MUNMAP = 11,
    HOST_MREMAP = 25,
    HOST_MADVISE = 28,
    HOST_SETITIMER = 38,
    HOST_GETRUSAGE = 98,
    HOST_ARCH_PRCTL = 158,
    HOST_TIMER_SETTIME = 223,
    HOST_EXIT_GROUP = 231,
    HOST_TGKILL = 234,
    HOST_PPOLL = 271,
    HOST_MEMBARRIER = 324,
};

enum { HOST_DONTNEED = 4, HOST_ITIMER_REAL = 0 }; /* of madvise, of setitimer */

struct host_pollfd {
    s32 fd;
    s16 events, revents;
};

extern const struct hosted_boot *const hosted_boot; /* [I] */

/* What a CPU does while it has nothing to do. */
enum { REST_NONE, REST_LOOKS, REST_SLEEPS };

/* A CPU of ours.  [C] own CPU only, [A] atomic. */
struct hosted_vcpu {
    struct cpu cpu; /* first */
    u32 depth;      /* [C] handlers whose frame is not made: a fault in one is a broken stack */
    u32 rest;       /* [A] REST_*: one that looks at its pending word needs no signal */
    u32 kicked;     /* [A] a signal is on its way: another would only fill the handlers' stack */
    u64 spin_ns;    /* [C] how long to look before the next sleep */
};

/** Of the CPU that runs this. */
static inline struct hosted_vcpu *this_vcpu(void)
{
    return (struct hosted_vcpu *)(void *)this_cpu();
}

/* entry.S */

/** A call to the host; its result. */
long host_call(long nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
/** ppoll without limit of time, unless something is pending on this CPU: then -EINTR at once. */
long host_wait(struct host_pollfd *fds, u64 count, const void *timeout);
/** Leave the signal's stack for good and handle what @frame, at its place already, was made of;
 * @fpstate is where the host saved the vector registers. */
_Noreturn void hosted_enter_trap(struct trap_frame *frame, u64 addr, u64 fpstate);
_Noreturn void hosted_enter_call(struct trap_frame *frame, u64 addr, u64 fpstate);
_Noreturn void hosted_enter_exit(struct trap_frame *frame, u64 addr, u64 fpstate);
extern char host_wait_check[], host_wait_call[], host_wait_skip[], hosted_restorer[];
extern char hosted_park_check[], hosted_park_call[];

/* cold.c */
/** Make the image's addresses true: it was linked @delta bytes below where it is.  First of all.
 * @done: whoever made the file has done so. */
void hosted_relocate(u64 delta, bool done);
/** A fault at @addr was one of constants that nobody had looked at yet: they are there now. */
bool hosted_relocate_cold(u64 addr);

/* memory.c */
void hosted_memory_init(void);
/** Somebody else is about to look at our memory: all of it is the file's from here on. */
void hosted_share_head(void);
/** A fault at @addr was of memory, or of the devices' window, that nobody had used yet: it is there
 * now. */
bool hosted_map_rest(u64 addr);
/** The time that programs read is another. */
void hosted_vdso_changed(void);
/* What struct plat_ops has under these names (plat/plat.h). */
int hosted_map_page(struct plat_as *as, u64 va, u64 pa, u32 prot);
u32 hosted_map_around(struct plat_as *as, u64 va, u64 pa, u32 n, u32 prot);
int hosted_map(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot);
int hosted_replace(struct plat_as *as, u64 va, u64 pa, u32 prot);
int hosted_unmap(struct plat_as *as, u64 va, u64 len, plat_gone_fn gone, void *arg);
int hosted_protect(struct plat_as *as, u64 va, u64 len, u32 prot);
int hosted_move(struct plat_as *as, u64 from, u64 to, u64 len);
int hosted_kernel_map(u64 va, u64 pa, u64 len, u32 prot);
void hosted_kernel_unmap(const u64 *starts, u32 n, u64 len);
extern const struct plat_areas hosted_areas;
/** The most memory this process has had, in bytes; 0: the host does not say. */
u64 hosted_peak(void);

/* signal.c */
extern u32 hosted_stop_line, hosted_tick_line; /* [I] what the signals pend */
extern u32 hosted_signalled; /* [A] lines that they have pended since somebody cleared it */
void hosted_on_signal(int sig, const struct siginfo64 *info, struct ucontext64 *uc);
/** From here on the host's signals are interrupts.  Once the lines above are set. */
void hosted_listen(void);
/** A fault, as the signal told it: @addr is CR2's. */
void hosted_trap(struct trap_frame *frame, u64 addr);

/* streams.c */
extern struct plat_streams hosted_streams;
/** Wait for a signal or for what somebody wants of the streams. */
void hosted_streams_wait(void);
/** Likewise without waiting. */
void hosted_streams_look(void);

/* devices.c */
/** Make the device process known, if there is one.  Once this CPU has its data. */
void hosted_devices_init(void);
/** What to poll for its interrupts; -1 for nothing. */
s32 hosted_devices_fd(void);
/** poll(2) said @events of it. */
void hosted_devices_ready(u32 events);
/** Between these this CPU sleeps, and wants a byte with each interrupt. */
void hosted_devices_sleep(void);
void hosted_devices_wake(void);

/* idle.c */
void hosted_idle(void);

/* vcpu.c */
void hosted_cpu_init(void);
/* What struct plat_ops has under these names. */
void hosted_timer_arm(u64 deadline_ns);
int hosted_cpu_start(struct cpu *cpu);
void hosted_cpu_kick(struct cpu *cpu);
void hosted_cpu_yield(void);
void hosted_cpu_stop(struct cpu *cpu);
void hosted_cpu_barrier(void);
/** In a handler: a signal has come to a CPU that has not been started yet, so that it has no data.
 */
bool hosted_cpu_waits(void);
void hosted_set_fs(u64 base);
