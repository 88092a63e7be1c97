/* A FAT12 or FAT16 file system with one file, \EFI\BOOT\BOOTX64.EFI, in one piece: an EFI system
 * partition.  Source: Microsoft's FAT specification 1.03; UEFI 2.10, 13.3. */
#pragma once

#include "lib/err.h"
#include "lib/types.h"

struct fat {
    u64 file_size;
    u32 cluster_sectors;
    u32 nr_clusters;
    u32 fat_sectors; /* of each of the two tables */
    bool is_16;
    u64 file_offset; /* bytes from the first sector to the file's content */
    u64 size;        /* bytes of the whole */
};

/** Lay out a file system for a file of @file_size bytes, at most 1 GiB and a little. */
void fat_plan(struct fat *fat, u64 file_size);

/**
 * Write all but the file's content to @fd, whose bytes there are zero.
 * @offset: bytes where the file system begins; @path: of that file, for errors
 */
int fat_write(const struct fat *fat, int fd, u64 offset, const char *path, struct err *err);
