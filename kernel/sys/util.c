/* Small helpers of the system calls. */
#include "sys/sys_priv.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "lib/string.h"
#include "mm/heap.h"

int get_timespec_ns(uaddr_t from, u64 *ns)
{
    struct linux_timespec ts;
    if (copy_from_user(&ts, from, sizeof(ts)))
        return -EFAULT;
    if (!timespec_valid(&ts))
        return -EINVAL;
    *ns = timespec_to_ns(&ts);
    return 0;
}

int put_timespec_ns(uaddr_t to, u64 ns)
{
    struct linux_timespec ts = ns_to_timespec(ns);
    return copy_to_user(to, &ts, sizeof(ts));
}

int put_optional(uaddr_t to, const void *src, size_t len)
{
    return to ? copy_to_user(to, src, len) : 0;
}

int copy_struct_from_user(void *to, size_t known, uaddr_t from, u64 size)
{
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < known)
        memset(to, 0, known);
    if (copy_from_user(to, from, min(size, (u64)known)))
        return -EFAULT;
    for (u64 at = known; at < size; at++) {
        u8 byte;
        if (copy_from_user(&byte, from + at, 1))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return 0;
}

struct thread *get_thread(int tid)
{
    return thread_find(tid ? tid : current->tid);
}

struct process *get_process(int pid)
{
    return process_find(pid ? pid : current_process()->pid);
}

/* One buffer is as good as no vector. Not 0: there is something about it. */
static int one_vec(uaddr_t from, struct iov_iter *it)
{
    struct iovec vec;

    if (user_get64(&vec.base, from) || user_get64(&vec.len, from + sizeof(vec.base)))
        return -EFAULT;
    if (vec.len > USER_RW_MAX || !is_user_range(vec.base, vec.len))
        return -EINVAL;
    iter_init_user(it, vec.base, vec.len);
    return 0;
}

int user_vec(uaddr_t from, u64 count, struct iovec *small, struct iovec **heap, struct iov_iter *it)
{
    struct iovec *vec = small;
    u64 total = 0;

    if (count == 1 && !one_vec(from, it))
        return 0;
    if (count > LINUX_IOV_MAX)
        return -EINVAL;
    if (count > USER_VEC_INLINE) {
        vec = *heap = kmalloc(count * sizeof(*vec));
        if (!vec)
            return -ENOMEM;
    }
    if (copy_from_user(vec, from, count * sizeof(*vec)))
        return -EFAULT;
    for (u64 i = 0; i < count; i++) {
        if (vec[i].len > INT64_MAX)
            return -EINVAL;
        vec[i].len = min(vec[i].len, (u64)USER_RW_MAX - total);
        total += vec[i].len;
    }
    iter_init_vec(it, vec, (u32)count, total);
    return 0;
}
