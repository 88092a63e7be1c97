/* null(4), zero(4), full(4), random(4), kmsg. */
#include "drv/memdev.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/log.h"
#include "core/random.h"
#include "core/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/thread.h"
#include "sched/wait.h"
#include "vfs/device.h"

enum {
    MAJOR_MEM = 1,
    CHUNK = 256,
    PRIORITY = 6,             /* of each line: it is not kept */
    KMSG_LOOK_NS = 100000000, /* who waits for a line looks so often: the log wakes nobody */
};

static ssize_t null_read(struct file *file __attribute__((unused)),
                         struct iov_iter *to __attribute__((unused)),
                         s64 *pos __attribute__((unused)))
{
    return 0;
}

static ssize_t null_write(struct file *file __attribute__((unused)), struct iov_iter *from,
                          s64 *pos __attribute__((unused)))
{
    return (ssize_t)from->left;
}

static s64 null_seek(struct file *file, s64 offset __attribute__((unused)),
                     int whence __attribute__((unused)))
{
    return file->pos = 0;
}

static ssize_t zero_read(struct file *file __attribute__((unused)), struct iov_iter *to,
                         s64 *pos __attribute__((unused)))
{
    size_t want = to->left, n = iter_zero(to, want);

    return n || !want ? (ssize_t)n : -EFAULT;
}

/* A mapping of /dev/zero is memory without a file. */
static int zero_mmap(struct file *file __attribute__((unused)), u32 prot __attribute__((unused)),
                     u32 flags __attribute__((unused)))
{
    return 1;
}

static ssize_t full_write(struct file *file __attribute__((unused)), struct iov_iter *from,
                          s64 *pos __attribute__((unused)))
{
    return from->left ? -ENOSPC : 0;
}

static ssize_t random_read(struct file *file __attribute__((unused)), struct iov_iter *to,
                           s64 *pos __attribute__((unused)))
{
    u8 buf[CHUNK];
    size_t done = 0;

    while (to->left) {
        size_t n = min(to->left, sizeof(buf));
        random_bytes(buf, n);
        size_t moved = iter_write(to, buf, n);
        done += moved;
        if (moved != n)
            return done ? (ssize_t)done : -EFAULT;
    }
    return (ssize_t)done;
}

static ssize_t random_write(struct file *file __attribute__((unused)), struct iov_iter *from,
                            s64 *pos __attribute__((unused)))
{
    u8 buf[CHUNK];
    size_t done = 0;

    while (from->left) {
        size_t n = iter_read(from, buf, min(from->left, sizeof(buf)));
        if (!n)
            return done ? (ssize_t)done : -EFAULT;
        random_add_entropy(buf, n);
        done += n;
    }
    return (ssize_t)done;
}

/* Sleep until there is more of the log behind *@from. The bytes read, or -EAGAIN or -ERESTARTSYS.
 */
static ssize_t wait_for_log(const struct file *file, u64 *from, char *buf, size_t size)
{
    for (;;) {
        size_t n = log_read(from, buf, size);
        if (n)
            return (ssize_t)n;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        thread_prepare_sleep(true);
        int err = thread_sleep_until(time_after_ns(KMSG_LOOK_NS));
        thread_finish_sleep();
        if (err == -EINTR)
            return -ERESTARTSYS;
    }
}

/* The microseconds in "[    1.234567] "; @line moves behind it. */
static u64 take_time(const char **line)
{
    const char *p = *line;
    u64 us = 0;

    if (*p++ != '[')
        return 0;
    for (; *p == ' ' || *p == '.' || (*p >= '0' && *p <= '9'); p++)
        us = *p >= '0' ? us * 10 + (u64)(*p - '0') : us;
    if (p[0] != ']' || p[1] != ' ')
        return 0;
    *line = p + 2;
    return us;
}

/* A line as Documentation/ABI/testing/dev-kmsg has it; its number is its place in the log. */
static ssize_t kmsg_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    char buf[2 * CHUNK + 1], head[64];
    u64 behind = (u64)file->pos;
    ssize_t n = wait_for_log(file, &behind, buf, sizeof(buf) - 1);

    if (n < 0)
        return n;
    u64 first = behind - (u64)n;
    char *end = memchr(buf, '\n', (size_t)n);
    if (!end)
        *(end = buf + n) = '\n'; /* too long, or cut in two */
    const char *text = buf;
    u64 us = take_time(&text);
    size_t head_len = (size_t)format(head, sizeof(head), "%u,%lu,%lu,-;", PRIORITY, first, us);
    size_t text_len = (size_t)(end + 1 - text);
    if (head_len + text_len > to->left)
        return -EINVAL;
    if (iter_write(to, head, head_len) != head_len || iter_write(to, text, text_len) != text_len)
        return -EFAULT;
    file->pos = (s64)min(first + (u64)(end - buf) + 1, behind);
    return (ssize_t)(head_len + text_len);
}

/* To the first line that is kept, or behind the last. */
static s64 kmsg_seek(struct file *file, s64 offset, int whence)
{
    if (offset)
        return -ESPIPE;
    switch (whence) {
    case SEEK_SET:
    case SEEK_DATA: /* since it was cleared, which it never is */
        file->pos = 0;
        return 0;
    case SEEK_END:
        file->pos = (s64)log_end();
        return 0; /* as on Linux */
    default:
        return -EINVAL;
    }
}

static ssize_t kmsg_write(struct file *file __attribute__((unused)), struct iov_iter *from,
                          s64 *pos __attribute__((unused)))
{
    char buf[CHUNK];
    size_t want = from->left, n = iter_read(from, buf, min(want, sizeof(buf) - 1));

    if (!n && want)
        return -EFAULT;
    buf[n] = 0;
    if (n && buf[n - 1] == '\n')
        buf[n - 1] = 0;
    log_info("%s", buf);
    return (ssize_t)want;
}

static const struct file_ops null_ops = {.read = null_read, .write = null_write, .seek = null_seek};
static const struct file_ops zero_ops = {
    .read = zero_read, .write = null_write, .seek = null_seek, .mmap = zero_mmap};
static const struct file_ops full_ops = {.read = zero_read, .write = full_write, .seek = null_seek};
static const struct file_ops random_ops = {
    .read = random_read, .write = random_write, .seek = null_seek};
static const struct file_ops kmsg_ops = {.read = kmsg_read, .write = kmsg_write, .seek = kmsg_seek};

static struct char_device devices[] = {
    {.name = "null", .rdev = MAJOR_MEM << 8 | 3, .mode = 0666, .ops = &null_ops},
    {.name = "zero", .rdev = MAJOR_MEM << 8 | 5, .mode = 0666, .ops = &zero_ops},
    {.name = "full", .rdev = MAJOR_MEM << 8 | 7, .mode = 0666, .ops = &full_ops},
    {.name = "random", .rdev = MAJOR_MEM << 8 | 8, .mode = 0666, .ops = &random_ops},
    {.name = "urandom", .rdev = MAJOR_MEM << 8 | 9, .mode = 0666, .ops = &random_ops},
    {.name = "kmsg", .rdev = MAJOR_MEM << 8 | 11, .mode = 0600, .ops = &kmsg_ops},
};

void memdev_init(void)
{
    for (size_t i = 0; i < ARRAY_LEN(devices); i++)
        char_device_add(&devices[i]);
}
