/* An image written in the form that a hypervisor or a cloud takes. */
#pragma once

#include "image/image.h"
#include "lib/err.h"
#include "lib/types.h"

struct export_plan {
    const struct image *image;
    const char *kernel;  /* path of the kernel's ELF file */
    const char *cmdline; /* what the kernel gets everywhere */
    const char *name;    /* of the machine, where a format has one: letters, digits, "-" */
    const char *format;  /* one of export_formats() */
    const char *out;     /* file or folder to make */
    u64 size;            /* bytes of the disk; 0: the least that the target takes */
    u64 memory;          /* bytes, where a format says how much a machine has */
    bool force;          /* replace a file that is there */
};

/**
 * Write the image; nothing is left at @plan->out after an error.
 * Errors: ERR_USAGE an unknown format; EEXIST; ENOSPC, EFBIG a size that is too small, or a full
 * disk; ENOENT a program that is missing (its Debian package is named).
 */
int export_image(const struct export_plan *plan, struct err *err);

/** The names of all formats, blanks between, for a help text. */
const char *export_formats(void);
