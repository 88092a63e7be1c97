/* How known_path.c looks up, for the two hot callers.  What is known was found in the name cache,
 * without links, dots and mounts on the way, by who has all rights; any change of the name cache
 * makes all of it forgotten, so no reference is needed. */
#pragma once

#include "sched/thread.h"
#include "vfs/dentry.h"
#include "vfs/path.h"
#include "vfs/permission.h"

enum { KNOWN_PATHS = 16, KNOWN_TEXT_LEAST = 8, KNOWN_TEXT_MAX = 64 };

/* [C] */
struct known_path {
    u64 generation; /* of the names when it was walked; 0: empty */
    struct path root, at;
    u32 len;
    char text[KNOWN_TEXT_MAX]; /* without a NUL */
};

extern struct known_path *known_paths[MAX_CPUS]; /* [C] NULL until there were enough walks */

static inline bool known_path_fits(u32 len)
{
    return len - KNOWN_TEXT_LEAST <= KNOWN_TEXT_MAX - KNOWN_TEXT_LEAST;
}

static inline struct known_path *known_path_slot(struct known_path *all, const char *text, u32 len)
{
    u64 end = name_word(text + (len - 8)), middle = name_word(text + (len - 8) / 2);

    return &all[name_mix(end + len, middle) % KNOWN_PATHS];
}

/** By words, the last of which overlap. @len is at least 8. */
static inline bool known_path_is(const char *a, const char *b, u32 len)
{
    for (u32 i = 0; i + 8 < len; i += 8)
        if (name_word(a + i) != name_word(b + i))
            return false;
    return name_word(a + (len - 8)) == name_word(b + (len - 8));
}

/** As current_fs()->root. */
static inline const struct path *known_path_root(void)
{
    const struct thread *thread = current;

    return thread && thread->process ? &thread->process->fs->root : &init_fs_context.root;
}

/**
 * Where the absolute path @text (@len bytes, readable to 8) leads, if that is known and nothing has
 * changed since: borrowed, with the name lock held for reading.  NULL: unknown, and no lock is
 * held.
 */
static inline const struct path *known_path_borrow(const char *text, u32 len)
{
    struct known_path *all = known_paths[cpu_id()];

    if (unlikely(!all || !known_path_fits(len) || !may_everything()))
        return NULL;
    struct known_path *known = known_path_slot(all, text, len);
    if (known->len != len || !known_path_is(known->text, text, len))
        return NULL;
    const struct path *root = known_path_root();
    names_read_lock();
    if (unlikely(known->generation != names_generation || known->root.dentry != root->dentry ||
                 known->root.mount != root->mount)) {
        names_read_unlock();
        return NULL;
    }
    if (unlikely(!(known->at.dentry->flags & DENTRY_REFERENCED)))
        known->at.dentry->flags |= DENTRY_REFERENCED;
    return &known->at;
}
