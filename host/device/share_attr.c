/* Attributes of what is in a shared folder. */
#include "device/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { MODE_BITS = 07777, NO_ID = -1 };

static void put_time(struct share_call *call, const struct timespec *time)
{
    share_put64(call, (u64)time->tv_sec);
    share_put64(call, (u64)time->tv_nsec);
}

int share_getattr(struct share_call *call)
{
    static const struct timespec unknown;
    const struct share_fid *fid = share_find(call->share, share_get32(call));
    struct stat st;

    (void)share_get64(call); /* what is wanted: it gets all that we know */
    if (call->bad || !fid)
        return -EBADF;
    if (fstat(fid->fd, &st))
        return -errno;
    share_put64(call, P9_GET_BASIC);
    int err = share_put_qid(call, &st);
    if (err)
        return err;
    share_put32(call, st.st_mode);
    share_put32(call, st.st_uid);
    share_put32(call, st.st_gid);
    share_put64(call, st.st_nlink);
    share_put64(call, st.st_rdev);
    share_put64(call, (u64)st.st_size);
    share_put64(call, (u64)st.st_blksize);
    share_put64(call, (u64)st.st_blocks);
    put_time(call, &st.st_atim);
    put_time(call, &st.st_mtim);
    put_time(call, &st.st_ctim);
    put_time(call, &unknown); /* of birth */
    share_put64(call, 0);     /* generation */
    share_put64(call, 0);     /* version of the bytes */
    return 0;
}

/* What a P9_SETATTR carries. */
struct wanted {
    u32 valid, mode, uid, gid;
    u64 size;
    struct timespec times[2];
};

static struct timespec get_time(struct share_call *call)
{
    u64 sec = share_get64(call), nsec = share_get64(call);

    return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = (long)(nsec % 1000000000)};
}

static int set_mode(const struct share *share, int fd, u32 mode)
{
    char name[16];
    struct stat st;

    if (fstat(fd, &st))
        return -errno;
    if (S_ISLNK(st.st_mode))
        return -EOPNOTSUPP;
    snprintf(name, sizeof(name), "%d", fd);
    return fchmodat(share->proc_fd, name, mode & MODE_BITS, 0) ? -errno : 0;
}

static int set_owner(int fd, const struct wanted *w)
{
    uid_t uid = w->valid & P9_SET_UID ? w->uid : (uid_t)NO_ID;
    gid_t gid = w->valid & P9_SET_GID ? w->gid : (gid_t)NO_ID;

    if (!fchownat(fd, "", uid, gid, AT_EMPTY_PATH))
        return 0;
    return errno == EINVAL ? -EPERM : -errno; /* an owner that our user namespace does not have */
}

static int set_times(int fd, const struct wanted *w)
{
    static const u32 set[] = {P9_SET_ATIME, P9_SET_MTIME};
    static const u32 to[] = {P9_SET_ATIME_TO, P9_SET_MTIME_TO};
    struct timespec times[2];

    for (u32 i = 0; i < 2; i++) {
        times[i] = w->times[i];
        if (!(w->valid & to[i]))
            times[i].tv_nsec = w->valid & set[i] ? UTIME_NOW : UTIME_OMIT;
    }
    return utimensat(fd, "", times, AT_EMPTY_PATH) ? -errno : 0;
}

static int set_size(const struct share *share, int fd, u64 size)
{
    if (size > INT64_MAX)
        return -EFBIG;
    int to = share_reopen(share, fd, O_WRONLY);
    if (to < 0)
        return to;
    int err = ftruncate(to, (off_t)size) ? -errno : 0;
    close(to);
    return err;
}

static int set_all(const struct share *share, int fd, const struct wanted *w)
{
    int err = 0;

    if (w->valid & (P9_SET_UID | P9_SET_GID))
        err = set_owner(fd, w);
    if (!err && w->valid & P9_SET_MODE) /* behind the owner, who takes set-id bits away */
        err = set_mode(share, fd, w->mode);
    if (!err && w->valid & P9_SET_SIZE)
        err = set_size(share, fd, w->size);
    if (!err && w->valid & (P9_SET_ATIME | P9_SET_MTIME))
        err = set_times(fd, w);
    return err;
}

int share_setattr(struct share_call *call)
{
    const struct share_fid *fid = share_find(call->share, share_get32(call));
    struct wanted w;

    w.valid = share_get32(call);
    w.mode = share_get32(call);
    w.uid = share_get32(call);
    w.gid = share_get32(call);
    w.size = share_get64(call);
    w.times[0] = get_time(call);
    w.times[1] = get_time(call);
    if (call->bad || !fid)
        return -EBADF;
    return set_all(call->share, fid->fd, &w);
}

int share_statfs(struct share_call *call)
{
    const struct share_fid *fid = share_find(call->share, share_get32(call));
    struct statfs st;

    if (call->bad || !fid)
        return -EBADF;
    if (fstatfs(fid->fd, &st))
        return -errno;
    share_put32(call, (u32)st.f_type);
    share_put32(call, (u32)st.f_bsize);
    share_put64(call, st.f_blocks);
    share_put64(call, st.f_bfree);
    share_put64(call, st.f_bavail);
    share_put64(call, st.f_files);
    share_put64(call, st.f_ffree);
    share_put64(call, 0); /* the host's number is not for the guest */
    share_put32(call, (u32)st.f_namelen);
    return 0;
}
