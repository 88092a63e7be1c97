#include "fake/disk.h"

#include "abi/errno.h"
#include "fake/fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct pending {
    u64 sector;
    u8 data[SECTOR_SIZE];
};

static void keep(struct fake_disk *disk, u64 sector, const u8 *data)
{
    if (disk->no_cache) {
        memcpy(disk->durable + sector * SECTOR_SIZE, data, SECTOR_SIZE);
        return;
    }
    if (disk->nr_pending == disk->max_pending) {
        disk->max_pending = disk->max_pending ? disk->max_pending * 2 : 1024;
        disk->pending = realloc(disk->pending, disk->max_pending * sizeof(*disk->pending));
    }
    struct pending *p = &disk->pending[disk->nr_pending++];
    p->sector = sector;
    memcpy(p->data, data, SECTOR_SIZE);
}

static void flush(struct fake_disk *disk)
{
    for (u32 i = 0; i < disk->nr_pending; i++)
        memcpy(disk->durable + disk->pending[i].sector * SECTOR_SIZE, disk->pending[i].data,
               SECTOR_SIZE);
    disk->nr_pending = 0;
}

static int transfer(struct fake_disk *disk, struct block_request *request)
{
    u8 *at = disk->bytes + request->sector * SECTOR_SIZE;

    for (u32 i = 0; i < request->nr_segments; i++) {
        u32 len = request->segments[i].len;
        if ((u64)(at - disk->bytes) + len > disk->size || len % SECTOR_SIZE)
            abort();
        if (request->op == BLOCK_READ) {
            memcpy(request->segments[i].buf, at, len);
        } else {
            memcpy(at, request->segments[i].buf, len);
            for (u32 s = 0; s < len; s += SECTOR_SIZE)
                keep(disk, (u64)(at - disk->bytes + s) / SECTOR_SIZE, at + s);
        }
        at += len;
    }
    return 0;
}

/* What it held is gone at once, as a disk may well do it, and stays so after a power cut. */
static void discard(struct fake_disk *disk, const struct block_request *request)
{
    u64 at = request->sector * SECTOR_SIZE;

    memset(disk->bytes + at, 0xdd, request->segments[0].len);
    memset(disk->durable + at, 0xdd, request->segments[0].len);
    for (u32 i = 0; i < disk->nr_pending; i++)
        if (disk->pending[i].sector - request->sector < request->segments[0].len / SECTOR_SIZE)
            memset(disk->pending[i].data, 0xdd, SECTOR_SIZE);
    disk->discarded += request->segments[0].len;
}

static void submit(struct block_dev *bd, struct block_request *request)
{
    struct fake_disk *disk = bd->data;
    bool read = request->op == BLOCK_READ;

    request->status = fault_point(-EIO, "a disk transfer");
    if (read)
        disk->reads++;
    else
        disk->ops++;
    if ((disk->dies_at && disk->ops >= disk->dies_at) ||
        (!read && disk->fails_at && disk->ops == disk->fails_at) ||
        (read && disk->read_fails_at && disk->reads == disk->read_fails_at))
        request->status = -EIO;
    if (!request->status && request->op == BLOCK_FLUSH)
        flush(disk);
    else if (!request->status && request->op == BLOCK_DISCARD)
        discard(disk, request);
    else if (!request->status)
        request->status = transfer(disk, request);
    request->done(request);
}

static struct fake_disk *disk_create(u64 size)
{
    static const struct block_ops ops = {.submit = submit};
    struct fake_disk *disk = calloc(1, sizeof(*disk));

    disk->size = size;
    disk->bytes = calloc(1, size);
    disk->durable = calloc(1, size);
    disk->bd = (struct block_dev){
        .name = "vda",
        .ops = &ops,
        .sectors = size / SECTOR_SIZE,
        .volatile_cache = true,
        .has_discard = true,
        .data = disk,
    };
    return disk;
}

struct fake_disk *disk_copy(const struct fake_disk *disk)
{
    struct fake_disk *copy = disk_create(disk->size);

    memcpy(copy->bytes, disk->bytes, disk->size);
    memcpy(copy->durable, disk->bytes, disk->size);
    return copy;
}

struct fake_disk *disk_mke2fs(const char *options, u32 kib)
{
    char image[] = "/tmp/ingot-ext4-XXXXXX", command[512];
    int fd = mkstemp(image);
    struct fake_disk *disk = NULL;

    snprintf(command, sizeof(command), "mke2fs -q -F -t ext4 %s %s %uk >/dev/null 2>&1", options,
             image, kib);
    if (fd >= 0 && !system(command)) {
        disk = disk_create((u64)kib * 1024);
        if (pread(fd, disk->bytes, disk->size, 0) < 0)
            abort();
        memcpy(disk->durable, disk->bytes, disk->size);
    }
    close(fd);
    unlink(image);
    return disk;
}

static u64 next(u64 *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Of the writes in flight some are there, some not; of two of one sector any may be the last. */
struct fake_disk *disk_after_cut(const struct fake_disk *disk, u64 seed)
{
    struct fake_disk *cut = disk_create(disk->size);
    u64 state = seed * 0x9e3779b97f4a7c15ull + 1, share = next(&state) % 101;

    memcpy(cut->bytes, disk->durable, disk->size);
    for (u32 i = 0; i < disk->nr_pending; i++)
        if (next(&state) % 100 < share)
            memcpy(cut->bytes + disk->pending[i].sector * SECTOR_SIZE, disk->pending[i].data,
                   SECTOR_SIZE);
    memcpy(cut->durable, cut->bytes, disk->size);
    return cut;
}

void disk_free(struct fake_disk *disk)
{
    free(disk->bytes);
    free(disk->durable);
    free(disk->pending);
    free(disk);
}

static int run_on(const struct fake_disk *disk, const char *format, const char *arg)
{
    char image[] = "/tmp/ingot-ext4-XXXXXX", command[1024];
    int fd = mkstemp(image);

    /* holes are quicker */
    if (fd < 0 || ftruncate(fd, (off_t)disk->size))
        return -1;
    for (u64 at = 0; at < disk->size; at += 4096) {
        static const u8 zeros[4096];
        u64 n = disk->size - at < 4096 ? disk->size - at : 4096;
        if (memcmp(disk->bytes + at, zeros, n) && pwrite(fd, disk->bytes + at, n, (off_t)at) < 0)
            return -1;
    }
    close(fd);
    snprintf(command, sizeof(command), format, image, arg);
    int status = system(command);
    const char *keep_as = getenv("KEEP_IMAGE");
    if (status && keep_as)
        (void)!rename(image, keep_as);
    unlink(image);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int disk_e2fsck(const struct fake_disk *disk)
{
    return run_on(disk, "out=$(e2fsck -fn %s 2>&1) || { s=$?; echo \"$out\" >&2; exit $s; }", "");
}

int disk_debugfs(const struct fake_disk *disk, const char *request)
{
    return run_on(disk, "debugfs %s -R '%s' >&2", request);
}
