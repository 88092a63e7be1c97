/* process_vm_readv(2) and process_vm_writev(2).  Bytes pass through a page of our own: neither side
 * is held while the other may fault.  A process's own memory goes the program's way. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sched/family.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

/* A vector of the program's, and what has to be freed with it. */
struct vec {
    struct iovec small[USER_VEC_INLINE], *heap;
    struct iov_iter it;
};

/* Between @local and a page's worth at @remote, by way of @page: how many of the @n bytes moved. */
static u64 read_piece(struct mm *mm, u64 remote, struct iov_iter *local, char *page, u64 n)
{
    if (mm != mm_current())
        n = mm_read(mm, remote, page, n);
    else if (copy_from_user(page, remote, n))
        return 0;
    return iter_write(local, page, n);
}

static u64 write_piece(struct mm *mm, u64 remote, struct iov_iter *local, char *page, u64 n)
{
    n = iter_read(local, page, n);
    if (mm != mm_current())
        return mm_write(mm, remote, page, n);
    return copy_to_user(remote, page, n) ? 0 : n;
}

/* As far as both ends go: bytes, -EFAULT where that is none, -ENOMEM. */
static long move_all(struct mm *mm, struct iov_iter *local, struct iovec *remote, u64 count,
                     bool write)
{
    char *page = kmalloc(PAGE_SIZE);
    u64 done = 0, n = 0, moved = 0;

    if (!page)
        return -ENOMEM;
    while (count && local->left && n == moved) {
        n = min(remote->len, (u64)PAGE_SIZE);
        n = min(n, local->left);
        moved = (write ? write_piece : read_piece)(mm, remote->base, local, page, n);
        done += moved;
        remote->base += n;
        remote->len -= n;
        if (!remote->len) {
            remote++;
            count--;
        }
        sched_point();
    }
    kfree(page);
    return done || n == moved ? (long)done : -EFAULT;
}

/* The address space of @pid, with a reference. */
static int mm_of(int pid, struct mm **out)
{
    struct process *p = pid > 0 ? process_find(pid) : NULL;

    if (!p)
        return -ESRCH;
    int err = process_may_inspect(p) ? 0 : -EPERM;
    *out = err ? NULL : process_mm(p);
    process_put(p);
    return err ? err : *out ? 0 : -ESRCH;
}

static long move_vectors(int pid, struct iov_iter *local, uaddr_t remote, u64 count, bool write)
{
    struct iovec *vec = kmalloc(max(count, (u64)1) * sizeof(*vec));
    struct mm *mm = NULL;
    long err = vec ? 0 : -ENOMEM;

    if (!err && copy_from_user(vec, remote, count * sizeof(*vec)))
        err = -EFAULT;
    if (!err)
        err = mm_of(pid, &mm);
    if (!err)
        err = move_all(mm, local, vec, count, write);
    if (mm)
        mm_put(mm);
    kfree(vec);
    return err;
}

static long process_vm(int pid, uaddr_t local, u64 local_count, uaddr_t remote, u64 remote_count,
                       u64 flags, bool write)
{
    struct vec own = {.heap = NULL};

    if (flags || local_count > LINUX_IOV_MAX || remote_count > LINUX_IOV_MAX)
        return -EINVAL;
    long result = user_vec(local, local_count, own.small, &own.heap, &own.it);
    if (!result && own.it.left)
        result = move_vectors(pid, &own.it, remote, remote_count, write);
    kfree(own.heap);
    return result;
}

long sys_process_vm_readv(int pid, uaddr_t local, u64 local_count, uaddr_t remote, u64 remote_count,
                          u64 flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, false);
}

long sys_process_vm_writev(int pid, uaddr_t local, u64 local_count, uaddr_t remote,
                           u64 remote_count, u64 flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, true);
}
