/* From file to file without the program in between, and calls about storage. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "sys/fs.h"
#include "sys/socket_file.h"
#include "syscalls.h"
#include "vfs/errseq.h"
#include "vfs/fd.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

enum { COPY_MAX = 0x7ffff000, ADVICE_LAST = 5 };

/* Write up to @len bytes of the page of @in at @pos to @out. Bytes, 0 at the end of @in. */
static ssize_t copy_run(struct inode *in, u64 pos, struct file *out, s64 *out_pos, u64 len)
{
    u64 size = in->size, offset = pos & (PAGE_SIZE - 1);
    struct iov_iter from;
    struct iovec iov;
    paddr_t pa;

    if (pos >= size)
        return 0;
    int err = inode_map_page(in, pos >> PAGE_SHIFT, false, &pa);
    if (err)
        return err == -EFAULT ? 0 : err;
    u64 run = min(PAGE_SIZE - offset, size - pos);
    len = min(len, run);
    iter_init_kernel(&from, &iov, (u8 *)phys_to_virt(pa) + offset, len);
    ssize_t n = file_write(out, &from, out_pos);
    struct page *page = page_of_phys(pa);
    if (page)
        page_put(page);
    return n;
}

/* For what is no regular file: through a buffer. */
static ssize_t copy_buffered(struct file *in, s64 *in_pos, struct file *out, s64 *out_pos, u64 len)
{
    struct page *page = page_alloc(0, 0);
    struct iov_iter it;
    struct iovec iov;

    if (!page)
        return -ENOMEM;
    iter_init_kernel(&it, &iov, page_to_virt(page), min(len, PAGE_SIZE));
    ssize_t n = file_read(in, &it, in_pos);
    if (n > 0) {
        iter_init_kernel(&it, &iov, page_to_virt(page), (size_t)n);
        n = file_write(out, &it, out_pos);
    }
    page_put(page);
    return n;
}

static __attribute__((noinline)) ssize_t copy_parts(struct file *in, s64 *in_pos, struct file *out,
                                                    s64 *out_pos, u64 len, bool pages)
{
    struct inode *inode = in->inode;
    u64 done = 0;

    while (done < len) {
        u64 want = len - done;
        ssize_t n = pages ? copy_run(inode, (u64)*in_pos, out, out_pos, want)
                          : copy_buffered(in, in_pos, out, out_pos, want);
        if (n <= 0)
            return done ? (ssize_t)done : n;
        done += (u64)n;
        if (pages)
            *in_pos += n;
        sched_point();
        if (signal_pending())
            break;
    }
    return (ssize_t)done;
}

static inline bool has_pages(const struct inode *inode)
{
    return inode && S_ISREG(inode->mode) &&
           (inode->ops->map_page || inode->ops->direct || inode->ops->readpages);
}

/* @in_pos and @out_pos (NULL: a stream) move with the bytes. */
static ssize_t copy(struct file *in, s64 *in_pos, struct file *out, s64 *out_pos, u64 len)
{
    bool pages = has_pages(in->inode);
    struct socket *sock = socket_of_file(out);

    if (sock && pages)
        return socket_send_file(sock, in->inode, in_pos, len);
    return copy_parts(in, in_pos, out, out_pos, len, pages);
}

static ssize_t send(struct file *in, s64 *in_pos, struct file *out, u64 count)
{
    bool seekable = file_is_seekable(out);

    if (!(in->mode & FILE_READ) || !(out->mode & FILE_WRITE))
        return -EBADF;
    if (out->flags & O_APPEND || !file_is_seekable(in))
        return -EINVAL;
    if (seekable)
        mutex_lock(&out->pos_lock);
    ssize_t n = copy(in, in_pos, out, seekable ? &out->pos : NULL, min(count, (u64)COPY_MAX));
    if (seekable)
        mutex_unlock(&out->pos_lock);
    return n;
}

/* What web servers ask for: a file of pages to a socket, from a place that they name, where no
 * other thread can close either. False: it is not so, and nothing has happened. */
static inline bool is_page_to_socket(int out_fd, int in_fd, struct file **in, struct socket **out)
{
    const struct process *process = current_process();

    if (unlikely(!fd_table_is_own(process)))
        return false;
    struct file *from = fd_peek(process->files, in_fd), *to = fd_peek(process->files, out_fd);
    if (unlikely(!from || !to || (from->mode & (FILE_READ | FILE_SEEK)) != (FILE_READ | FILE_SEEK)))
        return false;
    *in = from;
    *out = socket_of_file(to);
    return *out && !(to->flags & O_APPEND) && has_pages(from->inode);
}

static __attribute__((noinline)) long send_any(int out_fd, int in_fd, uaddr_t offset, u64 count)
{
    struct fd_ref in = fd_borrow(in_fd), out = fd_borrow(out_fd);
    ssize_t n = -EBADF;
    u64 from = 0;

    if (!in.file || !out.file)
        goto put;
    n = -EFAULT;
    if (offset && user_get64(&from, offset))
        goto put;
    s64 pos = (s64)from;
    n = pos < 0 ? -EINVAL : 0;
    if (!offset)
        pos = in.file->pos;
    if (!n)
        n = send(in.file, &pos, out.file, count);
    if (n > 0 && !offset)
        in.file->pos = pos;
    if (n > 0 && offset && user_put64(offset, (u64)pos))
        n = -EFAULT;
put:
    if (in.file)
        fd_return(in);
    if (out.file)
        fd_return(out);
    return n;
}

long sys_sendfile(int out_fd, int in_fd, uaddr_t offset, u64 count)
{
    struct socket *sock;
    struct file *in;
    s64 pos;

    if (unlikely(!offset || !is_page_to_socket(out_fd, in_fd, &in, &sock)))
        return send_any(out_fd, in_fd, offset, count);
    if (user_get64((u64 *)&pos, offset))
        return -EFAULT;
    if (unlikely(pos < 0))
        return -EINVAL;
    ssize_t n = socket_send_file(sock, in->inode, &pos, min(count, (u64)COPY_MAX));
    return n > 0 && user_put64(offset, (u64)pos) ? -EFAULT : n;
}

/* Both must be regular files that may be used so; @in_pos and @out_pos do not overlap in one. */
static int check_range(const struct file *in, s64 in_pos, const struct file *out, s64 out_pos,
                       u64 len)
{
    if (!in->inode || !out->inode)
        return -EINVAL;
    if (S_ISDIR(in->inode->mode) || S_ISDIR(out->inode->mode))
        return -EISDIR;
    if (!S_ISREG(in->inode->mode) || !S_ISREG(out->inode->mode))
        return -EINVAL;
    if (!(in->mode & FILE_READ) || !(out->mode & FILE_WRITE) || out->flags & O_APPEND)
        return -EBADF;
    if (in_pos < 0 || out_pos < 0)
        return -EINVAL;
    if (in->inode == out->inode && (u64)in_pos < (u64)out_pos + len &&
        (u64)out_pos < (u64)in_pos + len)
        return -EINVAL;
    return 0;
}

static int load_pos(uaddr_t from, const struct file *file, s64 *pos)
{
    *pos = file->pos;
    return from ? copy_from_user(pos, from, sizeof(*pos)) : 0;
}

static int store_pos(uaddr_t to, struct file *file, s64 pos)
{
    if (to)
        return copy_to_user(to, &pos, sizeof(pos));
    file->pos = pos;
    return 0;
}

long sys_copy_file_range(int fd_in, uaddr_t off_in, int fd_out, uaddr_t off_out, u64 len,
                         unsigned flags)
{
    struct fd_ref in = fd_borrow(fd_in), out = fd_borrow(fd_out);
    s64 in_pos, out_pos;
    ssize_t n = -EBADF;

    len = min(len, (u64)COPY_MAX);
    if (in.file && out.file) {
        n = flags ? -EINVAL : load_pos(off_in, in.file, &in_pos);
        if (!n)
            n = load_pos(off_out, out.file, &out_pos);
        if (!n)
            n = check_range(in.file, in_pos, out.file, out_pos, len);
        if (!n)
            n = copy(in.file, &in_pos, out.file, &out_pos, len);
        if (n > 0 && (store_pos(off_in, in.file, in_pos) || store_pos(off_out, out.file, out_pos)))
            n = -EFAULT;
    }
    if (in.file)
        fd_return(in);
    if (out.file)
        fd_return(out);
    return n;
}

static long sync_fd(int fd, bool data_only)
{
    struct fd_ref ref = fd_borrow(fd);

    if (!ref.file)
        return -EBADF;
    int err = ref.file->ops->sync ? ref.file->ops->sync(ref.file, data_only) : -EINVAL;
    fd_return(ref);
    return err;
}

long sys_fsync(int fd)
{
    return sync_fd(fd, false);
}

long sys_fdatasync(int fd)
{
    return sync_fd(fd, true);
}

long sys_sync(void)
{
    (void)mount_sync_all(); /* sync(2) has no way to tell */
    return 0;
}

long sys_syncfs(int fd)
{
    struct fd_ref ref = fd_borrow(fd);
    int err = 0;

    if (!ref.file)
        return -EBADF;
    struct super_block *sb = ref.file->inode ? ref.file->inode->sb : NULL;
    if (sb && sb->ops && sb->ops->sync)
        err = sb->ops->sync(sb);
    int told = sb ? errseq_take(&sb->error, &ref.file->fs_error_seen) : 0;
    err = told ? told : err;
    fd_return(ref);
    return err;
}

long sys_sync_file_range(int fd, s64 offset, s64 len, unsigned flags)
{
    if (offset < 0 || len < 0 || flags & ~7u)
        return fd_get_flags(fd) < 0 ? -EBADF : -EINVAL;
    long err = sync_fd(fd, true);
    return err == -EINVAL ? -ESPIPE : err;
}

/* Advice is taken where it costs nothing: what is in memory stays there. */
long sys_fadvise64(int fd, s64 offset, u64 len, int advice)
{
    struct fd_ref ref = fd_borrow(fd);
    int err = 0;

    (void)offset;
    if (!ref.file)
        return -EBADF;
    if (!ref.file->inode || S_ISFIFO(ref.file->inode->mode))
        err = -ESPIPE;
    else if (advice < 0 || advice > ADVICE_LAST || (s64)len < 0)
        err = -EINVAL;
    fd_return(ref);
    return err;
}

long sys_readahead(int fd, s64 offset, u64 count)
{
    struct fd_ref ref = fd_borrow(fd);
    int err = 0;

    (void)offset, (void)count;
    if (!ref.file)
        return -EBADF;
    if (!(ref.file->mode & FILE_READ))
        err = -EBADF;
    else if (!ref.file->inode || !S_ISREG(ref.file->inode->mode))
        err = -EINVAL;
    fd_return(ref);
    return err;
}
