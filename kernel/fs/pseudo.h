/* File systems made of code: /proc, /sys, /dev.  A const table of nodes says what there is; inodes
 * come and go with their use.  Text files are made anew at each read from their beginning. */
#pragma once

#include "vfs/inode.h"

struct text;
struct pseudo_node;

/* What an inode stands for: its node, and which of many (a process, a thread, a descriptor). */
struct pseudo_ref {
    const struct pseudo_node *node;
    int pid, tid;
    int number; /* a descriptor, a CPU, a device; where in .settings a setting's name begins */
    const char *settings; /* of a setting: its directory's */
};

/* All [I]: tables are const. */
struct pseudo_node {
    const char *name;
    u32 mode; /* S_IF* and permissions */
    u32 nr_children;
    const struct pseudo_node *children; /* directories */
    const char *value;                  /* regular files: fixed text; symlinks: the target */
    /* Directories: "name value\nname value\n", a file each that takes a write and keeps its value.
     */
    const char *settings;
    /** The file's text. 0 or a negative errno for read(2). */
    int (*show)(struct text *out, const struct pseudo_ref *ref);
    /** Take a write of @n bytes; @buf has a NUL behind. 0 or a negative errno. */
    int (*store)(const struct pseudo_ref *ref, const char *buf, size_t n);
    /** A symlink's target into @buf: its length, or a negative errno. */
    ssize_t (*readlink)(const struct pseudo_ref *ref, char *buf, size_t size);
    /** A magic link: the place itself, with references. 0 or a negative errno. */
    int (*follow)(const struct pseudo_ref *ref, struct path *out);
    /** A name that is not in .children: fill *@child, which begins as a copy of @dir. 0, -ENOENT.
     */
    int (*find)(const struct pseudo_ref *dir, const char *name, size_t len,
                struct pseudo_ref *child);
    /** The first such name with a number above @after, in @child.number; false: no more. */
    bool (*next)(const struct pseudo_ref *dir, int after, struct pseudo_ref *child, char name[32]);
    /** Set what differs from one inode of this node to the next. */
    void (*fill)(const struct pseudo_ref *ref, struct inode *inode);
    bool volatile_names; /* what find() answers changes by itself */
};

#define PSEUDO_DIR(name_, children_)                                                               \
    {                                                                                              \
        .name = (name_), .mode = S_IFDIR | 0555, .children = (children_),                          \
        .nr_children = ARRAY_LEN(children_)                                                        \
    }
#define PSEUDO_SETTINGS(name_, settings_)                                                          \
    {                                                                                              \
        .name = (name_), .mode = S_IFDIR | 0555, .settings = (settings_)                           \
    }
#define PSEUDO_SETTINGS_DIR(name_, settings_, children_)                                           \
    {                                                                                              \
        .name = (name_), .mode = S_IFDIR | 0555, .settings = (settings_), .children = (children_), \
        .nr_children = ARRAY_LEN(children_)                                                        \
    }
#define PSEUDO_EMPTY_DIR(name_, mode_)                                                             \
    {                                                                                              \
        .name = (name_), .mode = S_IFDIR | (mode_)                                                 \
    }
#define PSEUDO_DYNAMIC_DIR(name_, find_, next_)                                                    \
    {                                                                                              \
        .name = (name_), .mode = S_IFDIR | 0555, .find = (find_), .next = (next_),                 \
        .volatile_names = true                                                                     \
    }
#define PSEUDO_PRIVATE_DIR(name_, find_, next_)                                                    \
    {                                                                                              \
        .name = (name_), .mode = S_IFDIR | 0500, .find = (find_), .next = (next_),                 \
        .volatile_names = true                                                                     \
    }
#define PSEUDO_OPEN_DIR(name_, children_, find_, next_)                                            \
    {                                                                                              \
        .name = (name_), .mode = S_IFDIR | 0555, .children = (children_),                          \
        .nr_children = ARRAY_LEN(children_), .find = (find_), .next = (next_)                      \
    }
#define PSEUDO_FILE(name_, show_)                                                                  \
    {                                                                                              \
        .name = (name_), .mode = S_IFREG | 0444, .show = (show_)                                   \
    }
#define PSEUDO_PRIVATE(name_, show_)                                                               \
    {                                                                                              \
        .name = (name_), .mode = S_IFREG | 0400, .show = (show_)                                   \
    }
#define PSEUDO_TEXT(name_, value_)                                                                 \
    {                                                                                              \
        .name = (name_), .mode = S_IFREG | 0444, .value = (value_)                                 \
    }
#define PSEUDO_STORE(name_, show_, store_)                                                         \
    {                                                                                              \
        .name = (name_), .mode = S_IFREG | 0644, .show = (show_), .store = (store_)                \
    }
#define PSEUDO_VALUE(name_, value_, store_)                                                        \
    {                                                                                              \
        .name = (name_), .mode = S_IFREG | 0644, .value = (value_), .store = (store_)              \
    }
#define PSEUDO_MAGIC(name_, readlink_, follow_)                                                    \
    {                                                                                              \
        .name = (name_), .mode = S_IFLNK | 0777, .readlink = (readlink_), .follow = (follow_)      \
    }
#define PSEUDO_LINK(name_, target_)                                                                \
    {                                                                                              \
        .name = (name_), .mode = S_IFLNK | 0777, .value = (target_)                                \
    }

/** A file system whose root is @root; NULL: no memory. */
struct super_block *pseudo_mount(const char *type, u64 magic, const struct pseudo_node *root);

/** What @inode stands for, NULL: it is of another kind of file system. */
const struct pseudo_ref *pseudo_ref_of(const struct inode *inode);

/* Text that grows.  After a failed allocation all further additions do nothing. */
struct text {
    char *buf; /* owns */
    size_t len, capacity;
    bool failed; /* no memory */
};
/** Append, as format() has it. */
void text_add(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Append @n bytes as they are. */
void text_add_bytes(struct text *text, const void *bytes, size_t n);
/** Free .buf; the text is empty again. */
void text_free(struct text *text);
