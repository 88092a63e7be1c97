/* poll, ppoll. */
#include "vfs/anon/poll.h"

#include "abi/errno.h"
#include "abi/poll.h"
#include "mm/heap.h"
#include "sys/poll_util.h"
#include "syscalls.h"
#include "vfs/fd.h"

enum { FEW = 8 }; /* descriptors that need no allocation */

/* The files behind @fds; POLLNVAL where there is none. The number of those. */
static u32 get_files(struct poll_slot *slots, struct pollfd_abi *fds, u32 n)
{
    u32 invalid = 0;

    for (u32 i = 0; i < n; i++) {
        slots[i].file = fds[i].fd < 0 ? NULL : fd_get(fds[i].fd);
        slots[i].events = (u16)fds[i].events | POLLERR | POLLHUP;
        slots[i].ready = 0;
        if (fds[i].fd < 0 || slots[i].file)
            continue;
        slots[i].ready = POLLNVAL;
        invalid++;
    }
    return invalid;
}

static void put_files(struct poll_slot *slots, struct pollfd_abi *fds, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        fds[i].revents = (s16)slots[i].ready;
        if (slots[i].file)
            file_put(slots[i].file);
    }
}

static int poll_files(struct poll_slot *slots, struct pollfd_abi *fds, u32 n, u64 deadline_ns)
{
    u32 invalid = get_files(slots, fds, n);
    int ready = poll_slots(slots, n, invalid ? 0 : deadline_ns);

    put_files(slots, fds, n);
    return ready < 0 ? ready : ready + (int)invalid;
}

static long poll_user(struct poll_slot *slots, struct pollfd_abi *own, uaddr_t fds, u32 n,
                      u64 deadline_ns)
{
    size_t size = n * sizeof(*own);

    if (copy_from_user(own, fds, size))
        return -EFAULT;
    int ready = poll_files(slots, own, n, deadline_ns);
    if (ready == -EINTR)
        return -ERESTARTNOHAND;
    return copy_to_user(fds, own, size) ? -EFAULT : ready;
}

static long poll_many(uaddr_t fds, u32 n, u64 deadline_ns)
{
    struct poll_slot *slots = kcalloc(n, sizeof(*slots));
    struct pollfd_abi *own = kcalloc(n, sizeof(*own));

    long ready = slots && own ? poll_user(slots, own, fds, n, deadline_ns) : -ENOMEM;
    kfree(slots);
    kfree(own);
    return ready;
}

static long do_poll(uaddr_t fds, u32 n, u64 deadline_ns)
{
    struct poll_slot slots[FEW];
    struct pollfd_abi own[FEW];

    if (n > current_process()->rlimits[RLIMIT_NOFILE].cur)
        return -EINVAL;
    return n <= FEW ? poll_user(slots, own, fds, n, deadline_ns) : poll_many(fds, n, deadline_ns);
}

long sys_poll(uaddr_t fds, unsigned nfds, int timeout)
{
    return do_poll(fds, nfds, deadline_of_ms(timeout));
}

long sys_ppoll(uaddr_t fds, unsigned nfds, uaddr_t timeout, uaddr_t sigmask, u64 size)
{
    u64 deadline_ns;
    int err = deadline_of_timespec(timeout, &deadline_ns);

    if (!err)
        err = begin_sigmask(sigmask, size);
    if (err)
        return err;
    long ready = do_poll(fds, nfds, deadline_ns);
    end_sigmask(sigmask, ready);
    put_timespec_left(timeout, deadline_ns);
    return ready;
}
