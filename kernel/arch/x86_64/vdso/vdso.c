/* The shared object that every program finds through AT_SYSINFO_EHDR: clocks without a system call.
 * Runs on the program's stack as its own code; reads the data page right before its first page.
 * Names and version as Linux's vdso(7). */
#include "abi/errno.h"
#include "abi/time.h"
#include "abi/vdso_data.h"

#define EXPORT __attribute__((visibility("default")))

extern const struct vdso_data vdso_data_page __attribute__((visibility("hidden")));

enum {
    SYS_GETTIMEOFDAY = 96,
    SYS_CLOCK_GETTIME = 228,
    SYS_CLOCK_GETRES = 229,
    SYS_GETCPU = 309,
};

struct timezone {
    int minuteswest, dsttime;
};

int __vdso_clock_gettime(int clock, struct linux_timespec *ts);
int __vdso_clock_getres(int clock, struct linux_timespec *ts);
int __vdso_gettimeofday(struct linux_timeval *tv, struct timezone *tz);
s64 __vdso_time(s64 *t);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static long call2(long nr, u64 a, u64 b)
{
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return ret;
}

static u64 monotonic(void)
{
    const struct vdso_data *d = &vdso_data_page;
    u32 lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)((unsigned __int128)(((u64)hi << 32 | lo) - d->base_tsc) * d->mult >> 32);
}

static u64 realtime(void)
{
    return monotonic() + __atomic_load_n(&vdso_data_page.real_offset_ns, __ATOMIC_RELAXED);
}

EXPORT int __vdso_clock_gettime(int clock, struct linux_timespec *ts)
{
    u64 ns;

    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        ns = realtime();
        break;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        ns = monotonic();
        break;
    default:
        return (int)call2(SYS_CLOCK_GETTIME, (u64)clock, (u64)(uintptr_t)ts);
    }
    ts->tv_sec = (s64)(ns / 1000000000);
    ts->tv_nsec = (s64)(ns % 1000000000);
    return 0;
}
EXPORT int clock_gettime(int, struct linux_timespec *)
    __attribute__((weak, alias("__vdso_clock_gettime")));

EXPORT int __vdso_clock_getres(int clock, struct linux_timespec *ts)
{
    return (int)call2(SYS_CLOCK_GETRES, (u64)clock, (u64)(uintptr_t)ts);
}
EXPORT int clock_getres(int, struct linux_timespec *)
    __attribute__((weak, alias("__vdso_clock_getres")));

EXPORT int __vdso_gettimeofday(struct linux_timeval *tv, struct timezone *tz)
{
    if (tv) {
        u64 us = realtime() / 1000;
        tv->tv_sec = (s64)(us / 1000000);
        tv->tv_usec = (s64)(us % 1000000);
    }
    if (tz)
        *tz = (struct timezone){0, 0};
    return 0;
}
EXPORT int gettimeofday(struct linux_timeval *, struct timezone *)
    __attribute__((weak, alias("__vdso_gettimeofday")));

EXPORT s64 __vdso_time(s64 *t)
{
    s64 now = (s64)(realtime() / 1000000000);

    if (t)
        *t = now;
    return now;
}
EXPORT s64 time(s64 *) __attribute__((weak, alias("__vdso_time")));

EXPORT long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    u64 id = 0;
    u32 aux;

    (void)unused;
    if (vdso_data_page.flags & VDSO_RDPID) {
        __asm__ volatile("rdpid %0" : "=r"(id));
    } else if (vdso_data_page.flags & VDSO_RDTSCP) {
        __asm__ volatile("rdtscp" : "=c"(aux)::"rax", "rdx");
        id = aux;
    } else if (vdso_data_page.flags & VDSO_ASK) {
        return call2(SYS_GETCPU, (u64)(uintptr_t)cpu, (u64)(uintptr_t)node);
    }
    if (cpu)
        *cpu = (unsigned)id;
    if (node)
        *node = 0;
    return 0;
}
EXPORT long getcpu(unsigned *, unsigned *, void *) __attribute__((weak, alias("__vdso_getcpu")));
