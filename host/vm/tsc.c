#include "vm/tsc.h"

#include "lib/cpuid.h"

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
    struct cpuid_answer a;

    host_cpuid(1, 0, &a);
    if (a.ecx & HYPERVISOR_PRESENT) {
        host_cpuid(LEAF_HYPERVISOR, 0, &a);
        if (a.eax >= LEAF_HYPERVISOR_TIMING && a.eax < LEAF_HYPERVISOR + 0x10000) {
            host_cpuid(LEAF_HYPERVISOR_TIMING, 0, &a);
            if (a.eax)
                return a.eax;
        }
    }
    /* Without the crystal's rate in ECX the leaf only gives a ratio. */
    if (host_cpuid_if_any(LEAF_TSC, 0, &a) && a.eax && a.ebx && a.ecx)
        return (u64)a.ecx * a.ebx / a.eax / 1000;
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
    struct cpuid_answer a;

    if (!host_cpuid_if_any(LEAF_ADVANCED_POWER, 0, &a) || !(a.edx & INVARIANT_TSC))
        return 0;
    u64 khz = tsc_from_cpuid();
    return khz ? khz : tsc_measure();
}
