/* Who a process is and what it may: credentials(7), capabilities(7).  They are the process's, not a
 * thread's: C libraries keep the threads of a process alike. */
#pragma once

#include "abi/capability.h"
#include "lib/types.h"

enum { GROUPS_MAX = 32 };

/* Written by threads of the process itself only; others read it as it is. */
struct creds {
    u32 uid, euid, suid, fsuid;
    u32 gid, egid, sgid, fsgid;
    u32 nr_groups;
    u32 groups[GROUPS_MAX];
    u64 cap_effective, cap_permitted, cap_inheritable, cap_bounding,
        cap_ambient; /* bits by CAP_* */
};

/** All capabilities there are. */
#define CAP_ALL ((2ull << CAP_LAST_CAP) - 1)

static inline bool creds_capable(const struct creds *c, u32 cap)
{
    return c->cap_effective >> cap & 1;
}

/** Is @gid the group for files or one of the supplementary ones? */
static inline bool creds_in_group(const struct creds *c, u32 gid)
{
    if (c->fsgid == gid)
        return true;
    for (u32 i = 0; i < c->nr_groups; i++)
        if (c->groups[i] == gid)
            return true;
    return false;
}
