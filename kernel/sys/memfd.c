/* memfd_create. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/tmpfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
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
enum { NAME_MAX_BYTES = 249, KEPT_MAX = 64 };

/* The names under which memfds are shown.  A program uses few, so each is kept once and for good;
 * past KEPT_MAX new ones share one. */
struct kept_name {
    struct kept_name *next;
    char text[NAME_MAX_BYTES + sizeof("/memfd: (deleted)")];
};
static struct kept_name *kept; /* under kept_lock */
static u32 nr_kept;            /* likewise */
static struct mutex kept_lock = {.waiters = LIST_INIT(kept_lock.waiters)};

/* kept_lock held. NULL: no memory, or too many. */
static const char *find_or_keep(const char *text)
{
    struct kept_name *k = kept;

    while (k && strcmp(k->text, text))
        k = k->next;
    if (k || nr_kept >= KEPT_MAX)
        return k ? k->text : NULL;
    k = kmalloc(sizeof(*k));
    if (!k)
        return NULL;
    str_copy(k->text, text, sizeof(k->text));
    k->next = kept;
    kept = k;
    nr_kept++;
    return k->text;
}

static const char *shown_name(const char *name)
{
    char text[NAME_MAX_BYTES + sizeof("/memfd: (deleted)")];

    format(text, sizeof(text), "/memfd:%s (deleted)", name);
    mutex_lock(&kept_lock);
    const char *found = find_or_keep(text);
    mutex_unlock(&kept_lock);
    return found ? found : "/memfd: (deleted)";
}

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
    int err = tmpfs_create_anon(shown_name(own), O_RDWR | O_LARGEFILE, seals, &file);
    if (err)
        return err;
    int fd = fd_install(file, 0, flags & MFD_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}
