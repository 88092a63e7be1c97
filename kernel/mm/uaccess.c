#include "mm/uaccess.h"

#include "abi/errno.h"
#include "arch/uaccess.h"
#include "core/panic.h"

static void *user_ptr(uaddr_t addr)
{
    return (void *)(uintptr_t)addr;
}

int copy_from_user(void *dst, uaddr_t src, size_t n)
{
    may_sleep();
    return is_user_range(src, n) && !arch_copy_user(dst, user_ptr(src), n) ? 0 : -EFAULT;
}

int copy_to_user(uaddr_t dst, const void *src, size_t n)
{
    may_sleep();
    return is_user_range(dst, n) && !arch_copy_user(user_ptr(dst), src, n) ? 0 : -EFAULT;
}

int clear_user(uaddr_t dst, size_t n)
{
    may_sleep();
    return is_user_range(dst, n) && !arch_clear_user(user_ptr(dst), n) ? 0 : -EFAULT;
}

static __attribute__((noinline)) ssize_t strncpy_at_end(char *dst, uaddr_t src, size_t size)
{
    if (src >= USER_TOP)
        return -EFAULT;
    size_t n = min(size, USER_TOP - src);
    ssize_t len = arch_strncpy_user(dst, user_ptr(src), n);
    return len == (ssize_t)n ? -EFAULT : len;
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    may_sleep();
    if (unlikely(!is_user_range(src, size))) /* the string may end before the lower half does */
        return strncpy_at_end(dst, src, size);
    ssize_t len = arch_strncpy_user(dst, user_ptr(src), size);
    return len == (ssize_t)size ? -ENAMETOOLONG : len;
}

int user_load32(uaddr_t addr, u32 *out)
{
    may_sleep();
    if (!IS_ALIGNED(addr, 4))
        return -EINVAL;
    return is_user_range(addr, 4) ? arch_user_load32(user_ptr(addr), out) : -EFAULT;
}

int user_cmpxchg32(uaddr_t addr, u32 expected, u32 desired, u32 *seen)
{
    may_sleep();
    if (!IS_ALIGNED(addr, 4))
        return -EINVAL;
    if (!is_user_range(addr, 4))
        return -EFAULT;
    int err = arch_user_cmpxchg32(user_ptr(addr), &expected, desired);
    if (err && err != -EAGAIN)
        return err;
    *seen = expected;
    return 0;
}
