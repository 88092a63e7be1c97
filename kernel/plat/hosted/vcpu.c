/* CPUs, which are threads of the host: their data, timers and segment bases, and how one reaches
 * another.  The tender has made the threads; all but the first wait in the stub. */
#include "abi/errno.h"
#include "abi/time.h"
#include "arch/features.h"
#include "arch/thread.h"
#include "core/init.h"
#include "core/irq.h"
#include "core/time.h"
#include "plat/hosted/hosted.h"

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002 };

/* membarrier(2) */
enum { MEMBARRIER_PRIVATE_EXPEDITED = 8 };

static struct hosted_vcpu boot_cpu;
static u64 awake = 1; /* [A] a bit for each CPU that has its data, so that signals find it */

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
    struct cpu *cpu = &boot_cpu.cpu;

    static_assert(sizeof(boot_cpu) <= PAGE_SIZE, "page 0");
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

/* The process's own interval timer counts microseconds: rather one too late. */
static void arm_alone(u64 delay_ns)
{
    u64 us = DIV_UP(delay_ns, 1000ul);
    const struct linux_itimerval when = {.it_value = {(s64)(us / 1000000), (s64)(us % 1000000)}};

    host_call(HOST_SETITIMER, HOST_ITIMER_REAL, (u64)(uintptr_t)&when, 0, 0, 0, 0);
}

static void arm_one_of_many(u64 delay_ns)
{
    const struct {
        struct linux_timespec interval, value;
    } when = {.value = ns_to_timespec(delay_ns)};

    host_call(HOST_TIMER_SETTIME, (u64)(s64)hosted_boot->timer_id + cpu_id(), 0,
              (u64)(uintptr_t)&when, 0, 0, 0);
}

void hosted_timer_arm(u64 deadline_ns)
{
    u64 delay_ns = 0; /* none */

    if (deadline_ns != TIME_NEVER) {
        u64 now = time_ns();
        delay_ns = deadline_ns > now ? deadline_ns - now : 1;
    }
    if (hosted_boot->nr_cpus > 1)
        arm_one_of_many(delay_ns);
    else
        arm_alone(delay_ns);
}

/* ---- the others ---- */

static u64 stacks_end(u32 id)
{
    return hosted_boot->cpu_stacks + (u64)id * HOSTED_CPU_STACKS;
}

bool hosted_cpu_waits(void)
{
    if (likely(hosted_boot->nr_cpus == 1))
        return false;
    u64 at = (u64)(uintptr_t)__builtin_frame_address(0) - hosted_boot->cpu_stacks;
    u64 id = at / HOSTED_CPU_STACKS + 1; /* the first one's stack is elsewhere */
    return id < hosted_boot->nr_cpus &&
           !(__atomic_load_n(&awake, __ATOMIC_RELAXED) & cpu_bit((u32)id));
}

static void send(const struct cpu *cpu, u32 sig)
{
    const struct hosted_cpu *threads = hosted_boot->cpus;

    host_call(HOST_TGKILL, (u64)(s64)threads[0].tid, (u64)(s64)threads[cpu->arch.id].tid, sig, 0, 0,
              0);
}

/* What is done once for all, and not while another may look, is done now. */
int hosted_cpu_start(struct cpu *cpu)
{
    u32 id = cpu->arch.id;

    if (id >= hosted_boot->nr_cpus)
        return -ENODEV;
    hosted_relocate_cold((u64)(uintptr_t)kernel_text_end);
    cpu->arch.panic_stack_top = (void *)(uintptr_t)stacks_end(id);
    /* the rest of the struct is there before the thread can see where */
    u64 *start = (u64 *)(uintptr_t)&hosted_boot->cpus[id].start;
    __atomic_store_n(start, (u64)(uintptr_t)cpu, __ATOMIC_SEQ_CST);
    send(cpu, HOSTED_SIG_KICK);
    return 0;
}

_Noreturn void hosted_cpu_main(struct cpu *cpu);

/* What has been pended before signals find us is seen by the first look of cpu_main(). */
_Noreturn void hosted_cpu_main(struct cpu *cpu)
{
    set_gs((u64)(uintptr_t)cpu);
    __atomic_fetch_or(&awake, cpu_bit(cpu->arch.id), __ATOMIC_SEQ_CST);
    cpu_main();
}

void hosted_cpu_kick(struct cpu *cpu)
{
    struct hosted_vcpu *vcpu = (struct hosted_vcpu *)(void *)cpu;

    if (__atomic_load_n(&vcpu->rest, __ATOMIC_SEQ_CST) != REST_LOOKS &&
        !__atomic_exchange_n(&vcpu->kicked, 1, __ATOMIC_SEQ_CST))
        send(cpu, HOSTED_SIG_KICK);
}

/* A sleep as short as the host has it: yielding would not let those behind us in the host's order
 * go first. */
void hosted_cpu_yield(void)
{
    static const struct linux_timespec shortest = {0, 1};

    host_call(HOST_PPOLL, 0, 0, (u64)(uintptr_t)&shortest, 0, 0, 0);
}

void hosted_cpu_stop(struct cpu *cpu)
{
    send(cpu, HOSTED_SIG_HALT);
}

void hosted_cpu_barrier(void)
{
    host_call(HOST_MEMBARRIER, MEMBARRIER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
}
