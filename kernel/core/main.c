/* The start-up order of the kernel: each room's init, one after the other; see core/init.h. */
#include "core/cmdline.h"
#include "core/init.h"
#include "core/log.h"
#include "core/panic.h"
#include "plat/plat.h"

_Noreturn void kernel_main(void)
{
    cmdline_init(boot_info.cmdline);
    plat.init();
    time_init();
    mm_init();
    sched_init();
    if (boot_info.nr_cpus > 1)
        smp_init();
    log_debug("ingot: %lu KiB of memory, kernel %lu KiB", boot_info.ram_bytes >> 10,
              boot_info.kernel_len >> 10);
    vfs_init();
    drv_init();
    net_start();
    fs_init();
    start_program();
}
