/* Absolute paths that were walked lately, whole: the lookup of one that comes again costs a
 * comparison instead of a step a component (Tsai et al., SOSP 2015).  Each CPU has a few.  What is
 * known was found in the name cache, without links, dots and mounts on the way, by who has all
 * rights; any change of the name cache makes all of it forgotten, so no reference is needed. */
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/permission.h"
#include "vfs/walk.h"

enum { SLOTS = 16, TEXT_LEAST = 8, TEXT_MAX = 64 };
enum { WALKS_FIRST = 256 }; /* a program that looks up less has no use for it */

/* [C] */
struct known_path {
    u64 generation; /* of the names when it was walked; 0: empty */
    struct path root, at;
    u32 len;
    char text[TEXT_MAX]; /* without a NUL */
};

static struct known_path *known_paths[MAX_CPUS]; /* [C] NULL until there were enough walks */
static u32 walks[MAX_CPUS];                      /* [C] */

static inline bool fits(u32 len)
{
    return len - TEXT_LEAST <= TEXT_MAX - TEXT_LEAST;
}

static inline struct known_path *slot_of(struct known_path *all, const char *text, u32 len)
{
    u64 end = name_word(text + (len - 8)), middle = name_word(text + (len - 8) / 2);

    return &all[name_mix(end + len, middle) % SLOTS];
}

/* By words, the last of which overlap. */
static inline bool is_same_text(const char *a, const char *b, u32 len)
{
    for (u32 i = 0; i + 8 < len; i += 8)
        if (name_word(a + i) != name_word(b + i))
            return false;
    return name_word(a + (len - 8)) == name_word(b + (len - 8));
}

bool known_path_find(const char *text, u32 len, struct path *out)
{
    struct known_path *all = known_paths[cpu_id()];

    if (!all || unlikely(!fits(len) || !may_everything()))
        return false;
    struct known_path *known = slot_of(all, text, len);
    if (known->len != len || !is_same_text(known->text, text, len))
        return false;
    const struct path *root = &current_fs()->root;
    names_read_lock();
    bool found = known->generation == names_generation && known->root.dentry == root->dentry &&
                 known->root.mount == root->mount;
    if (likely(found)) {
        *out = known->at;
        dentry_get(out->dentry);
        if (unlikely(!(out->dentry->flags & DENTRY_REFERENCED)))
            out->dentry->flags |= DENTRY_REFERENCED;
    }
    names_read_unlock();
    return found;
}

void known_path_note(const char *text, u32 len, const struct path *at)
{
    struct known_path *all = known_paths[cpu_id()];

    if (!all || !fits(len))
        return;
    struct known_path *known = slot_of(all, text, len);
    *known = (struct known_path){
        .generation = names_generation, .root = current_fs()->root, .at = *at, .len = len};
    memcpy(known->text, text, len);
}

void known_path_count(void)
{
    u32 cpu = cpu_id();

    if (likely(known_paths[cpu] || ++walks[cpu] != WALKS_FIRST))
        return;
    struct known_path *all = kcalloc(SLOTS, sizeof(*all)); /* may sleep, and wake up elsewhere */
    cpu = cpu_id();
    if (known_paths[cpu])
        kfree(all);
    else
        known_paths[cpu] = all;
}
