/* What mount.c and mount_change.c share. */
#pragma once

#include "vfs/mount.h"

extern struct list_head mount_list; /* [N] in mount order, those that are gone too */

/** A mount of @sb's root that is nowhere yet; @source is kept. NULL: no memory. */
struct mount *mount_create(struct super_block *sb, const char *source, u32 flags);
/** Put it on @at, whose reference it takes. */
void mount_attach(struct mount *mount, const struct path *at);
static inline bool mount_is_gone(const struct mount *mount)
{
    return __atomic_load_n(&mount->gone, __ATOMIC_ACQUIRE);
}
