/* The boot file: kernel and root image in one file that BIOS loaders take for a bzImage and UEFI
 * for an application (include/abi/linux_boot.h). */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/types.h"

struct boot_file {
    struct buf head;           /* setup and kernel, whole pages */
    const struct strs *layers; /* EROFS images, borrowed; NULL for none */
    struct buf root; /* all of them folded (abi/fold.h), whole pages; empty: as they are */
    u64 kernel_size; /* bytes of head behind the setup */
    u64 root_size;   /* bytes of what follows, folded or not */
    u64 size;        /* bytes of the file */
};

/**
 * @kernel: path of the kernel's ELF file
 * @cmdline: what it gets where no loader brings a command line
 * @layers: EROFS images that become the root, the lowest first; NULL for none; borrowed by @out
 * Errors: ENOEXEC the file is not such a kernel, E2BIG a command line or image that does not fit.
 */
int boot_file_make(const char *kernel, const char *cmdline, const struct strs *layers,
                   struct boot_file *out, struct err *err);

/** Write it to @fd at @offset; @path names that file in errors. */
int boot_file_write(const struct boot_file *file, int fd, u64 offset, const char *path,
                    struct err *err);

/** Free what it owns; fit for CLEANUP. */
void boot_file_free(struct boot_file *file);

/** Append the bytes of all of @layers to @fd at @offset. */
int boot_write_layers(const struct strs *layers, int fd, u64 offset, const char *path,
                      struct err *err);
