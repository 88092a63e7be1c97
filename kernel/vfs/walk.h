/* What path.c, namei.c and open.c share: a walk that can begin anywhere and the lookup of one name
 * in a locked directory. */
#pragma once

#include "vfs/path.h"

/**
 * Walk @text. @start: where a relative one begins (borrowed); NULL: the working directory.
 * @last: filled and *@out is its directory with LOOKUP_PARENT; NULL else.
 */
int path_walk(const struct path *start, const char *text, u32 flags, struct path *out,
              struct path_last *last);

/**
 * Where @dirfd points, for a path that begins with @first: *@start with references, or
 * *@start.dentry NULL (the working directory, or the path is absolute). 0 or -EBADF, -ENOTDIR.
 */
int path_start(int dirfd, char first, struct path *start);

/**
 * The name in directory @dir, whose inode is locked: *@out with a reference, maybe negative.
 * 0, -ENOTDIR, -ENOMEM or the file system's error.
 */
int lookup_locked(struct dentry *dir, const char *name, u32 len, u32 hash, struct dentry **out);

/** Has the directory been removed?  Nothing can be made in it then. */
static inline bool is_dead_dir(const struct inode *dir)
{
    return dir->nlink == 0;
}

/** A path was looked for and not found: print or remember it.  Thread context. */
void missing_report(int dirfd, const char *text);

/** Is the absolute path @text (@len bytes, readable to 8) known, and nothing has changed since?
 * True with *@out, referenced.  Takes the name lock. */
bool known_path_find(const char *text, u32 len, struct path *out);
/** Remember where @text led, by cached names alone.  Name lock held. */
void known_path_note(const char *text, u32 len, const struct path *at);
/** One more walk was made: with enough of them there is memory to remember.  May sleep. */
void known_path_count(void);
