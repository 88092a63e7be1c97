/* Absolute paths that were walked lately, whole: the lookup of one that comes again costs a
 * comparison instead of a step a component (Tsai et al., SOSP 2015).  Each CPU has a few. */
#include "vfs/known_path.h"

#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/walk.h"

enum { WALKS_FIRST = 256 }; /* a program that looks up less has no use for it */

struct known_path *known_paths[MAX_CPUS];
static u32 walks[MAX_CPUS]; /* [C] */

bool known_path_find(const char *text, u32 len, struct path *out)
{
    const struct path *at = known_path_borrow(text, len);

    if (!at)
        return false;
    *out = *at;
    dentry_get(out->dentry);
    names_read_unlock();
    return true;
}

void known_path_note(const char *text, u32 len, const struct path *at)
{
    struct known_path *all = known_paths[cpu_id()];

    if (!all || !known_path_fits(len))
        return;
    struct known_path *known = known_path_slot(all, text, len);
    *known = (struct known_path){
        .generation = names_generation, .root = current_fs()->root, .at = *at, .len = len};
    memcpy(known->text, text, len);
}

void known_path_count(void)
{
    u32 cpu = cpu_id();

    if (likely(known_paths[cpu] || ++walks[cpu] != WALKS_FIRST))
        return;
    struct known_path *all =
        kcalloc(KNOWN_PATHS, sizeof(*all)); /* may sleep, and wake up elsewhere */
    cpu = cpu_id();
    if (known_paths[cpu])
        kfree(all);
    else
        known_paths[cpu] = all;
}
