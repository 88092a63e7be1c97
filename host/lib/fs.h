/* Files as the tool needs them: read whole, write whole or not at all, trees, temporary folders.
 * Temporary folders vanish when their owner removes them, when the process exits, and when a
 * signal (INT, TERM, HUP) that nobody else has taken ends it. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

#include <sys/stat.h>

/** Read all of @path into @out (emptied first).  A file above @limit bytes is an error (EFBIG). */
int fs_read(const char *path, size_t limit, struct buf *out, struct err *err);

/**
 * Replace @path by @len bytes, whole or not at all: temporary file, fsync, rename, fsync of the
 * folder.  A full disk or a crash leaves what was there before.
 */
int fs_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err);

/** Write a plain file, for scratch places: no fsync, no rename. */
int fs_write(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err);

/**
 * Write a file anew, 1 MiB at a time: a host keeps it in pages as large as the writes were, and
 * maps and unmaps those at a fraction of the cost.  For what programs are started from, over and
 * over. A file that cannot be written anew (no room, no right) stays as it is.
 */
void fs_rewrite(const char *path);

/** Make @path and what is missing above it, mode 0755; existing folders are fine. */
int fs_mkdirs(const char *path, struct err *err);

/** Copy one regular file's bytes (sharing blocks where the file system can), mode and mtime. */
int fs_copy(const char *from, const char *to, struct err *err);

/** Copy a folder with all below it: folders, files, symbolic links; others are skipped. */
int fs_copy_tree(const char *from, const char *to, struct err *err);

/**
 * Make a private folder below @parent (NULL: TMPDIR or /tmp) that vanishes with us.
 * Returns its path, owned by the caller (free it with CLEANUP(fs_tmpdir_remove)), or NULL.
 */
char *fs_tmpdir(const char *parent, struct err *err);

/** Remove a folder of fs_tmpdir() with its content and free the string; fit for CLEANUP. */
void fs_tmpdir_remove(char **dir);

/** Remove @path and all below it.  Async-signal-safe.  Returns 0 or the first negative errno. */
int fs_remove_tree(const char *path);

/** fsync a file or a folder by name. */
int fs_sync(const char *path, struct err *err);

/** @dir/@name as a heap string, with exactly one slash between. */
char *fs_join(const char *dir, const char *name);

/** What follows the last slash of @path, or all of it.  Borrowed. */
const char *fs_name(const char *path);

/** The names in the folder @path that do not begin with a dot, sorted, appended to @names.  A
 * folder that is not there has none. */
int fs_list(const char *path, struct strs *names, struct err *err);

/** Is there something at @path (links followed)? */
bool fs_exists(const char *path);
/** Is @path a folder (links followed)? */
bool fs_is_dir(const char *path);

/** As realpath(3), owned by the caller; NULL with @err set when there is none. */
char *fs_real(const char *path, struct err *err);

/** The user's home folder: $HOME, else what passwd(5) says, else "/".  Owned by the caller. */
char *fs_home(void);
