/* The cursor through which read and write move bytes. */
#include "mm/uaccess.h"

#include "arch/uaccess.h"
#include "lib/string.h"

void iter_init_kernel(struct iov_iter *it, struct iovec *iov, void *base, size_t len)
{
    *iov = (struct iovec){(uaddr_t)(uintptr_t)base, len};
    *it = (struct iov_iter){.iov = iov, .segments = 1, .left = len, .kernel = true};
}

void iter_init_vec(struct iov_iter *it, const struct iovec *iov, u32 segments, u64 total)
{
    *it = (struct iov_iter){.iov = iov, .segments = segments, .left = total};
}

enum move { MOVE_IN, MOVE_OUT, MOVE_ZERO };

/* Bytes NOT moved between the program's @place and @buf. */
static size_t move_user(enum move move, void *place, char *buf, size_t n)
{
    if (!is_user_range((uaddr_t)(uintptr_t)place, n))
        return n;
    if (move == MOVE_ZERO)
        return arch_clear_user(place, n);
    return move == MOVE_OUT ? arch_copy_user(place, buf, n) : arch_copy_user(buf, place, n);
}

/* Likewise for @addr of the iterator. */
static size_t move_bytes(const struct iov_iter *it, enum move move, uaddr_t addr, char *buf,
                         size_t n)
{
    void *place = (void *)(uintptr_t)addr;

    if (!it->kernel)
        return move_user(move, place, buf, n);
    if (move == MOVE_ZERO)
        memset(place, 0, n);
    else
        memcpy(move == MOVE_OUT ? place : buf, move == MOVE_OUT ? buf : place, n);
    return 0;
}

/* On to the next segment when this one is used up; empty ones are passed over. */
static void skip_used(struct iov_iter *it)
{
    while (it->segments > 1 && it->offset == it->iov->len) {
        it->iov++;
        it->segments--;
        it->offset = 0;
    }
}

/* Between @buf and the program's segments: writev and sendmsg, whose segments are short. @n is at
 * most .left. */
static inline size_t move_segments(struct iov_iter *it, bool out, char *buf, size_t n)
{
    size_t done = 0;

    while (done < n) {
        size_t part = min(n - done, (size_t)(it->iov->len - it->offset));
        if (!part) {
            if (it->segments <= 1) /* segments hold less than .left says */
                break;
            it->iov++;
            it->segments--;
            it->offset = 0;
            continue;
        }
        uaddr_t addr = it->iov->base + it->offset;
        if (!is_user_range(addr, part))
            break;
        void *place = (void *)(uintptr_t)addr;
        size_t missing =
            out ? arch_copy_user(place, buf + done, part) : arch_copy_user(buf + done, place, part);
        done += part - missing;
        it->offset += part - missing;
        if (missing)
            break;
    }
    it->left -= done;
    return done;
}

/* Between @buf and the kernel's one piece, as sendfile has it. */
static inline size_t move_piece(struct iov_iter *it, bool out, char *buf, size_t n)
{
    char *place = (char *)(uintptr_t)(it->iov->base + it->offset);

    n = min(n, (size_t)(it->iov->len - it->offset));
    memcpy(out ? place : buf, out ? buf : place, n);
    it->offset += n;
    it->left -= n;
    return n;
}

static size_t iter_move(struct iov_iter *it, enum move move, char *buf, size_t n)
{
    size_t done = 0;

    n = min(n, (size_t)it->left);
    if (!it->iov)
        return iter_advance(it, n - move_user(move, (void *)(uintptr_t)it->at, buf, n));
    if (likely(!it->kernel && move != MOVE_ZERO))
        return move_segments(it, move == MOVE_OUT, buf, n);
    if (it->segments == 1 && move != MOVE_ZERO)
        return move_piece(it, move == MOVE_OUT, buf, n);
    while (done < n) {
        skip_used(it);
        size_t part = min(n - done, (size_t)(it->iov->len - it->offset));
        if (!part) /* segments hold less than .left says */
            break;
        size_t missing =
            move_bytes(it, move, it->iov->base + it->offset, buf ? buf + done : NULL, part);
        it->offset += part - missing;
        it->left -= part - missing;
        done += part - missing;
        if (missing)
            break;
    }
    return done;
}

size_t iter_write_any(struct iov_iter *it, const void *src, size_t n)
{
    return iter_move(it, MOVE_OUT, (char *)(uintptr_t)src, n);
}

size_t iter_read_any(struct iov_iter *it, void *dst, size_t n)
{
    return iter_move(it, MOVE_IN, dst, n);
}

size_t iter_write_bulk(struct iov_iter *it, const void *src, size_t n)
{
    iter_may_sleep(it);
    if (likely(iter_is_plain(it, n)))
        return iter_advance(it, n - arch_copy_user_bulk((void *)(uintptr_t)it->at, src, n));
    return iter_write_any(it, src, n);
}

size_t iter_read_bulk(struct iov_iter *it, void *dst, size_t n)
{
    iter_may_sleep(it);
    if (likely(iter_is_plain(it, n)))
        return iter_advance(it, n - arch_copy_user_bulk(dst, (const void *)(uintptr_t)it->at, n));
    return iter_read_any(it, dst, n);
}

size_t iter_zero(struct iov_iter *it, size_t n)
{
    return iter_move(it, MOVE_ZERO, NULL, n);
}

void *iter_run(struct iov_iter *it, size_t *n)
{
    if (!it->iov) {
        *n = it->left;
        return (void *)(uintptr_t)it->at;
    }
    skip_used(it);
    uaddr_t at = it->iov->base + it->offset;
    size_t run = min((size_t)it->left, (size_t)(it->iov->len - it->offset));
    if (!it->kernel && !is_user_range(at, run))
        return NULL;
    *n = run;
    return (void *)(uintptr_t)at;
}

void iter_skip(struct iov_iter *it, size_t n)
{
    if (it->iov)
        it->offset += n;
    else
        it->at += n;
    it->left -= n;
}

void iter_revert(struct iov_iter *it, size_t n)
{
    it->left += n;
    if (!it->iov) {
        it->at -= n;
        return;
    }
    while (n > it->offset) {
        n -= it->offset;
        it->iov--;
        it->segments++;
        it->offset = it->iov->len;
    }
    it->offset -= n;
}
