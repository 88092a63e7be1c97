/* The files of an image to be, by guest path: folders, files of this machine, bytes, links.
 * Paths are absolute guest paths; a link that is already in the tree is followed as the guest
 * will follow it, so adding "/lib/x" where /lib is a link puts the file behind the link.
 * The tree also remembers which paths of this machine it was made from, for the build cache. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/types.h"

#include <sys/types.h>
#include <time.h>

enum tree_kind {
    TREE_DIR,
    TREE_FILE, /* bytes of a host file */
    TREE_DATA, /* bytes in memory */
    TREE_LINK,
};

struct tree_node {
    enum tree_kind kind;
    char *path;            /* canonical guest path; "/" is the root */
    char *source;          /* TREE_FILE: host path; TREE_LINK: target */
    struct buf data;       /* TREE_DATA */
    mode_t mode;           /* permission bits, 07777 */
    u32 uid, gid;          /* root, but for what belongs to a user of the system (1 to 999) */
    struct timespec mtime; /* of files; folders and links get one fixed time */
    bool scratch;          /* TREE_FILE: source is the build's own, and is linked, not copied */
};

struct tree {
    struct tree_node **nodes; /* owned; in order of addition, until tree_sort() */
    size_t len, cap;
    u32 *buckets; /* hash of path to index + 1; 0: empty */
    size_t nr_buckets;
    struct strs deps;  /* host paths whose change makes the tree stale */
    struct strs below; /* "PATH=TARGET": links to folders in the layers below this one */
    char *built;       /* scratch folder whose files stand below TREE_BUILT; owned; or NULL */
};

/** Where in the guest stands what was built from source in a scratch folder. */
#define TREE_BUILT "/app"

/** The time given to what has none of its own: 1980-01-01, which every archive format can say. */
#define TREE_EPOCH 315532800

/** Free everything; fit for CLEANUP.  A zeroed struct tree is an empty tree. */
void tree_free(struct tree *tree);

/** The node at @path, links on the way followed, the last one not; NULL if there is none. */
struct tree_node *tree_find(const struct tree *tree, const char *path);

/** As tree_find(), but the last link is followed, too. */
struct tree_node *tree_follow(const struct tree *tree, const char *path);

/** Add a folder and those above it; an existing one only gets @mode.  ENOTDIR if a file is there.
 */
int tree_add_dir(struct tree *tree, const char *path, mode_t mode, struct err *err);

/** Add a symbolic link.  One that is there already with this target is fine. */
int tree_add_link(struct tree *tree, const char *path, const char *target, struct err *err);

/** Add or replace a file with these bytes, mode @mode and time TREE_EPOCH. */
int tree_add_data(struct tree *tree, const char *path, const void *bytes, size_t len, mode_t mode,
                  struct err *err);

/** Add or replace a file with what host file @host (links followed) has when the image is made. */
int tree_add_file(struct tree *tree, const char *path, const char *host, struct err *err);

/**
 * Add the host's @path under the same guest path, together with every symbolic link on the way.
 * A folder is added empty; where the image has a folder and the host a link, the folder stays.
 * A file of the folder @tree->built goes to TREE_BUILT instead.
 */
int tree_add_host(struct tree *tree, const char *path, struct err *err);

/**
 * Add a host folder and all below it at guest path @guest.  Links are kept; where @guest is the
 * folder's own path, what they point to is added, too, if it exists.
 * @skip: patterns (fnmatch) of names, or of paths relative to @host, that are left out;
 * NULL-terminated, or NULL.  Sockets, devices and pipes are left out.
 */
int tree_add_tree(struct tree *tree, const char *guest, const char *host, const char *const *skip,
                  struct err *err);

/** One path as a layer of a container image has it.  Strings are borrowed. */
struct tree_entry {
    enum tree_kind kind;   /* not TREE_DATA */
    const char *path;      /* absolute; links on the way are followed, the last one not */
    const char *source;    /* TREE_FILE: a scratch file, for nobody else; TREE_LINK: target */
    mode_t mode;           /* permission bits */
    u32 uid, gid;          /* whatever they are */
    struct timespec mtime; /* of links and folders, too */
};

/** Put it into the tree in place of what was there; a folder stays, with what is in it. EISDIR:
 * a folder would have to go. */
int tree_put(struct tree *tree, const struct tree_entry *entry, struct err *err);

/** Give the file at @target one more name.  ENOENT: there is none. */
int tree_put_hard_link(struct tree *tree, const char *path, const char *target, struct err *err);

/** Where @path stands in the tree, links on the way followed, the last one not; NULL: a loop.
 * Owned by the caller. */
char *tree_place_of(const struct tree *tree, const char *path);

/** Remove what stands at the places @gone, with all below, and what is below the places @emptied.
 */
void tree_drop(struct tree *tree, struct strs *gone, struct strs *emptied);

/** Append "PATH=TARGET" for every link to a folder, those below included. */
void tree_links(const struct tree *tree, struct strs *out);

/** Remember a host path whose change makes the tree stale. */
void tree_depend(struct tree *tree, const char *host);

/** The guest path of host path @host: the same, or below TREE_BUILT.  Owned by the caller. */
char *tree_guest_path(const struct tree *tree, const char *host);

/** Lay the tree out in the new folder @dir (which must not exist), with modes and times. */
int tree_write(struct tree *tree, const char *dir, struct err *err);

/** Sort nodes by path, so that folders come before what is in them. */
void tree_sort(struct tree *tree);

/** @path without "//", "/./" and "/../", absolute: relative ones are taken from @base. Owned. */
char *path_clean(const char *base, const char *path);
