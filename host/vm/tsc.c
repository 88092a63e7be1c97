#include "vm/tsc.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

enum {
    LEAF_HYPERVISOR = 0x40000000,
    LEAF_HYPERVISOR_TIMING = 0x40000010, /* EAX: TSC kHz; VMware's, taken up by KVM and others */
    LEAF_TSC = 0x15,                     /* Intel SDM vol. 2A, CPUID */
    LEAF_ADVANCED_POWER = 0x80000007,
    INVARIANT_TSC = 1 << 8, /* EDX of the leaf above */
    HYPERVISOR_PRESENT = 1u << 31,
    MEASURE_NS = 2000000,
};

static u64 tsc_from_cpuid(void)
{
    unsigned a, b, c, d;

    __cpuid(1, a, b, c, d);
    if (c & HYPERVISOR_PRESENT) {
        __cpuid(LEAF_HYPERVISOR, a, b, c, d);
        if (a >= LEAF_HYPERVISOR_TIMING && a < LEAF_HYPERVISOR + 0x10000) {
            __cpuid(LEAF_HYPERVISOR_TIMING, a, b, c, d);
            if (a)
                return a;
        }
    }
    /* Without the crystal's rate in ECX the leaf only gives a ratio. */
    if (__get_cpuid_count(LEAF_TSC, 0, &a, &b, &c, &d) && a && b && c)
        return (u64)c * b / a / 1000;
    return 0;
}

struct tsc_sample {
    u64 ticks, ns;
};

/* The clock between two readings of the counter; the closest pair of a few counts. */
static struct tsc_sample tsc_sample(void)
{
    struct tsc_sample best = {0, 0};
    u64 best_width = UINT64_MAX;

    for (int i = 0; i < 5; i++) {
        struct timespec ts;
        u64 before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
        u64 after = __rdtsc();
        if (after - before >= best_width)
            continue;
        best_width = after - before;
        best.ticks = before + best_width / 2;
        best.ns = (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
    }
    return best;
}

static u64 tsc_measure(void)
{
    struct timespec pause = {0, MEASURE_NS};
    struct tsc_sample first = tsc_sample();

    nanosleep(&pause, NULL);
    struct tsc_sample last = tsc_sample();
    if (last.ns <= first.ns)
        return 0;
    return (last.ticks - first.ticks) * 1000000 / (last.ns - first.ns);
}

u64 tsc_find(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(LEAF_ADVANCED_POWER, &a, &b, &c, &d) || !(d & INVARIANT_TSC))
        return 0;
    u64 khz = tsc_from_cpuid();
    return khz ? khz : tsc_measure();
}
