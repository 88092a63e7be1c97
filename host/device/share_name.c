/* Names in a shared folder: walks, and what makes, moves and removes them. */
#include "device/share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_STEPS = 16, MODE_BITS = 07777, RDEV_WORDS = 2 };

/* A fid and a name in it, which most messages begin with. */
struct place {
    struct share_fid *dir;
    char name[NAME_MAX + 1];
};

static int get_place(struct share_call *call, struct place *place)
{
    u32 nr = share_get32(call);

    share_get_str(call, place->name, sizeof(place->name));
    if (call->bad)
        return -EPROTO;
    place->dir = share_find(call->share, nr);
    if (!place->dir)
        return -EBADF;
    return share_is_name(place->name) ? 0 : -EINVAL;
}

/* ---- walks ---- */

/* One step; @fd is closed, whatever becomes of it. */
static int step(struct share_call *call, int fd, const char *name)
{
    struct stat st;

    int next = share_is_name(name) ? openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
    int err = share_is_name(name) ? -errno : -EINVAL;
    close(fd);
    if (next < 0)
        return err;
    err = fstat(next, &st) ? -errno : share_put_qid(call, &st);
    if (!err)
        return next;
    close(next);
    return err;
}

/* As far as it goes.  Where it ends; or the first step's error. */
static int steps(struct share_call *call, int fd, u16 count, u16 *done)
{
    char name[NAME_MAX + 1];

    for (*done = 0; *done < count && fd >= 0; ++*done) {
        share_get_str(call, name, sizeof(name));
        fd = step(call, fd, name);
        if (fd < 0)
            break;
    }
    return fd;
}

int share_walk(struct share_call *call)
{
    struct share *share = call->share;
    u32 from = share_get32(call), to = share_get32(call);
    u16 count = share_get16(call), done;

    if (call->bad)
        return -EPROTO;
    struct share_fid *fid = share_find(share, from);
    if (!fid || fid->opened || (to != from && share_find(share, to)))
        return -EBADF;
    if (count > MAX_STEPS)
        return -EINVAL;
    u32 at = call->out;
    share_put16(call, 0);
    int fd = dup(fid->fd);
    if (fd < 0)
        return -errno;
    fd = steps(call, fd, count, &done);
    if (fd < 0 && (!done || call->bad))
        return fd;
    memcpy(share->answer + at, &done, sizeof(done));
    if (fd < 0)
        return 0; /* the guest counts the steps */
    if (to == from)
        share_remove(share, from);
    return share_add(share, to, fd);
}

/* ---- what makes names ---- */

int share_lcreate(struct share_call *call)
{
    struct place place;

    int err = get_place(call, &place);
    u32 flags = share_get32(call), mode = share_get32(call);
    (void)share_get32(call); /* the group: as the folder has it */
    if (err || call->bad)
        return err ? err : -EPROTO;
    struct share_fid *fid = place.dir;
    if (fid->opened)
        return -EBADF;
    int how = (int)(flags & O_ACCMODE) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(fid->fd, place.name, how, mode & MODE_BITS);
    return fd < 0 ? -errno : share_answer_open(call, fid, fd);
}

int share_mkdir(struct share_call *call)
{
    struct place place;

    int err = get_place(call, &place);
    u32 mode = share_get32(call);
    (void)share_get32(call); /* the group */
    if (err || call->bad)
        return err ? err : -EPROTO;
    if (mkdirat(place.dir->fd, place.name, mode & MODE_BITS))
        return -errno;
    return share_put_qid_at(call, place.dir->fd, place.name);
}

/* A device in the folder would be one of the host. */
int share_mknod(struct share_call *call)
{
    struct place place;

    int err = get_place(call, &place);
    u32 mode = share_get32(call);
    for (u32 i = 0; i < RDEV_WORDS + 1; i++)
        (void)share_get32(call); /* its number, and the group */
    if (err || call->bad)
        return err ? err : -EPROTO;
    if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
        return -EPERM;
    if (mknodat(place.dir->fd, place.name, mode & (S_IFMT | MODE_BITS), 0))
        return -errno;
    return share_put_qid_at(call, place.dir->fd, place.name);
}

int share_symlink(struct share_call *call)
{
    static _Thread_local char target[PATH_MAX];
    struct place place;

    int err = get_place(call, &place);
    share_get_str(call, target, sizeof(target));
    (void)share_get32(call); /* the group */
    if (err || call->bad)
        return err ? err : -EPROTO;
    if (!*target)
        return -EINVAL;
    if (symlinkat(target, place.dir->fd, place.name))
        return -errno;
    return share_put_qid_at(call, place.dir->fd, place.name);
}

int share_link(struct share_call *call)
{
    u32 dir_nr = share_get32(call), nr = share_get32(call);
    char name[NAME_MAX + 1], from[16];

    share_get_str(call, name, sizeof(name));
    if (call->bad)
        return -EPROTO;
    const struct share_fid *dir = share_find(call->share, dir_nr);
    const struct share_fid *fid = share_find(call->share, nr);
    if (!dir || !fid)
        return -EBADF;
    if (!share_is_name(name))
        return -EINVAL;
    snprintf(from, sizeof(from), "%d", fid->fd);
    if (linkat(call->share->proc_fd, from, dir->fd, name, AT_SYMLINK_FOLLOW))
        return -errno;
    return 0;
}

/* ---- what moves and removes them ---- */

int share_renameat(struct share_call *call)
{
    struct place from, to;

    int err = get_place(call, &from);
    if (!err)
        err = get_place(call, &to);
    if (err)
        return err;
    return renameat(from.dir->fd, from.name, to.dir->fd, to.name) ? -errno : 0;
}

int share_unlinkat(struct share_call *call)
{
    struct place place;

    int err = get_place(call, &place);
    u32 flags = share_get32(call);
    if (err || call->bad)
        return err ? err : -EPROTO;
    if (flags & ~(u32)AT_REMOVEDIR)
        return -EINVAL;
    return unlinkat(place.dir->fd, place.name, (int)flags) ? -errno : 0;
}

int share_readlink(struct share_call *call)
{
    char target[PATH_MAX];
    const struct share_fid *fid = share_find(call->share, share_get32(call));

    if (call->bad || !fid)
        return -EBADF;
    ssize_t len = readlinkat(fid->fd, "", target, sizeof(target));
    if (len < 0)
        return errno == ENOENT ? -EINVAL : -errno; /* the host's word for what is no link */
    share_put16(call, (u16)len);
    share_put(call, target, (size_t)len);
    return 0;
}
