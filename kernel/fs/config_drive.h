/* A drive with what one instance is told, as clouds and hypervisors attach it: a file system
 * labelled "cidata" (NoCloud) or "config-2" (OpenStack), FAT or ISO 9660.  Only reading whole small
 * files. */
#pragma once

#include "lib/types.h"

struct block_dev;

enum config_drive_kind { CONFIG_DRIVE_NONE, CONFIG_DRIVE_NOCLOUD, CONFIG_DRIVE_OPENSTACK };
enum { CONFIG_FILE_MAX = 1 << 20 };

struct config_drive {
    struct block_dev *bd;
    enum config_drive_kind kind;
    bool iso;
};

/** Look at all disks and partitions for one; .kind says what was found. Thread context, sleeps. */
struct config_drive config_drive_find(void);
/**
 * The contents of the file at @path ("openstack/latest/user_data"), NUL-terminated, the caller's to
 * free; *@len without the NUL.  NULL: it is not there, is larger than CONFIG_FILE_MAX, cannot be
 * read.
 */
char *config_drive_read(const struct config_drive *drive, const char *path, size_t *len);

/** The same two of each file system: label and file.  @label: 12 bytes. False: no such file system.
 */
bool fat_read_label(struct block_dev *bd, char label[12]);
char *fat_read_file(struct block_dev *bd, const char *path, size_t *len);
bool iso_read_label(struct block_dev *bd, char label[12]);
char *iso_read_file(struct block_dev *bd, const char *path, size_t *len);

/** Are the @len bytes at @a the first component of @path, in whatever case? */
bool config_name_matches(const char *a, size_t len, const char *path);
/** What follows the first component of @path, or NULL. */
const char *config_path_rest(const char *path);
