/* read, write and their kin, and lseek. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/resource.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "sys/fs.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/inode.h"
#include "vfs/notify.h"

enum { FSIZE_INDEX = 1 };
enum { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 16 };
enum { RWF_KNOWN = 31 };

/* The position needs its lock unless this thread alone can reach the file. */
static inline bool lock_pos(const struct fd_ref *ref)
{
    if (likely(!ref->owned && ref_count(&ref->file->refs) == 1))
        return false;
    mutex_lock(&ref->file->pos_lock);
    return true;
}

static int refuse_size(void)
{
    struct siginfo64 info = {.si_signo = SIGXFSZ};

    (void)signal_send_thread(current, &info); /* the error tells as well */
    return -EFBIG;
}

/* RLIMIT_FSIZE: cut @from to what may be written at @pos; -EFBIG where nothing may. */
static int limit_size(struct iov_iter *from, u64 pos, u64 limit)
{
    if (pos >= limit)
        return refuse_size();
    from->left = min(from->left, limit - pos);
    return 0;
}

/* Is RLIMIT_FSIZE to be looked at? */
static inline bool is_size_limited(void)
{
    return current_process()->rlimits[FSIZE_INDEX].cur != UINT64_MAX;
}

int rw_limit_new_size(const struct inode *inode, u64 size)
{
    bool grows = inode && size > inode->size;

    return grows && size > current_process()->rlimits[FSIZE_INDEX].cur ? refuse_size() : 0;
}

int rw_limit_size(const struct file *file, struct iov_iter *from, s64 pos)
{
    if (likely(!is_size_limited()) || !file->inode || !S_ISREG(file->inode->mode))
        return 0;
    u64 at = file->flags & O_APPEND ? file->inode->size : (u64)pos;
    return limit_size(from, at, current_process()->rlimits[FSIZE_INDEX].cur);
}

static ssize_t write_limited(struct file *file, struct iov_iter *from, s64 *pos)
{
    int err = unlikely(is_size_limited()) && pos ? rw_limit_size(file, from, *pos) : 0;

    if (unlikely(err))
        return err;
    if (likely(file->mode & FILE_WRITE && file->ops->write && !fsnotify_handler))
        return file->ops->write(file, from, pos);
    return file_write(file, from, pos);
}

static inline ssize_t move(struct file *file, struct iov_iter *it, s64 *pos, bool write)
{
    if (write)
        return write_limited(file, it, pos);
    if (likely(file->mode & FILE_READ && file->ops->read && !fsnotify_handler))
        return file->ops->read(file, it, pos);
    return file_read(file, it, pos);
}

/* At the file's own position. */
static inline __attribute__((always_inline)) ssize_t move_here(const struct fd_ref *ref,
                                                               struct iov_iter *it, bool write)
{
    struct file *file = ref->file;

    if (!file_is_seekable(file))
        return move(file, it, NULL, write);
    bool locked = lock_pos(ref);
    ssize_t n = move(file, it, &file->pos, write);
    if (locked)
        mutex_unlock(&file->pos_lock);
    return n;
}

static ssize_t move_at(struct file *file, struct iov_iter *it, s64 pos, bool write)
{
    if (pos < 0)
        return -EINVAL;
    if (!file_is_seekable(file))
        return -ESPIPE;
    return move(file, it, &pos, write);
}

/* A call in general.  A range that leaves the program's half is refused, whatever little of it
 * would be used.  @pos: NULL for the file's own. */
static __attribute__((noinline)) long rw(int fd, uaddr_t buf, u64 count, const s64 *pos, bool write)
{
    struct fd_ref ref = fd_borrow(fd);
    struct iov_iter it;
    ssize_t n = -EFAULT;

    if (unlikely(!ref.file))
        return -EBADF;
    if (likely(is_user_range(buf, count))) {
        iter_init_user(&it, buf, min(count, (u64)USER_RW_MAX));
        n = pos ? move_at(ref.file, &it, *pos, write) : move_here(&ref, &it, write);
    }
    fd_return(ref);
    return n;
}

/* What nearly every call finds: a descriptor that no other thread can close, of a file that is open
 * with all of @mode, and a good buffer.  The file, with the iterator set; NULL: do it by rw(). */
static inline struct file *begin_quick(int fd, uaddr_t buf, u64 count, u32 mode,
                                       struct iov_iter *it)
{
    const struct process *process = current_process();

    if (unlikely(!fd_table_is_own(process)))
        return NULL;
    struct file *file = fd_peek(process->files, fd);
    if (unlikely(!file || (file->mode & (mode | FILE_PATH)) != mode || fsnotify_handler ||
                 !is_user_range(buf, count)))
        return NULL;
    iter_init_user(it, buf, min(count, (u64)USER_RW_MAX));
    return file;
}

/* The file's position, if it needs no lock. */
static inline bool own_pos(struct file *file, s64 **pos)
{
    bool seekable = file_is_seekable(file);

    *pos = seekable ? &file->pos : NULL;
    return !seekable || ref_count(&file->refs) == 1;
}

/* Where other threads could close the descriptor: the same with a reference, for files without a
 * position. False: do it by rw(). */
static inline __attribute__((always_inline)) bool move_shared(int fd, uaddr_t buf, u64 count,
                                                              bool write, long *result)
{
    u32 mode = write ? FILE_WRITE : FILE_READ;
    struct iov_iter it;

    if (fd_table_is_own(current_process()) || fsnotify_handler || !is_user_range(buf, count))
        return false;
    struct file *file = fd_get_shared(current_process()->files, fd);
    if (unlikely(!file))
        return false;
    ssize_t (*fn)(struct file *, struct iov_iter *, s64 *) =
        write ? file->ops->write : file->ops->read;
    bool quick = (file->mode & (mode | FILE_PATH | FILE_SEEK)) == mode && fn;
    if (likely(quick)) {
        iter_init_user(&it, buf, min(count, (u64)USER_RW_MAX));
        *result = fn(file, &it, NULL);
    }
    file_put(file);
    return quick;
}

long sys_read(int fd, uaddr_t buf, u64 count)
{
    struct iov_iter it;
    struct file *file = begin_quick(fd, buf, count, FILE_READ, &it);
    s64 *pos;
    long result;

    if (likely(file && file->ops->read && own_pos(file, &pos)))
        return file->ops->read(file, &it, pos);
    if (move_shared(fd, buf, count, false, &result))
        return result;
    return rw(fd, buf, count, NULL, false);
}

long sys_write(int fd, uaddr_t buf, u64 count)
{
    struct iov_iter it;
    struct file *file = begin_quick(fd, buf, count, FILE_WRITE, &it);
    s64 *pos;
    long result;

    if (likely(file && file->ops->write && own_pos(file, &pos) && !is_size_limited()))
        return file->ops->write(file, &it, pos);
    if (move_shared(fd, buf, count, true, &result))
        return result;
    return rw(fd, buf, count, NULL, true);
}

long sys_pread64(int fd, uaddr_t buf, u64 count, s64 offset)
{
    struct iov_iter it;
    struct file *file = begin_quick(fd, buf, count, FILE_READ | FILE_SEEK, &it);

    if (likely(file && file->ops->read && offset >= 0))
        return file->ops->read(file, &it, &offset);
    return rw(fd, buf, count, &offset, false);
}

long sys_pwrite64(int fd, uaddr_t buf, u64 count, s64 offset)
{
    struct iov_iter it;
    struct file *file = begin_quick(fd, buf, count, FILE_WRITE | FILE_SEEK, &it);

    if (likely(file && file->ops->write && offset >= 0 && !is_size_limited()))
        return file->ops->write(file, &it, &offset);
    return rw(fd, buf, count, &offset, true);
}

/* @pos: NULL for the file's own. */
static long rwv(int fd, uaddr_t iov, u64 count, const s64 *pos, bool write)
{
    struct iovec small[USER_VEC_INLINE], *heap = NULL;
    struct iov_iter it;

    struct fd_ref ref = fd_borrow(fd);
    if (!ref.file)
        return -EBADF;
    ssize_t n = user_vec(iov, count, small, &heap, &it);
    if (!n)
        n = pos ? move_at(ref.file, &it, *pos, write) : move_here(&ref, &it, write);
    kfree(heap);
    fd_return(ref);
    return n;
}

/* A vector of one buffer, as servers have it often, is the buffer. */
static inline bool is_one_buffer(uaddr_t iov, u64 count, u64 *base, u64 *len)
{
    return count == 1 && !user_get64(base, iov) && !user_get64(len, iov + sizeof(u64)) &&
           *len <= USER_RW_MAX;
}

long sys_readv(int fd, uaddr_t iov, u64 count)
{
    u64 base, len;

    if (is_one_buffer(iov, count, &base, &len))
        return sys_read(fd, base, len);
    return rwv(fd, iov, count, NULL, false);
}

long sys_writev(int fd, uaddr_t iov, u64 count)
{
    u64 base, len;

    if (is_one_buffer(iov, count, &base, &len))
        return sys_write(fd, base, len);
    return rwv(fd, iov, count, NULL, true);
}

long sys_preadv(int fd, uaddr_t iov, u64 count, s64 offset, u64 offset_high)
{
    (void)offset_high; /* of 32-bit programs */
    return rwv(fd, iov, count, &offset, false);
}

long sys_pwritev(int fd, uaddr_t iov, u64 count, s64 offset, u64 offset_high)
{
    (void)offset_high;
    return rwv(fd, iov, count, &offset, true);
}

long sys_preadv2(int fd, uaddr_t iov, u64 count, s64 offset, u64 offset_high, int flags)
{
    (void)offset_high;
    if (flags & ~RWF_KNOWN || flags & RWF_APPEND)
        return -EOPNOTSUPP;
    return rwv(fd, iov, count, offset == -1 ? NULL : &offset, false);
}

long sys_pwritev2(int fd, uaddr_t iov, u64 count, s64 offset, u64 offset_high, int flags)
{
    (void)offset_high;
    if (flags & ~RWF_KNOWN)
        return -EOPNOTSUPP;
    if (flags & RWF_APPEND) {
        struct fd_ref ref = fd_borrow(fd);
        if (!ref.file)
            return -EBADF;
        s64 end = ref.file->inode ? (s64)ref.file->inode->size : 0;
        fd_return(ref);
        return rwv(fd, iov, count, &end, true);
    }
    return rwv(fd, iov, count, offset == -1 ? NULL : &offset, true);
}

long sys_lseek(int fd, s64 offset, int whence)
{
    struct fd_ref ref = fd_borrow(fd);
    s64 result = -ESPIPE;

    if (!ref.file)
        return -EBADF;
    if (file_is_seekable(ref.file)) {
        bool locked = lock_pos(&ref);
        result = ref.file->ops->seek ? ref.file->ops->seek(ref.file, offset, whence)
                                     : generic_file_seek(ref.file, offset, whence);
        if (locked)
            mutex_unlock(&ref.file->pos_lock);
    }
    fd_return(ref);
    return result;
}
