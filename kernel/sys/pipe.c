/* pipe, pipe2, splice, tee, vmsplice. */
#include "vfs/anon/pipe.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "mm/heap.h"
#include "syscalls.h"
#include "vfs/fd.h"

enum { SPLICE_F_NONBLOCK = 2, SPLICE_F_ALL = 15 };

/* Takes both references. */
static long install_ends(struct file *ends[2], uaddr_t fds, bool cloexec)
{
    int fd[2];

    fd[0] = fd_install(ends[0], 0, cloexec);
    if (fd[0] < 0)
        goto put_ends;
    fd[1] = fd_install(ends[1], 0, cloexec);
    if (fd[1] < 0) {
        fd_close(fd[0]);
        file_put(ends[1]);
        return fd[1];
    }
    if (!copy_to_user(fds, fd, sizeof(fd)))
        return 0;
    fd_close(fd[0]);
    fd_close(fd[1]);
    return -EFAULT;

put_ends:
    file_put(ends[0]);
    file_put(ends[1]);
    return fd[0];
}

long sys_pipe2(uaddr_t fds, int flags)
{
    struct file *ends[2];

    if (flags & ~(O_CLOEXEC | O_NONBLOCK)) /* no packet mode */
        return -EINVAL;
    int err = pipe_create(ends, (u32)flags & O_NONBLOCK);
    return err ? err : install_ends(ends, fds, flags & O_CLOEXEC);
}

long sys_pipe(uaddr_t fds)
{
    return sys_pipe2(fds, 0);
}

/* The side of a splice that is no pipe, with the position it works at. */
struct splice_end {
    struct file *file;
    s64 at, *pos;
    uaddr_t user_pos; /* 0: the file's own */
};

static int begin_end(struct splice_end *end, struct file *file, uaddr_t user_pos)
{
    *end = (struct splice_end){.file = file, .user_pos = user_pos};
    bool seekable = file->mode & FILE_SEEK;
    if (user_pos && !seekable)
        return -ESPIPE;
    if (user_pos && copy_from_user(&end->at, user_pos, sizeof(end->at)))
        return -EFAULT;
    if (user_pos && end->at < 0)
        return -EINVAL;
    if (user_pos)
        end->pos = &end->at;
    else if (seekable) {
        mutex_lock(&file->pos_lock);
        end->pos = &file->pos;
    }
    return 0;
}

static ssize_t finish_end(struct splice_end *end, ssize_t n)
{
    if (end->pos == &end->file->pos)
        mutex_unlock(&end->file->pos_lock);
    if (end->user_pos && n > 0 && copy_to_user(end->user_pos, &end->at, sizeof(end->at)))
        return -EFAULT;
    return n;
}

static ssize_t splice_files(struct file *in, uaddr_t off_in, struct file *out, uaddr_t off_out,
                            size_t len, bool nonblock)
{
    struct pipe *from = pipe_of_file(in), *to = pipe_of_file(out);
    struct splice_end end;

    if ((from && off_in) || (to && off_out))
        return -ESPIPE;
    if (from && to)
        return pipe_to_pipe(from, to, len, nonblock || (in->flags | out->flags) & O_NONBLOCK,
                            false);
    if (!from && !to)
        return -EINVAL;
    if (from && (out->flags & O_APPEND))
        return -EINVAL;
    int err = begin_end(&end, from ? out : in, from ? off_out : off_in);
    if (err)
        return err;
    ssize_t n = from ? pipe_splice_out(from, out, end.pos, len, nonblock || in->flags & O_NONBLOCK)
                     : pipe_splice_in(to, in, end.pos, len, nonblock || out->flags & O_NONBLOCK);
    return finish_end(&end, n);
}

/* Both files of a call that moves bytes from one to the other; NULL: EBADF. */
struct pair {
    struct fd_ref in, out;
};

static int begin_pair(struct pair *pair, int fd_in, int fd_out)
{
    pair->in = fd_borrow(fd_in);
    pair->out = fd_borrow(fd_out);
    if (pair->in.file && pair->out.file && (pair->in.file->mode & FILE_READ) &&
        (pair->out.file->mode & FILE_WRITE))
        return 0;
    return -EBADF;
}

static void end_pair(struct pair *pair)
{
    if (pair->in.file)
        fd_return(pair->in);
    if (pair->out.file)
        fd_return(pair->out);
}

long sys_splice(int fd_in, uaddr_t off_in, int fd_out, uaddr_t off_out, u64 len, unsigned flags)
{
    struct pair pair;

    if (flags & ~(unsigned)SPLICE_F_ALL)
        return -EINVAL;
    if (!len)
        return 0;
    long n = begin_pair(&pair, fd_in, fd_out);
    if (!n)
        n = splice_files(pair.in.file, off_in, pair.out.file, off_out, len,
                         flags & SPLICE_F_NONBLOCK);
    end_pair(&pair);
    return n;
}

long sys_tee(int fd_in, int fd_out, u64 len, unsigned flags)
{
    struct pair pair;

    if (flags & ~(unsigned)SPLICE_F_ALL)
        return -EINVAL;
    long n = begin_pair(&pair, fd_in, fd_out);
    if (!n) {
        struct pipe *from = pipe_of_file(pair.in.file), *to = pipe_of_file(pair.out.file);
        n = from && to ? pipe_to_pipe(from, to, len, flags & SPLICE_F_NONBLOCK, true) : -EINVAL;
    }
    end_pair(&pair);
    return n;
}

static long splice_vector(struct file *file, struct iovec *iov, u32 count)
{
    struct iov_iter it;
    u64 total = 0;

    for (u32 i = 0; i < count; i++)
        if (__builtin_add_overflow(total, iov[i].len, &total) || total > INT64_MAX)
            return -EINVAL;
    iter_init_vec(&it, iov, count, total);
    return file->mode & FILE_WRITE ? file_write(file, &it, NULL) : file_read(file, &it, NULL);
}

long sys_vmsplice(int fd, uaddr_t iov, u64 count, unsigned flags)
{
    if (flags & ~(unsigned)SPLICE_F_ALL || count > LINUX_IOV_MAX)
        return -EINVAL;
    struct fd_ref ref = fd_borrow(fd);
    if (!ref.file || !pipe_of_file(ref.file)) {
        if (ref.file)
            fd_return(ref);
        return -EBADF;
    }
    struct iovec *own = count ? kmalloc(count * sizeof(*own)) : NULL;
    long n = 0;
    if (count && !own)
        n = -ENOMEM;
    else if (count)
        n = copy_from_user(own, iov, count * sizeof(*own));
    if (!n && count)
        n = splice_vector(ref.file, own, (u32)count);
    kfree(own);
    fd_return(ref);
    return n;
}
