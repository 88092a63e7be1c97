/* The one CPU: its data, its timer, its segment bases. */
#include "abi/errno.h"
#include "abi/time.h"
#include "arch/features.h"
#include "arch/thread.h"
#include "core/irq.h"
#include "core/time.h"
#include "plat/hosted/hosted.h"

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002 };

static struct cpu boot_cpu;

void hosted_set_fs(u64 base)
{
    host_call(HOST_ARCH_PRCTL, ARCH_SET_FS, base, 0, 0, 0, 0);
}

static void set_gs(u64 base)
{
    if (arch_features.fsgsbase)
        __asm__ volatile("wrgsbase %0" ::"r"(base));
    else
        host_call(HOST_ARCH_PRCTL, ARCH_SET_GS, base, 0, 0, 0, 0);
}

void hosted_cpu_init(void)
{
    extern char boot_stack_top[];
    struct cpu *cpu = &boot_cpu;

    static_assert(sizeof(*cpu) <= PAGE_SIZE, "page 0");
    if (hosted_boot->nr_devices) /* its pending word must be where the device process reaches it */
        cpu = (struct cpu *)(uintptr_t)hosted_boot->direct_base;

    cpu->arch.self = &cpu->arch;
    cpu->arch.kstack_top = boot_stack_top;
    cpu->arch.panic_stack_top = boot_stack_top;
    cpu->timer_armed_ns = UINT64_MAX;
    cpus[0] = cpu;
    cpu_count = 1;
    cpus_online = 1;
    set_gs((u64)(uintptr_t)cpu);
}

void hosted_timer_arm(u64 deadline_ns)
{
    struct {
        struct linux_timespec interval, value;
    } when = {0};

    if (deadline_ns != TIME_NEVER) {
        u64 now = time_ns();
        when.value = ns_to_timespec(deadline_ns > now ? deadline_ns - now : 1);
    }
    host_call(HOST_TIMER_SETTIME, (u64)(s64)hosted_boot->timer_id, 0, (u64)(uintptr_t)&when, 0, 0,
              0);
}

void hosted_cpu_kick(struct cpu *cpu)
{
    (void)cpu; /* there is one, and who asks runs on it */
}
