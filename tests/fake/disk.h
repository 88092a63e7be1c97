/* A disk over memory that can be written, loses power and fails.  What was written and not flushed
 * is kept apart: a power cut keeps any part of it, sector by sector, in any order. */
#pragma once

#include "block/block.h"

struct fake_disk {
    struct block_dev bd;
    u8 *bytes;   /* what reads see */
    u8 *durable; /* what is there after a power cut, at least */
    struct pending *pending;
    u32 nr_pending, max_pending;
    u64 size;
    u64 ops;      /* writes and flushes so far */
    u64 dies_at;  /* from this one on everything fails; 0: never */
    u64 fails_at; /* this one alone fails; 0: none */
    u64 reads, read_fails_at;
    u64 discarded; /* bytes */
    bool no_cache; /* writes are durable at once */
};

/** A disk with the image that mke2fs makes of @options and @kib; NULL: mke2fs failed. */
struct fake_disk *disk_mke2fs(const char *options, u32 kib);
/** A disk of the same size with what a power cut leaves of @disk, as @seed decides. */
struct fake_disk *disk_after_cut(const struct fake_disk *disk, u64 seed);
struct fake_disk *disk_copy(const struct fake_disk *disk);
void disk_free(struct fake_disk *disk);
/** Run e2fsck -fn on what the disk holds now: its status; what it printed goes to stderr if any. */
int disk_e2fsck(const struct fake_disk *disk);
/** Run "debugfs -R" with @request on it. */
int disk_debugfs(const struct fake_disk *disk, const char *request);
