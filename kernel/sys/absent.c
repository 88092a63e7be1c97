/* Calls of which programs ask in passing whether the machine or the kernel has a thing: protection
 * keys, several memory nodes, filters, rings, sandboxes.  The answer is that of a Linux without it,
 * and since programs are made for that answer, it is no news for the log. */
#include "abi/errno.h"
#include "syscalls.h"

/* No processor here has protection keys that a program could use, so none is free. */
long sys_pkey_alloc(unsigned flags, u64 rights)
{
    if (flags || rights & ~(u64)3)
        return -EINVAL;
    return -ENOSPC;
}

long sys_pkey_free(int key)
{
    (void)key; /* none is in use */
    return -EINVAL;
}

long sys_pkey_mprotect(uaddr_t addr, u64 len, unsigned prot, int key)
{
    return key == -1 ? sys_mprotect(addr, len, prot) : -EINVAL;
}

/* All memory is one node. */
long sys_mbind(void)
{
    return -ENOSYS;
}

long sys_set_mempolicy(void)
{
    return -ENOSYS;
}

long sys_get_mempolicy(void)
{
    return -ENOSYS;
}

/* The virtual machine is the sandbox. */
long sys_seccomp(void)
{
    return -ENOSYS;
}

long sys_landlock_create_ruleset(void)
{
    return -ENOSYS;
}

/* Programs fall back on epoll and threads. */
long sys_io_uring_setup(void)
{
    return -ENOSYS;
}
