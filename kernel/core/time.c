#include "core/time.h"

#include "arch/cpu.h"
#include "arch/features.h"
#include "arch/hooks.h"
#include "core/init.h"
#include "core/timer.h"
#include "core/vdso.h"
#include "plat/plat.h"

union vdso_page vdso_page __attribute__((aligned(4096)));

u64 time_ns(void)
{
    u64 ticks = rdtsc() - vdso_data.base_tsc;
    return (u64)((unsigned __int128)ticks * vdso_data.mult >> 32);
}

u64 time_real_offset_ns(void)
{
    return __atomic_load_n(&vdso_data.real_offset_ns, __ATOMIC_RELAXED);
}

u64 time_real_ns(void)
{
    return time_ns() + time_real_offset_ns();
}

void time_set_real(u64 ns)
{
    __atomic_store_n(&vdso_data.real_offset_ns, ns - time_ns(), __ATOMIC_RELAXED);
    if (plat.vdso_changed)
        plat.vdso_changed();
}

void time_init(void)
{
    u64 real = plat.clock_real_ns();

    if (real)
        time_set_real(real);
    if (arch_in_process) /* the CPU would tell which of the host's it is */
        vdso_data.flags |= boot_info.nr_cpus > 1 ? VDSO_ASK : 0;
    else if (arch_features.rdpid)
        vdso_data.flags |= VDSO_RDPID;
    else if (arch_features.rdtscp)
        vdso_data.flags |= VDSO_RDTSCP;
    vdso_page.gate.entry = syscall_gate_entry;
    timers_init();
}
