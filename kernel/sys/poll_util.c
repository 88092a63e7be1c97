/* Deadlines and signal masks of the calls that wait for files. */
#include "sys/poll_util.h"

#include "abi/errno.h"

u64 deadline_of_ms(int ms)
{
    if (ms <= 0)
        return ms ? NO_DEADLINE : 0;
    return time_after_ns((u64)ms * NSEC_PER_MSEC);
}

int deadline_of_timespec(uaddr_t from, u64 *deadline_ns)
{
    u64 ns;

    if (!from) {
        *deadline_ns = NO_DEADLINE;
        return 0;
    }
    int err = get_timespec_ns(from, &ns);
    if (!err)
        *deadline_ns = ns ? time_after_ns(ns) : 0;
    return err;
}

u64 time_left_ns(u64 deadline_ns)
{
    u64 now = deadline_ns ? time_ns() : 0;

    return deadline_ns > now ? deadline_ns - now : 0;
}

void put_timespec_left(uaddr_t to, u64 deadline_ns)
{
    if (to && deadline_ns != NO_DEADLINE)
        (void)put_timespec_ns(to, time_left_ns(deadline_ns)); /* Linux ignores a fault here too */
}

int begin_sigmask(uaddr_t sigmask, u64 size)
{
    sigset64_t mask;

    if (!sigmask)
        return 0;
    if (size != sizeof(mask))
        return -EINVAL;
    if (copy_from_user(&mask, sigmask, sizeof(mask)))
        return -EFAULT;
    signal_set_temporary_mask(mask);
    return 0;
}

void end_sigmask(uaddr_t sigmask, long result)
{
    if (sigmask && result != -EINTR && result != -ERESTARTNOHAND)
        signal_restore_mask();
}
