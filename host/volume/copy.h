/* Files into and out of a disk image without mounting it, by e2fsprogs' debugfs.  Modes are kept;
 * what comes in belongs to root. */
#pragma once

struct err;

/**
 * Copy a file, or a folder with all below it, into the ext4 image @image.
 * @to: absolute path inside; if it is a folder there, or ends with '/', the copy goes into it
 * Replaces files of the same name.  EINVAL for a damaged image, ENOENT, ENOSPC, or what debugfs
 * said.  The caller has the image's lock.
 */
int volume_copy_in(const char *image, const char *from, const char *to, struct err *err);

/**
 * Copy a file, or a folder with all below it, out of the image.
 * @from: absolute path inside
 * @to:   a file, or an existing folder that gets the copy; a folder's copy needs the latter
 */
int volume_copy_out(const char *image, const char *from, const char *to, struct err *err);
