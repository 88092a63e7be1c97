/* A disk (virtio 1.2, 5.2) that is a file, or a part of the host that is a disk.  Requests are done
 * one after the other, each where it is taken: a disk has a thread of its own. */
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { F_DISCARD = 13 };
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8, TYPE_DISCARD = 11 };
enum { STATUS_OK = 0, STATUS_ERROR = 1, STATUS_UNKNOWN = 2 };
enum { QUEUE = 0, SECTOR = 512, ID_LEN = 20 };

struct request_header {
    u32 type;
    u32 reserved;
    u64 sector;
};

struct range {
    u64 sector;
    u32 nr_sectors;
    u32 flags;
};

static bool is_inside(const struct disk *disk, u64 sector, u64 bytes)
{
    return bytes % SECTOR == 0 && bytes / SECTOR <= disk->sectors &&
           sector <= disk->sectors - bytes / SECTOR;
}

/* All of it, however often the host must be asked. */
static u8 transfer(const struct disk *disk, struct iovec *piece, u32 count, u64 sector, u64 bytes,
                   bool out)
{
    u64 at = sector * SECTOR;

    if (!is_inside(disk, sector, bytes) || (out && disk->readonly))
        return STATUS_ERROR;
    while (bytes) {
        ssize_t n = out ? pwritev(disk->fd, piece, (int)count, (off_t)at)
                        : preadv(disk->fd, piece, (int)count, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return STATUS_ERROR;
        bytes -= (u64)n;
        at += (u64)n;
        count = ring_narrow(piece, count, (u64)n, bytes);
    }
    return STATUS_OK;
}

/* To discard is a wish: a host that cannot make a hole leaves what is there. */
static u8 discard(const struct disk *disk, const struct range *range)
{
    u64 bytes = (u64)range->nr_sectors * SECTOR;

    if (!is_inside(disk, range->sector, bytes) || disk->readonly)
        return STATUS_ERROR;
    if (bytes)
        (void)fallocate(disk->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                        (off_t)(range->sector * SECTOR), (off_t)bytes);
    return STATUS_OK;
}

static u8 discard_ranges(const struct disk *disk, const struct ring_chain *chain)
{
    u64 end = chain->out_bytes;

    if ((end - sizeof(struct request_header)) % sizeof(struct range))
        return STATUS_ERROR;
    for (u64 at = sizeof(struct request_header); at < end; at += sizeof(struct range)) {
        struct range range;
        ring_copy_out(chain->piece, chain->nr_out, at, &range, sizeof(range));
        u8 status = discard(disk, &range);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static u8 get_id(const struct disk *disk, const struct iovec *piece, u32 count, u64 bytes)
{
    char id[ID_LEN] = "ingot-disk-";

    if (bytes < ID_LEN || !count || piece[0].iov_len < ID_LEN)
        return STATUS_ERROR;
    id[11] = (char)('a' + disk->dev.index);
    memcpy(piece[0].iov_base, id, sizeof(id));
    return STATUS_OK;
}

/* The last byte to write is the status, whatever the pieces are: 5.2.6.4. */
static void serve_one(struct disk *disk, struct ring_chain *chain)
{
    struct request_header header;
    struct iovec *in = chain->piece + chain->nr_out, *last = in + chain->nr_in - 1;

    if (chain->out_bytes < sizeof(header) || !chain->in_bytes || !last->iov_len) {
        device_break(&disk->dev, "a request without a header or a place for its status");
        return;
    }
    volatile u8 *status = (u8 *)last->iov_base + last->iov_len - 1;
    ring_copy_out(chain->piece, chain->nr_out, 0, &header, sizeof(header));
    u64 out = chain->out_bytes - sizeof(header), room = chain->in_bytes - 1;
    u8 result = STATUS_UNKNOWN;
    u64 written = 0;
    u32 n;

    switch (header.type) {
    case TYPE_IN:
        n = ring_narrow(in, chain->nr_in, 0, room);
        result = transfer(disk, in, n, header.sector, room, false);
        written = result ? 0 : room;
        break;
    case TYPE_OUT:
        n = ring_narrow(chain->piece, chain->nr_out, sizeof(header), out);
        result = transfer(disk, chain->piece, n, header.sector, out, true);
        break;
    case TYPE_FLUSH:
        result = disk->readonly || !fdatasync(disk->fd) ? STATUS_OK : STATUS_ERROR;
        break;
    case TYPE_GET_ID:
        result = get_id(disk, in, chain->nr_in, room);
        written = result ? 0 : ID_LEN;
        break;
    case TYPE_DISCARD:
        if (device_has(&disk->dev, F_DISCARD))
            result = discard_ranges(disk, chain);
        break;
    }
    *status = result;
    ring_give(&disk->dev.ring[QUEUE], chain->head, (u32)(written + 1));
}

bool disk_serve(struct disk *disk)
{
    struct ring_chain chain;
    bool served = false;

    device_update(&disk->dev);
    while (device_take(&disk->dev, QUEUE, &chain)) {
        serve_one(disk, &chain);
        device_publish(&disk->dev, QUEUE);
        served = true;
    }
    return served;
}

void *disk_run(void *arg)
{
    struct disk *disk = arg;
    struct pollfd doorbell[1];

    for (;;) {
        if (disk_serve(disk))
            continue;
        if (disk->dev.gone)
            return NULL;
        device_wait(&disk->dev, doorbell, 0, -1, 0);
    }
}
