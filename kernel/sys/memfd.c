/* memfd_create. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/tmpfs.h"
#include "mm/uaccess.h"
#include "syscalls.h"
#include "vfs/fd.h"

enum {
    MFD_CLOEXEC = 1,
    MFD_ALLOW_SEALING = 2,
    MFD_NOEXEC_SEAL = 8,
    MFD_EXEC = 16,
    MFD_KNOWN = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC,
};
enum { NAME_MAX_BYTES = 249 };

/* The name is checked, as Linux does, but all of them are shown as one: it says nothing that the
 * program does not know. */
long sys_memfd_create(uaddr_t name, unsigned flags)
{
    char own[NAME_MAX_BYTES + 1];
    struct file *file;

    if (flags & ~(unsigned)MFD_KNOWN)
        return -EINVAL;
    ssize_t len = strncpy_from_user(own, name, sizeof(own));
    if (len < 0)
        return len == -ENAMETOOLONG ? -EINVAL : len;
    bool seals = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    int err = tmpfs_create_anon("/memfd: (deleted)", O_RDWR | O_LARGEFILE, seals, &file);
    if (err)
        return err;
    int fd = fd_install(file, 0, flags & MFD_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}
