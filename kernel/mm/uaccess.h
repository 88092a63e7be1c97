/* The program's memory, reached safely.  Addresses are checked to lie in the lower half; a fault
 * inside is resolved as the program's own would be, or ends in -EFAULT.  Thread context; may sleep.
 */
#pragma once

#include "abi/errno.h"
#include "arch/uaccess.h"
#include "core/panic.h"
#include "mm/mm.h"

/** Copy @n bytes in. 0, or -EFAULT (then @dst is unspecified). */
int copy_from_user(void *dst, uaddr_t src, size_t n);
/** Copy @n bytes out. 0, or -EFAULT (a leading part may have been written). */
int copy_to_user(uaddr_t dst, const void *src, size_t n);
/* The same for one word, without a call: 40 instructions less. */
#ifdef __INGOT_KERNEL__
#define USER_WORD(bits)                                                                            \
    static inline int user_get##bits(u##bits *to, uaddr_t from)                                    \
    {                                                                                              \
        u##bits value;                                                                             \
        may_sleep();                                                                               \
        if (unlikely(from > USER_TOP - sizeof(value)))                                             \
            return -EFAULT;                                                                        \
        arch_user_get(value, (const u##bits *)(uintptr_t)from, fault);                             \
        *to = value;                                                                               \
        return 0;                                                                                  \
    fault:                                                                                         \
        return -EFAULT;                                                                            \
    }                                                                                              \
    static inline int user_put##bits(uaddr_t to, u##bits value)                                    \
    {                                                                                              \
        may_sleep();                                                                               \
        if (unlikely(to > USER_TOP - sizeof(value)))                                               \
            return -EFAULT;                                                                        \
        arch_user_put((u##bits *)(uintptr_t)to, value, fault);                                     \
        return 0;                                                                                  \
    fault:                                                                                         \
        return -EFAULT;                                                                            \
    }
#else /* tests have program memory of their own */
#define USER_WORD(bits)                                                                            \
    static inline int user_get##bits(u##bits *to, uaddr_t from)                                    \
    {                                                                                              \
        return copy_from_user(to, from, sizeof(*to));                                              \
    }                                                                                              \
    static inline int user_put##bits(uaddr_t to, u##bits value)                                    \
    {                                                                                              \
        return copy_to_user(to, &value, sizeof(value));                                            \
    }
#endif
USER_WORD(8)
USER_WORD(32)
USER_WORD(64)
#undef USER_WORD
/** Clear @n bytes. 0 or -EFAULT. */
int clear_user(uaddr_t dst, size_t n);
/**
 * Copy a string with its NUL into @dst of @size bytes.
 * Returns its length without the NUL, -EFAULT, or -ENAMETOOLONG where it does not fit.
 */
ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size);
/** The 32-bit word at @addr, which must be aligned. 0, -EFAULT or -EINVAL. */
int user_load32(uaddr_t addr, u32 *out);
/** Compare and exchange; *@seen is what was there. 0, -EFAULT or -EINVAL. */
int user_cmpxchg32(uaddr_t addr, u32 expected, u32 desired, u32 *seen);

/** struct iovec of the ABI. */
struct iovec {
    uaddr_t base;
    u64 len;
};

/** A cursor over memory of the program's or the kernel's: what read and write move bytes through.
 * Nearly all are plain: one buffer of the program's, which was seen to lie in its half. */
struct iov_iter {
    u64 left;                /* bytes in all */
    uaddr_t at;              /* plain: the next byte */
    const struct iovec *iov; /* remaining segments, borrowed; NULL: plain, and the rest is unset */
    u32 segments;            /* left, the current one included */
    bool kernel;             /* addresses are the kernel's own: plain copies */
    u64 offset;              /* into the first segment */
};

/** [@addr, +@n) lies in the program's half, mapped or not, so that a copy cannot reach into the
 * kernel. */
static inline bool is_user_range(uaddr_t addr, u64 n)
{
    return likely(n <= USER_TOP && addr <= USER_TOP - n);
}

/** Over one buffer of the program's; is_user_range(@base, @len). */
static inline void iter_init_user(struct iov_iter *it, uaddr_t base, u64 len)
{
    it->left = len;
    it->at = base;
    it->iov = NULL;
}
/** Over @len bytes of the kernel's at @base; @iov is the caller's, and stays while the iterator is
 * used. */
void iter_init_kernel(struct iov_iter *it, struct iovec *iov, void *base, size_t len);
/** Over @segments buffers, @total bytes in all, each checked when it is reached; @iov is borrowed.
 */
void iter_init_vec(struct iov_iter *it, const struct iovec *iov, u32 segments, u64 total);
/** One buffer of the program's, with @n bytes left at least. */
static inline bool iter_is_plain(const struct iov_iter *it, size_t n)
{
    return !it->iov && n <= it->left;
}
/** @n bytes of a plain one have moved; returns @n. */
static inline size_t iter_advance(struct iov_iter *it, size_t n)
{
    it->at += n;
    it->left -= n;
    return n;
}
/* The other cases of iter_write() and iter_read(). */
size_t iter_write_any(struct iov_iter *it, const void *src, size_t n);
size_t iter_read_any(struct iov_iter *it, void *dst, size_t n);
/** Only what moves to or from the program may. */
static inline void iter_may_sleep(const struct iov_iter *it)
{
    if (!it->iov || !it->kernel)
        may_sleep();
}
/** Move up to @n bytes from @src into the iterator and advance. Bytes moved; short only on a fault.
 */
static inline size_t iter_write(struct iov_iter *it, const void *src, size_t n)
{
    iter_may_sleep(it);
    if (likely(iter_is_plain(it, n)))
        return iter_advance(it, n - arch_copy_user((void *)(uintptr_t)it->at, src, n));
    return iter_write_any(it, src, n);
}
/** Move up to @n bytes out of the iterator to @dst and advance. */
static inline size_t iter_read(struct iov_iter *it, void *dst, size_t n)
{
    iter_may_sleep(it);
    if (likely(iter_is_plain(it, n)))
        return iter_advance(it, n - arch_copy_user(dst, (const void *)(uintptr_t)it->at, n));
    return iter_read_any(it, dst, n);
}
/** As iter_write() and iter_read(), where a stream's many bytes pass. */
size_t iter_write_bulk(struct iov_iter *it, const void *src, size_t n);
size_t iter_read_bulk(struct iov_iter *it, void *dst, size_t n);
/** As iter_write with zero bytes. */
size_t iter_zero(struct iov_iter *it, size_t n);
/**
 * For who moves bytes without a copy: where the next ones lie, and in *@n how many do in one run,
 * 0 at the end. NULL: outside of the program's half. Memory of the program may fault or be absent.
 */
void *iter_run(struct iov_iter *it, size_t *n);
/** Go on over @n bytes of what iter_run() returned. */
void iter_skip(struct iov_iter *it, size_t n);
/** Step back over @n bytes that were moved but not used. */
void iter_revert(struct iov_iter *it, size_t n);
