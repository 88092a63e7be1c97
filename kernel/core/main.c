/* The start-up order of the kernel: each room's init, one after the other; see core/init.h. */
#include "core/chart.h"
#include "core/cmdline.h"
#include "core/init.h"
#include "core/log.h"
#include "core/panic.h"
#include "plat/plat.h"

_Noreturn void kernel_main(void)
{
    cmdline_init(boot_info.cmdline);
    chart_mark("clocks and interrupts");
    plat.init();
    time_init();
    chart_mark("memory");
    mm_init();
    chart_mark("threads and CPUs");
    sched_init();
    if (boot_info.nr_cpus > 1)
        smp_init();
    log_debug("ingot: %lu KiB of memory, kernel %lu KiB", boot_info.ram_bytes >> 10,
              boot_info.kernel_len >> 10);
    chart_mark("files");
    vfs_init();
    chart_mark("devices");
    drv_init();
    chart_mark("network");
    net_start();
    chart_mark("mounts");
    fs_init();
    chart_mark("program is loaded");
    start_program();
}
