/* The answer for system calls that are missing, said once a call by name. */
#include "sys/dispatch.h"

#include "abi/errno.h"
#include "arch/frame.h"
#include "core/log.h"
#include "core/percpu.h"

const syscall_fn *syscall_active = syscall_table;
const syscall_fn *syscall_handlers = syscall_table;

/** True the first time for each number; all numbers that do not exist count as one. */
static bool first_time(u64 nr)
{
    static u64 said[SYSCALL_SLOTS / 64];
    u64 slot = nr < SYSCALL_MAX ? nr : SYSCALL_SLOTS - 1;
    u64 bit = 1ull << (slot % 64);
    return !(__atomic_fetch_or(&said[slot / 64], bit, __ATOMIC_RELAXED) & bit);
}

long sys_ni(void)
{
    u64 nr = current_frame()->orig_rax;
    if (!first_time(nr))
        return -ENOSYS;
    const char *name = nr < SYSCALL_MAX ? syscall_info[nr].name : NULL;
    if (name)
        log_warn("system call '%s' is not implemented (ENOSYS)", name);
    else
        log_warn("system call number %lu does not exist (ENOSYS)", nr);
    return -ENOSYS;
}
