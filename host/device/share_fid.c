/* Names that the guest has for files, and what stands for a file on the wire. */
#include "device/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEV_SHIFT = 56 };

static struct share_fid **place_of(struct share *share, u32 nr)
{
    struct share_fid **place = &share->fids[nr % SHARE_BUCKETS];

    while (*place && (*place)->nr != nr)
        place = &(*place)->next;
    return place;
}

struct share_fid *share_find(struct share *share, u32 nr)
{
    return *place_of(share, nr);
}

static int add(struct share *share, u32 nr, int fd)
{
    struct share_fid **place = place_of(share, nr);

    if (*place)
        return -EBADF;
    if (share->nr_fids == SHARE_MAX_FIDS)
        return -ENFILE;
    *place = calloc(1, sizeof(**place));
    if (!*place)
        return -ENOMEM;
    (*place)->nr = nr;
    (*place)->fd = fd;
    share->nr_fids++;
    return 0;
}

int share_add(struct share *share, u32 nr, int fd)
{
    int err = add(share, nr, fd);

    if (err)
        close(fd);
    return err;
}

void share_remove(struct share *share, u32 nr)
{
    struct share_fid **place = place_of(share, nr), *fid = *place;

    if (!fid)
        return;
    *place = fid->next;
    close(fid->fd);
    free(fid);
    share->nr_fids--;
}

void share_forget(struct share *share)
{
    for (u32 i = 0; i < SHARE_BUCKETS; i++)
        while (share->fids[i])
            share_remove(share, share->fids[i]->nr);
}

int share_reopen(const struct share *share, int fd, int flags)
{
    char name[16];
    struct stat st;

    if (fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return -ENXIO; /* what is behind a fifo or a device is not in the folder */
    snprintf(name, sizeof(name), "%d", fd);
    int again = openat(share->proc_fd, name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return again < 0 ? -errno : again;
}

int share_path_of(struct share *share, dev_t dev, u64 ino, u64 *path)
{
    u32 i = 0;

    while (i < share->nr_devs && share->devs[i] != dev)
        i++;
    if (i == SHARE_MAX_DEVS || ino >> DEV_SHIFT)
        return -EXDEV;
    if (i == share->nr_devs)
        share->devs[share->nr_devs++] = dev;
    *path = (u64)i << DEV_SHIFT | ino;
    return 0;
}

int share_put_qid(struct share_call *call, const struct stat *st)
{
    u8 type = S_ISDIR(st->st_mode) ? P9_QID_DIR : S_ISLNK(st->st_mode) ? P9_QID_LINK : P9_QID_FILE;
    u32 version = (u32)st->st_mtim.tv_sec ^ (u32)st->st_mtim.tv_nsec ^ (u32)st->st_size;
    u64 path;

    int err = share_path_of(call->share, st->st_dev, st->st_ino, &path);
    if (err)
        return err;
    share_put(call, &type, sizeof(type));
    share_put32(call, version);
    share_put64(call, path);
    return 0;
}

int share_put_qid_at(struct share_call *call, int dir, const char *name)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return -errno;
    return share_put_qid(call, &st);
}
