/* select, pselect6. */
#include "abi/errno.h"
#include "abi/poll.h"
#include "abi/time.h"
#include "mm/heap.h"
#include "sys/poll_util.h"
#include "syscalls.h"
#include "vfs/anon/poll.h"
#include "vfs/fd.h"

enum { READ, WRITE, EXCEPT, SETS };
enum { FEW_SLOTS = 8, FEW_WORDS = 4 };

static const u32 set_events[SETS] = {
    [READ] = POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
    [WRITE] = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
    [EXCEPT] = POLLPRI,
};

/* The three sets of a call, in kernel memory. */
struct fd_sets {
    u64 *bits[SETS]; /* of .words words each */
    uaddr_t user[SETS];
    u32 words;
};

static u32 count_ones(u64 bits)
{
    u32 n = 0;

    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

static u64 any_set(const struct fd_sets *sets, u32 word)
{
    return sets->bits[READ][word] | sets->bits[WRITE][word] | sets->bits[EXCEPT][word];
}

static bool has_bit(const struct fd_sets *sets, int set, u32 fd)
{
    return sets->bits[set][fd / 64] >> (fd % 64) & 1;
}

static int copy_sets_in(struct fd_sets *sets, u32 nfds)
{
    for (int set = 0; set < SETS; set++) {
        if (sets->user[set] &&
            copy_from_user(sets->bits[set], sets->user[set], sets->words * sizeof(u64)))
            return -EFAULT;
        if (nfds % 64)
            sets->bits[set][sets->words - 1] &= BIT(nfds % 64) - 1;
    }
    return 0;
}

static int copy_sets_out(const struct fd_sets *sets)
{
    for (int set = 0; set < SETS; set++)
        if (sets->user[set] &&
            copy_to_user(sets->user[set], sets->bits[set], sets->words * sizeof(u64)))
            return -EFAULT;
    return 0;
}

static u32 count_fds(const struct fd_sets *sets)
{
    u32 n = 0;

    for (u32 word = 0; word < sets->words; word++)
        n += count_ones(any_set(sets, word));
    return n;
}

/* Call @fn for each descriptor in any set with its slot, while it returns 0. */
static int each_fd(struct fd_sets *sets, struct poll_slot *slots,
                   int (*fn)(struct fd_sets *, struct poll_slot *, u32 fd))
{
    int err = 0;

    for (u32 word = 0; word < sets->words; word++) {
        for (u64 bits = any_set(sets, word); bits && !err; bits &= bits - 1)
            err = fn(sets, slots++, word * 64 + (u32)__builtin_ctzll(bits));
    }
    return err;
}

static int get_slot(struct fd_sets *sets, struct poll_slot *slot, u32 fd)
{
    slot->ready = slot->events = 0;
    for (int set = 0; set < SETS; set++)
        slot->events |= has_bit(sets, set, fd) ? set_events[set] : 0;
    slot->file = fd_get((int)fd);
    return slot->file ? 0 : -EBADF;
}

/* Leave the bits of what is ready. */
static int put_slot(struct fd_sets *sets, struct poll_slot *slot, u32 fd)
{
    for (int set = 0; set < SETS; set++)
        if (!(slot->ready & set_events[set]))
            sets->bits[set][fd / 64] &= ~BIT(fd % 64);
    if (slot->file)
        file_put(slot->file);
    return 0;
}

static u32 count_bits(const struct fd_sets *sets)
{
    u32 n = 0;

    for (int set = 0; set < SETS; set++)
        for (u32 word = 0; word < sets->words; word++)
            n += count_ones(sets->bits[set][word]);
    return n;
}

/* @slots are zeroed, one for each descriptor. */
static long select_slots(struct fd_sets *sets, struct poll_slot *slots, u32 n, u64 deadline_ns)
{
    int err = each_fd(sets, slots, get_slot);

    if (!err)
        err = min(poll_slots(slots, n, deadline_ns), 0);
    each_fd(sets, slots, put_slot);
    if (err)
        return err == -EINTR ? -ERESTARTNOHAND : err;
    u32 ready = count_bits(sets);
    err = copy_sets_out(sets);
    return err ? err : (long)ready;
}

static long select_sets(struct fd_sets *sets, u32 nfds, u64 deadline_ns)
{
    struct poll_slot few[FEW_SLOTS] = {0}, *slots = few;
    int err = copy_sets_in(sets, nfds);

    if (err)
        return err;
    u32 n = count_fds(sets);
    if (n > FEW_SLOTS)
        slots = kcalloc(n, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    long ready = select_slots(sets, slots, n, deadline_ns);
    if (slots != few)
        kfree(slots);
    return ready;
}

static long do_select(int nfds, const uaddr_t user[SETS], u64 deadline_ns)
{
    u64 few[SETS * FEW_WORDS] = {0}, *bits = few;

    if (nfds < 0)
        return -EINVAL;
    /* as Linux does: what lies behind the descriptor table is not looked at */
    nfds = min(nfds, (int)current_process()->files->slots->capacity);
    struct fd_sets sets = {.words = DIV_UP((u32)nfds, 64)};
    if (sets.words > FEW_WORDS)
        bits = kcalloc((size_t)SETS * sets.words, sizeof(u64));
    if (!bits)
        return -ENOMEM;
    for (int set = 0; set < SETS; set++) {
        sets.bits[set] = bits + (size_t)set * sets.words;
        sets.user[set] = user[set];
    }
    long ready = select_sets(&sets, (u32)nfds, deadline_ns);
    if (bits != few)
        kfree(bits);
    return ready;
}

static int deadline_of_timeval(uaddr_t from, u64 *deadline_ns)
{
    struct linux_timeval tv;
    u64 ns, us;

    *deadline_ns = NO_DEADLINE;
    if (!from)
        return 0;
    if (copy_from_user(&tv, from, sizeof(tv)))
        return -EFAULT;
    if (tv.tv_sec < 0 || tv.tv_usec < 0)
        return -EINVAL;
    if (__builtin_mul_overflow((u64)tv.tv_sec, NSEC_PER_SEC, &ns) ||
        __builtin_mul_overflow((u64)tv.tv_usec, NSEC_PER_USEC, &us) ||
        __builtin_add_overflow(ns, us, &ns))
        return 0;
    *deadline_ns = ns ? time_after_ns(ns) : 0;
    return 0;
}

long sys_select(int nfds, uaddr_t readfds, uaddr_t writefds, uaddr_t exceptfds, uaddr_t timeout)
{
    const uaddr_t user[SETS] = {readfds, writefds, exceptfds};
    u64 deadline_ns;
    int err = deadline_of_timeval(timeout, &deadline_ns);

    if (err)
        return err;
    long ready = do_select(nfds, user, deadline_ns);
    if (timeout && deadline_ns != NO_DEADLINE) {
        u64 left = time_left_ns(deadline_ns);
        struct linux_timeval tv = {(s64)(left / NSEC_PER_SEC),
                                   (s64)(left % NSEC_PER_SEC / NSEC_PER_USEC)};
        (void)copy_to_user(timeout, &tv, sizeof(tv)); /* Linux ignores a fault here too */
    }
    return ready;
}

long sys_pselect6(int nfds, uaddr_t readfds, uaddr_t writefds, uaddr_t exceptfds, uaddr_t timeout,
                  uaddr_t sigmask)
{
    const uaddr_t user[SETS] = {readfds, writefds, exceptfds};
    struct pselect_mask_abi mask = {0};
    u64 deadline_ns;

    if (sigmask && copy_from_user(&mask, sigmask, sizeof(mask)))
        return -EFAULT;
    int err = deadline_of_timespec(timeout, &deadline_ns);
    if (!err)
        err = begin_sigmask(mask.set, mask.size);
    if (err)
        return err;
    long ready = do_select(nfds, user, deadline_ns);
    end_sigmask(mask.set, ready);
    put_timespec_left(timeout, deadline_ns);
    return ready;
}
