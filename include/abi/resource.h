/* Limits and usage of the Linux ABI (uapi/linux/resource.h, asm-generic/resource.h). */
#pragma once

#include "abi/time.h"

enum linux_rlimit {
    RLIMIT_CPU = 0,
    RLIMIT_FSIZE = 1,
    RLIMIT_DATA = 2,
    RLIMIT_STACK = 3,
    RLIMIT_CORE = 4,
    RLIMIT_RSS = 5,
    RLIMIT_NPROC = 6,
    RLIMIT_NOFILE = 7,
    RLIMIT_MEMLOCK = 8,
    RLIMIT_AS = 9,
    RLIMIT_LOCKS = 10,
    RLIMIT_SIGPENDING = 11,
    RLIMIT_MSGQUEUE = 12,
    RLIMIT_NICE = 13,
    RLIMIT_RTPRIO = 14,
    RLIMIT_RTTIME = 15,
    RLIM_NLIMITS = 16,
};
#define RLIM64_INFINITY UINT64_MAX

struct rlimit64 {
    u64 cur, max;
};

enum linux_rusage_who { RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1 };

struct linux_rusage {
    struct linux_timeval utime, stime;
    s64 maxrss; /* KiB */
    s64 ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals;
    s64 nvcsw, nivcsw;
};
static_assert(sizeof(struct linux_rusage) == 144, "ABI");

enum { TICK_NS = 10000000 }; /* USER_HZ is 100 */

struct linux_tms {
    s64 utime, stime, cutime, cstime; /* in ticks of 10 ms */
};

struct linux_sysinfo {
    s64 uptime; /* s */
    u64 loads[3];
    u64 totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    u16 procs, pad;
    u32 pad2;
    u64 totalhigh, freehigh;
    u32 mem_unit, pad3;
};
static_assert(sizeof(struct linux_sysinfo) == 112, "ABI");

struct linux_utsname {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};
static_assert(sizeof(struct linux_utsname) == 390, "ABI");
