/* Stand-ins for what the rooms above give to arch and plat, until those are linked in. */
#include "arch/hooks.h"
#include "abi/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"

static long no_syscall(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    return -ENOSYS;
}

__attribute__((weak))
const syscall_fn syscall_table[SYSCALL_SLOTS] = {[0 ... SYSCALL_SLOTS - 1] = no_syscall};

__attribute__((weak)) void program_exit_work(struct trap_frame *frame)
{
    (void)frame;
    irq_run_pending();
}

__attribute__((weak)) int page_fault(struct trap_frame *frame, u64 addr, u32 error)
{
    (void)frame, (void)addr, (void)error;
    return 11 | 1 << 8; /* SIGSEGV, SEGV_MAPERR */
}

__attribute__((weak)) void program_trap(struct trap_frame *frame, int sig, int si_code, u64 addr)
{
    (void)si_code, (void)addr, (void)frame;
    vm_end(VM_SIGNAL, sig);
}

__attribute__((weak)) void stop_requested(void)
{
    vm_end(VM_SIGNAL, 15);
}
