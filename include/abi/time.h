/* Times and clocks of the Linux ABI (asm-generic/time types, uapi/linux/time.h). */
#pragma once

#include "lib/types.h"

struct linux_timespec {
    s64 tv_sec;
    s64 tv_nsec;
};
struct linux_timeval {
    s64 tv_sec;
    s64 tv_usec;
};
struct linux_itimerspec {
    struct linux_timespec it_interval;
    struct linux_timespec it_value;
};
struct linux_itimerval {
    struct linux_timeval it_interval;
    struct linux_timeval it_value;
};

struct linux_timex {
    u32 modes;
    s64 offset, freq, maxerror, esterror;
    s32 status;
    s64 constant, precision, tolerance;
    struct linux_timeval time;
    s64 tick, ppsfreq, jitter;
    s32 shift;
    s64 stabil, jitcnt, calcnt, errcnt, stbcnt;
    s32 tai, reserved[11];
};
enum { STA_UNSYNC = 0x40, TIME_ERROR = 5 };

static_assert(sizeof(struct linux_timex) == 208, "ABI");
static_assert(sizeof(struct linux_timespec) == 16, "ABI");
static_assert(sizeof(struct linux_itimerspec) == 32, "ABI");

enum linux_clock {
    CLOCK_REALTIME = 0,
    CLOCK_MONOTONIC = 1,
    CLOCK_PROCESS_CPUTIME_ID = 2,
    CLOCK_THREAD_CPUTIME_ID = 3,
    CLOCK_MONOTONIC_RAW = 4,
    CLOCK_REALTIME_COARSE = 5,
    CLOCK_MONOTONIC_COARSE = 6,
    CLOCK_BOOTTIME = 7,
    CLOCK_REALTIME_ALARM = 8,
    CLOCK_BOOTTIME_ALARM = 9,
    CLOCK_TAI = 11,
};

enum { TIMER_ABSTIME = 1 };
