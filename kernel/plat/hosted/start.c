/* From the tender's word to the kernel's start, and the table of operations of a host process. */
#include "abi/errno.h"
#include "abi/mman.h"
#include "abi/time.h"
#include "arch/features.h"
#include "arch/hooks.h"
#include "arch/thread.h"
#include "core/cmdline.h"
#include "core/init.h"
#include "core/irq.h"
#include "core/panic.h"
#include "core/vdso.h"
#include "lib/string.h"
#include "plat/hosted/hosted.h"
#include "plat/pc/pc.h"
#include "plat/plat_priv.h"

enum {
    LINK_BASE = 0x100000, /* of kernel.lds */
};

extern u32 process_vector_mask; /* entry.S */
static const struct cpuid_table *cpuids_of(const struct hosted_boot *boot)
{
    return (const struct cpuid_table *)(uintptr_t)boot->cpuids;
}

_Noreturn void hosted_start(const struct hosted_boot *boot);

static struct hosted_boot boot_copy; /* the tender lies where the program may have its memory */
const struct hosted_boot *const hosted_boot = &boot_copy;

static void as_switch(struct plat_as *as)
{
    this_cpu()->as = as; /* the host has one */
}

static void *map_device(u64 pa, u64 len)
{
    (void)pa, (void)len;
    return NULL;
}

static void console_write(const char *text, size_t len)
{
    while (len) {
        long n = host_call(HOST_WRITE, (u64)(s64)hosted_boot->log_fd, (u64)(uintptr_t)text, len, 0,
                           0, 0);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return;
        text += n, len -= (size_t)n;
    }
}

static size_t random_seed(void *buf, size_t len)
{
    size_t n = min(len, sizeof(hosted_boot->seed));

    memcpy(buf, hosted_boot->seed, n);
    return n;
}

static u64 clock_real_ns(void)
{
    return hosted_boot->wall_ns;
}

__attribute__((noreturn)) static void power_off(u32 code)
{
    for (;;)
        host_call(HOST_EXIT_GROUP, code, 0, 0, 0, 0, 0);
}

static int route_gsi(u32 gsi, u32 line)
{
    (void)gsi, (void)line;
    return -EINVAL;
}

static int route_msi(u32 line, u32 cpu, u64 *addr, u32 *data)
{
    (void)line, (void)cpu, (void)addr, (void)data;
    return -ENOSPC;
}

static u32 pci_read(u32 bus, u32 dev, u32 fn, u32 offset, u32 size)
{
    (void)bus, (void)dev, (void)fn, (void)offset, (void)size;
    return ~0u;
}

static void pci_write(u32 bus, u32 dev, u32 fn, u32 offset, u32 size, u32 value)
{
    (void)bus, (void)dev, (void)fn, (void)offset, (void)size, (void)value;
}

static void take_stop(void *arg)
{
    (void)arg;
    stop_requested();
}

u64 hosted_peak(void)
{
    struct {
        struct linux_timeval user, system;
        s64 max_rss_kib, other[13];
    } usage;

    if (host_call(HOST_GETRUSAGE, 0, (u64)(uintptr_t)&usage, 0, 0, 0, 0))
        return 0;
    return (u64)usage.max_rss_kib << 10;
}

/* The program's memory is the host's, who would give it more than was agreed. */
static void check_memory(void)
{
    u64 used = hosted_peak(), files = boot_info.initrd_len + boot_info.kernel_len;

    if (used > boot_info.ram_bytes + files)
        fatal_error("out of memory: the program holds more than %lu MiB",
                    boot_info.ram_bytes >> 20);
}

/* The program computes: who waits for a stream would not hear of it before somebody is idle. */
static void take_tick(void *arg)
{
    (void)arg;
    check_memory();
    hosted_streams_look();
}

static u32 take_line(irq_handler fn)
{
    int line = irq_register(fn, NULL);

    assert(line >= 0);
    return (u32)line;
}

static void hosted_init(void)
{
    u64 khz = cmdline_get_u64("tsc_early_khz", arch_features.tsc_khz);

    if (khz < 10000 || khz >= 100000000)
        fatal_error("the rate of the TSC is not known; give tsc_early_khz=");
    boot_info.tsc_khz = khz;
    vdso_data.mult = (1000000ul << 32) / khz;
    hosted_stop_line = take_line(take_stop);
    hosted_tick_line = take_line(take_tick);
    hosted_listen();
}

static const struct plat_ops hosted_ops = {
    .name = "process",
    .init = hosted_init,
    .cpu_size = sizeof(struct hosted_vcpu),
    .cpu_start = hosted_cpu_start,
    .cpu_idle = hosted_idle,
    .cpu_kick = hosted_cpu_kick,
    .cpu_yield = hosted_cpu_yield,
    .cpu_barrier = hosted_cpu_barrier,
    .cpu_stop = hosted_cpu_stop,
    .timer_arm = hosted_timer_arm,
    .as_create = pc_as_create,
    .as_destroy = pc_as_destroy,
    .as_switch = as_switch,
    .map_page = hosted_map_page,
    .map_around = hosted_map_around,
    .map = hosted_map,
    .replace = hosted_replace,
    .unmap = hosted_unmap,
    .protect = hosted_protect,
    .query = pc_query,
    .next_page = pc_next_page,
    .clear_marks = pc_clear_marks,
    .move = hosted_move,
    .kernel_map = hosted_kernel_map,
    .kernel_unmap = hosted_kernel_unmap,
    .map_device = map_device,
    .console_write = console_write,
    .random_seed = random_seed,
    .clock_real_ns = clock_real_ns,
    .power_off = power_off,
    .irq_route_gsi = route_gsi,
    .irq_route_msi = route_msi,
    .pci_read = pci_read,
    .pci_write = pci_write,
    .vdso_changed = hosted_vdso_changed,
    .areas = &hosted_areas,
    .streams = &hosted_streams,
};

static void fill_boot_info(const struct hosted_boot *boot)
{
    struct boot_info *bi = &boot_info;

    bi->cmdline = (const char *)(uintptr_t)boot->cmdline;
    bi->initrd_pa = boot->initrd_pa;
    bi->initrd_len = boot->initrd_len;
    bi->regions[0] = (struct mem_region){HOSTED_FIRST_PA, boot->ram_len - HOSTED_FIRST_PA};
    bi->before_array = HOSTED_ARRAY_PA - HOSTED_FIRST_PA;
    bi->nr_regions = 1;
    bi->ram_bytes = bi->ram_end = boot->ram_len;
    bi->kernel_pa = boot->kernel_pa;
    bi->kernel_len = (u64)(kernel_end - kernel_start);
    bi->nr_cpus = boot->nr_cpus;
    direct_map_base = boot->direct_base;
    vmap_base = boot->vmap_base;
    vmap_size = boot->vmap_size;
}

_Noreturn void hosted_start(const struct hosted_boot *boot)
{
    u64 base = boot->kernel_base;

    hosted_relocate(base - LINK_BASE, boot->features & HOSTED_RELOCATED);
    arch_in_process = true;
    arch_program_end = arch_kernel_base = boot->floor;
    boot_copy = *boot;
    plat = hosted_ops;
    hosted_streams.tty = boot->features & HOSTED_TTY;
    hosted_streams.operator_line = boot->operator_fd;
    arch_features_init_process(boot->features & HOSTED_FSGSBASE, cpuids_of(boot));
    arch_process_set_fs = hosted_set_fs;
    process_vector_mask = arch_features.xsave ? (u32)arch_features.xcr0 : 0;
    hosted_cpu_init();
    hosted_devices_init();
    fill_boot_info(boot);
    hosted_memory_init();
    vdso_page.gate.cpuids = *cpuids_of(boot);
    vdso_data.base_tsc = rdtsc();
    kernel_main();
}
