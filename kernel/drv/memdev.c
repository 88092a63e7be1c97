/* null(4), zero(4), full(4), random(4), kmsg. */
#include "drv/memdev.h"

#include "abi/errno.h"
#include "core/log.h"
#include "core/random.h"
#include "lib/string.h"
#include "vfs/device.h"

enum { MAJOR_MEM = 1, CHUNK = 256 };

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

static ssize_t kmsg_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    char buf[CHUNK];
    u64 from = (u64)file->pos;
    size_t n = log_read(&from, buf, min(to->left, sizeof(buf)));

    if (iter_write(to, buf, n) != n)
        return -EFAULT;
    file->pos = (s64)from;
    return (ssize_t)n;
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
static const struct file_ops kmsg_ops = {.read = kmsg_read, .write = kmsg_write};

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
