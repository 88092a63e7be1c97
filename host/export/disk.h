/* A raw disk that starts under BIOS and UEFI: GPT, a boot sector of our own, and an EFI system
 * partition with the boot file. */
#pragma once

#include "export/boot_file.h"
#include "lib/err.h"
#include "lib/types.h"

/** The least size, in bytes, of a disk with @file; a multiple of 1 MiB. */
u64 disk_least(const struct boot_file *file);

/**
 * Write a disk of @size bytes, a multiple of 1 MiB and at least disk_least(), to the new @path.
 * @id: 64 hex digits of the image, from which the disk's and the partition's GUID are made
 */
int disk_write(const struct boot_file *file, u64 size, const char *id, const char *path,
               struct err *err);

/** Write the bare EFI system partition to the new @path. */
int disk_write_esp(const struct boot_file *file, const char *path, struct err *err);

/** Write what a BIOS starts from a CD without emulation to the new @path: the loader, and the boot
 * file behind it.  @lba: where that file will lie on the CD, in sectors of 2048 bytes. */
int disk_write_cd(const struct boot_file *file, u32 lba, const char *path, struct err *err);
