/* Volumes: named disks of this user, each a sparse file that holds one ext4 file system, which any
 * Linux mounts with `mount -o loop`.  They lie in "volumes" below the store:
 *   NAME.img    the file system, as mke2fs made it
 *   NAME.json   {"created": RFC 3339, "labels": {KEY: VALUE}}; what is missing is empty
 * Who uses one holds its lock (flock), so a volume of a guest that died is free at once. */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

#define VOLUME_DEFAULT_BYTES GIB(1ull)

struct err;

struct volume {
    char *name, *path;  /* owned */
    char *created;      /* owned; "" where it is not known */
    struct strs labels; /* "KEY=VALUE" */
    u64 bytes;          /* of the disk */
    u64 bytes_on_host;  /* what its file takes of the host's disk */
    u64 bytes_free;     /* of the file system, when it was last unmounted */
    char *user;         /* owned; the instance that has it now, or NULL */
};

/** May @name name a volume: letters, digits, '_', '.' and '-', not at its beginning? */
bool volume_is_name(const char *name);

/** Where the volume's file is or would be; the caller frees it. */
char *volume_path(const char *name);

/**
 * Make a volume with an empty file system.  It appears whole or not at all.
 * @bytes:  at least 1 MiB
 * @labels: "KEY=VALUE"; borrowed
 * Errors: EINVAL the name or the size, EEXIST, ENOENT mke2fs is missing, or what the system said.
 */
int volume_create(const char *name, u64 bytes, const struct strs *labels, struct err *err);

/** The names of all volumes, sorted, appended to @names. */
int volume_list(struct strs *names, struct err *err);

/** All that is known of one, to be given to volume_free(); ENOENT where it is not. */
int volume_load(const char *name, struct volume *volume, struct err *err);
void volume_free(struct volume *volume);

/** Delete it.  EBUSY names the instance that has it. */
int volume_remove(const char *name, struct err *err);

/**
 * Lock an open disk image for this process, without waiting but for what was killed a moment ago.
 * @shared: for reading only, beside others who read
 * @what:   how messages name it: "volume 'data'"
 * @who:    what others are told who find it locked; NULL for a short use
 * Returns 0, EBUSY with the name of who has it.  The lock ends with the last copy of @fd.
 */
int volume_lock(int fd, bool shared, const char *what, const char *who, struct err *err);

/** Who has the open disk image now: a new string, or NULL for nobody. */
char *volume_user(int fd);

/** Is there an ext4 file system in the open file @fd?  EINVAL says what is there instead. */
int volume_check(int fd, const char *what, struct err *err);
