/* The rate of the TSC, and the wall clock.
 * The rate comes, in this order, from the command line (tsc_early_khz=, as Linux), CPUID, the
 * paravirtual clock, and only then from a millisecond against a timer of known rate. */
#include "plat/pc/clock.h"

#include "arch/cpu.h"
#include "arch/features.h"
#include "core/cmdline.h"
#include "core/log.h"
#include "core/time.h"
#include "core/vdso.h"
#include "plat/pc/pc.h"

enum {
    MSR_KVM_SYSTEM_TIME = 0x4b564d01,
    KVM_FEATURES_LEAF = 0x40000001,
    KVM_FEATURE_CLOCKSOURCE2 = 1 << 3,
    PM_TIMER_HZ = 3579545,
    PIT_HZ = 1193182,
    CMOS_INDEX = 0x70,
    CMOS_DATA = 0x71,
    DEFAULT_KHZ = 1000000,
};

static u64 ns_to_ticks_32; /* TSC ticks per ns, times 2^32 */

u64 pc_tsc_to_ns(u64 ticks)
{
    return (u64)((unsigned __int128)ticks * vdso_data.mult >> 32);
}

u64 pc_ns_to_tsc(u64 ns)
{
    return vdso_data.base_tsc + (u64)((unsigned __int128)ns * ns_to_ticks_32 >> 32);
}

/* --- the rate --- */

/* KVM writes its scale into memory that we name (Linux Documentation/virt/kvm/x86/msr.rst). */
struct kvm_time_info {
    u32 version;
    u32 pad;
    u64 tsc_timestamp;
    u64 system_time;
    u32 tsc_to_system_mul;
    s8 tsc_shift;
    u8 flags;
    u8 pad2[2];
};
static_assert(sizeof(struct kvm_time_info) == 32, "KVM ABI");

static u64 khz_from_kvm(void)
{
    static alignas(32) volatile struct kvm_time_info info;

    if (!arch_features.kvm || !(cpuid(KVM_FEATURES_LEAF, 0).eax & KVM_FEATURE_CLOCKSOURCE2))
        return 0;
    wrmsr(MSR_KVM_SYSTEM_TIME, image_to_phys((const void *)(uintptr_t)&info) | 1);
    u32 mul = info.tsc_to_system_mul;
    int shift = info.tsc_shift;
    wrmsr(MSR_KVM_SYSTEM_TIME, 0);
    if (!mul || shift < -31 || shift > 31)
        return 0;
    u64 khz = (1000000ul << 32) / mul;
    return shift < 0 ? khz << -shift : khz >> shift;
}

/* TSC ticks while @elapsed() goes on by @count; 0 if it does not move at all. */
static u64 ticks_during(u64 (*elapsed)(void), u64 count)
{
    u64 start = elapsed(), now, tsc = rdtsc();

    for (u32 tries = 0;; tries++) {
        now = elapsed();
        if (now - start >= count)
            return (rdtsc() - tsc) * count / (now - start);
        if (now == start && tries > 10000)
            return 0;
    }
}

static u64 pm_timer(void)
{
    static u32 last;
    static u64 total;
    u32 now = pc_pm_timer_read() & 0xffffff;

    total += (now - last) & 0xffffff;
    last = now;
    return total;
}

/* Channel 2, which has a gate of its own and no interrupt; counts down. */
static u64 pit(void)
{
    outb(0x43, 0x80);
    u32 low = inb(0x42);
    return 0x10000 - (low | (u32)inb(0x42) << 8);
}

static void pit_start(void)
{
    outb(0x61, (inb(0x61) & ~2u) | 1);
    outb(0x43, 0xb0);
    outb(0x42, 0xff);
    outb(0x42, 0xff);
}

static u64 khz_from_timer(void)
{
    if (pc_pm_timer_port())
        return ticks_during(pm_timer, PM_TIMER_HZ / 1000);
    if ((arch_features.tcg || arch_features.kvm) && !arch_features.tsc_deadline)
        return ticks_during(pc_lapic_elapsed, 1000000); /* theirs counts nanoseconds */
    pit_start();
    return ticks_during(pit, PIT_HZ / 1000);
}

static u64 find_khz(void)
{
    u64 khz = cmdline_get_u64("tsc_early_khz", 0);

    if (!khz)
        khz = arch_features.tsc_khz;
    if (!khz)
        khz = khz_from_kvm();
    if (!khz)
        khz = khz_from_timer();
    if (khz >= 10000 && khz < 100000000)
        return khz;
    log_warn("clock: no source for the TSC's rate, taking 1 GHz; give tsc_early_khz=");
    return DEFAULT_KHZ;
}

void pc_clock_init(void)
{
    u64 khz = find_khz();

    boot_info.tsc_khz = khz;
    vdso_data.mult = (1000000ul << 32) / khz;
    ns_to_ticks_32 = (khz << 32) / 1000000;
    log_debug("clock: TSC at %lu kHz", khz);
}

/* --- the wall clock: MC146818 --- */

static u8 cmos(u8 index)
{
    outb(CMOS_INDEX, index);
    return inb(CMOS_DATA);
}

struct rtc_time {
    u8 sec, min, hour, day, month, year, century;
};

static struct rtc_time rtc_read(void)
{
    u8 century = pc_rtc_century();

    return (struct rtc_time){.sec = cmos(0),
                             .min = cmos(2),
                             .hour = cmos(4),
                             .day = cmos(7),
                             .month = cmos(8),
                             .year = cmos(9),
                             .century = century ? cmos(century) : 0};
}

static u32 from_bcd(u8 v, bool binary)
{
    return binary ? v : (v >> 4) * 10u + (v & 15);
}

/* Days since 1970 of a date of the Gregorian calendar, whose years here begin in March. */
static u64 days_since_epoch(u32 year, u32 month, u32 day)
{
    u64 y = month > 2 ? year : year - 1;
    u32 from_march = (month + 9) % 12;

    return y * 365 + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

/* Where the firmware tells of no century, or of an odd one, it is ours. */
static u32 year_of(const struct rtc_time *t, bool binary)
{
    u32 century = from_bcd(t->century, binary);

    return (century >= 19 && century < 30 ? century : 20) * 100 + from_bcd(t->year, binary);
}

/* A clock that updates while we read shows another second afterwards; one that is not there gives
 * 0xff. */
u64 pc_clock_real_ns(void)
{
    u8 status = cmos(0xb);
    struct rtc_time t = {0};

    if (status == 0xff)
        return 0;
    for (u32 tries = 0; tries < 4; tries++) {
        if (cmos(0xa) & 0x80)
            continue;
        t = rtc_read();
        if (t.sec == cmos(0))
            break;
    }
    bool binary = status & 4;
    u32 month = from_bcd(t.month, binary), day = from_bcd(t.day, binary);
    u32 hour = from_bcd(t.hour & 0x7f, binary);
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return 0;
    if (!(status & 2)) /* 12 hours, with the afternoon in the top bit */
        hour = hour % 12 + (t.hour & 0x80 ? 12 : 0);
    if (year_of(&t, binary) < 1970)
        return 0;
    u64 s = days_since_epoch(year_of(&t, binary), month, day) * 86400 + hour * 3600 +
            from_bcd(t.min, binary) * 60 + from_bcd(t.sec, binary);
    return s * NSEC_PER_SEC;
}
