/* Bytes of the files of a shared folder, and the names in its folders as they are read. */
#include "device/share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ENTRY_HEADER = P9_QID + 8 + 1 + 2, ROOM_FOR_NAMES = SHARE_ANSWER - P9_DATA_HEADER };

int share_answer_open(struct share_call *call, struct share_fid *fid, int fd)
{
    struct stat st;
    int err = fstat(fd, &st) ? -errno : share_put_qid(call, &st);
    if (err) {
        close(fd);
        return err;
    }
    share_put32(call, 0); /* no best size of a transfer */
    close(fid->fd);
    fid->fd = fd;
    fid->opened = true;
    return 0;
}

int share_lopen(struct share_call *call)
{
    struct share_fid *fid = share_find(call->share, share_get32(call));
    u32 flags = share_get32(call);

    if (call->bad || !fid || fid->opened)
        return -EBADF;
    bool changes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    if (changes && call->share->readonly)
        return -EROFS;
    int fd = share_reopen(call->share, fid->fd,
                          (int)(flags & (O_ACCMODE | O_TRUNC | O_DIRECTORY | O_SYNC)));
    return fd < 0 ? fd : share_answer_open(call, fid, fd);
}

/* One call of the host's is enough: who wants more asks again. */
static ssize_t transfer(int fd, const struct iovec *piece, u32 count, u64 at, bool out)
{
    ssize_t n;

    if (at > INT64_MAX)
        return -EINVAL;
    do
        n = out ? pwritev(fd, piece, (int)count, (off_t)at)
                : preadv(fd, piece, (int)count, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Straight into the guest's buffers, behind the answer. */
int share_read(struct share_call *call)
{
    const struct share_fid *fid = share_find(call->share, share_get32(call));
    u64 at = share_get64(call);
    u32 count = share_get32(call);
    struct ring_chain *chain = call->chain;
    struct iovec pieces[RING_MAX_PIECES];

    if (call->bad || !fid || !fid->opened)
        return -EBADF;
    if (chain->in_bytes < P9_DATA_HEADER)
        return -EINVAL;
    memcpy(pieces, chain->piece + chain->nr_out, chain->nr_in * sizeof(*pieces));
    u32 nr = ring_narrow(pieces, chain->nr_in, P9_DATA_HEADER,
                         min((u64)count, chain->in_bytes - P9_DATA_HEADER));
    ssize_t n = transfer(fid->fd, pieces, nr, at, false);
    if (n < 0)
        return (int)n;
    share_put32(call, (u32)n);
    call->direct = (u32)n;
    return 0;
}

int share_write(struct share_call *call)
{
    const struct share_fid *fid = share_find(call->share, share_get32(call));
    u64 at = share_get64(call);
    u32 count = share_get32(call);
    struct ring_chain *chain = call->chain;

    if (call->bad || !fid || !fid->opened)
        return -EBADF;
    if (count > chain->out_bytes - P9_WRITE_HEADER) {
        call->bad = true;
        return -EPROTO;
    }
    u32 nr = ring_narrow(chain->piece, chain->nr_out, P9_WRITE_HEADER, count);
    ssize_t n = transfer(fid->fd, chain->piece, nr, at, true);
    if (n < 0)
        return (int)n;
    share_put32(call, (u32)n);
    return 0;
}

int share_fsync(struct share_call *call)
{
    const struct share_fid *fid = share_find(call->share, share_get32(call));
    u32 data_only = share_get32(call);

    if (call->bad || !fid || !fid->opened)
        return -EBADF;
    return (data_only ? fdatasync(fid->fd) : fsync(fid->fd)) ? -errno : 0;
}

/* One name.  False: it does not fit. */
static bool put_name(struct share_call *call, const struct dirent64 *entry, dev_t dev, u32 room)
{
    size_t len = strlen(entry->d_name);
    u8 type = entry->d_type == DT_DIR ? P9_QID_DIR : entry->d_type == DT_LNK ? P9_QID_LINK : 0;
    u64 path;

    if (ENTRY_HEADER + len > room)
        return false;
    if (share_path_of(call->share, dev, entry->d_ino, &path))
        path = entry->d_ino; /* a hint: who walks there hears of it */
    share_put(call, &type, sizeof(type));
    share_put32(call, 0);
    share_put64(call, path);
    share_put64(call, (u64)entry->d_off);
    share_put(call, &entry->d_type, sizeof(entry->d_type));
    share_put16(call, (u16)len);
    share_put(call, entry->d_name, len);
    return true;
}

/* Names of one call of the host's, as many as fit in @room.  Where the next ones are is told by the
 * last, so those that do not fit are read once more. */
static int put_names(struct share_call *call, struct share_fid *fid, dev_t dev, u32 room)
{
    static _Thread_local char names[8192] __attribute__((aligned(8)));
    u32 start = call->out;

    long got = syscall(SYS_getdents64, fid->fd, names, min(room, (u32)sizeof(names)));
    if (got < 0)
        return -errno;
    u64 last = UINT64_MAX;
    for (long at = 0; at < got;) {
        const struct dirent64 *entry = (const void *)(names + at);
        if (!put_name(call, entry, dev, room - (call->out - start)))
            return at ? 0 : -EINVAL;
        last = (u64)entry->d_off;
        at += entry->d_reclen;
    }
    fid->dir_pos = last; /* all have gone out, so this is where the descriptor stands */
    return 0;
}

int share_readdir(struct share_call *call)
{
    struct share_fid *fid = share_find(call->share, share_get32(call));
    u64 offset = share_get64(call);
    u32 count = share_get32(call);
    struct stat st;

    if (call->bad || !fid || !fid->opened)
        return -EBADF;
    if (fstat(fid->fd, &st))
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if (offset != fid->dir_pos && lseek(fid->fd, (off_t)offset, SEEK_SET) < 0)
        return -errno;
    fid->dir_pos = UINT64_MAX;
    u32 at = call->out, len;
    share_put32(call, 0);
    int err = put_names(call, fid, st.st_dev, min(count, (u32)ROOM_FOR_NAMES));
    len = call->out - at - (u32)sizeof(len);
    memcpy(call->share->answer + at, &len, sizeof(len));
    return err;
}
