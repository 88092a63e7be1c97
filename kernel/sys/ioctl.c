/* ioctl: what every file understands; the rest is its kind's. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "abi/termios.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/inode.h"

enum { FICLONE = 0x40049409, FICLONERANGE = 0x4020940d }; /* linux/fs.h */

static long set_flag(struct file *file, uaddr_t arg, u32 flag)
{
    int on;

    if (copy_from_user(&on, arg, sizeof(on)))
        return -EFAULT;
    if (on)
        __atomic_fetch_or(&file->flags, flag, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&file->flags, ~flag, __ATOMIC_RELAXED);
    return 0;
}

/* Bytes up to the end of a regular file. */
static long bytes_left(struct file *file, uaddr_t arg)
{
    int left = (int)((s64)file->inode->size - file->pos);

    return copy_to_user(arg, &left, sizeof(left));
}

static long file_ioctl(int fd, struct file *file, unsigned cmd, uaddr_t arg)
{
    switch (cmd) {
    case FIOCLEX:
        return fd_set_flags(fd, FD_CLOEXEC);
    case FIONCLEX:
        return fd_set_flags(fd, 0);
    case FIONBIO:
        return set_flag(file, arg, O_NONBLOCK);
    case FIOASYNC:
        return set_flag(file, arg, O_ASYNC);
    case FIONREAD:
        if (file->inode && S_ISREG(file->inode->mode))
            return bytes_left(file, arg);
        break;
    case FICLONE:
    case FICLONERANGE:
        if (file->inode && S_ISREG(file->inode->mode))
            return -EOPNOTSUPP; /* no file system here shares blocks: cp copies then */
        break;
    default:
        break;
    }
    return file->ops && file->ops->ioctl ? file->ops->ioctl(file, cmd, arg) : -ENOTTY;
}

long sys_ioctl(int fd, unsigned cmd, u64 arg)
{
    struct fd_ref ref = fd_borrow(fd);

    if (!ref.file)
        return -EBADF;
    long err = file_ioctl(fd, ref.file, cmd, arg);
    fd_return(ref);
    return err;
}
