/* Users and groups: credentials(7).  What capabilities follow is in capability.c. */
#include "abi/errno.h"
#include "lib/string.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

#define SAME 0xffffffffu /* "leave it as it is" */

static struct creds *creds(void)
{
    return &current_process()->creds;
}

long sys_getuid(void)
{
    return creds()->uid;
}

long sys_geteuid(void)
{
    return creds()->euid;
}

long sys_getgid(void)
{
    return creds()->gid;
}

long sys_getegid(void)
{
    return creds()->egid;
}

/** Who may (CAP_SETUID) takes any id; others those that they have. */
static bool uid_allowed(u32 id)
{
    const struct creds *c = creds();
    return id == SAME || creds_capable(c, CAP_SETUID) || id == c->uid || id == c->euid ||
           id == c->suid;
}

static bool gid_allowed(u32 id)
{
    const struct creds *c = creds();
    return id == SAME || creds_capable(c, CAP_SETGID) || id == c->gid || id == c->egid ||
           id == c->sgid;
}

static void assign(u32 *field, u32 id)
{
    if (id != SAME)
        *field = id;
}

static bool has_root(const struct creds *c)
{
    return !c->uid || !c->euid || !c->suid;
}

/** What becomes of capabilities where user ids change: capabilities(7), "effect of user ID
 * changes".
 */
static void follow_uids(struct creds *c, const struct creds *old)
{
    if (has_root(old) && !has_root(c)) {
        if (!current_process()->keepcaps)
            c->cap_permitted = c->cap_effective = 0;
        c->cap_ambient = 0;
    }
    if (!old->euid && c->euid)
        c->cap_effective = 0;
    if (old->euid && !c->euid)
        c->cap_effective = c->cap_permitted;
}

/** The same of the id for files, for those capabilities that have to do with files. */
static void follow_fsuid(struct creds *c, u32 old)
{
    const u64 files = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) |
                      BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) |
                      BIT(CAP_MKNOD) | BIT(CAP_MAC_OVERRIDE);

    if (!old && c->fsuid)
        c->cap_effective &= ~files;
    if (old && !c->fsuid)
        c->cap_effective |= c->cap_permitted & files;
}

static void set_uids(u32 ruid, u32 euid, u32 suid)
{
    struct creds *c = creds(), old = *c;

    assign(&c->uid, ruid);
    assign(&c->euid, euid);
    assign(&c->suid, suid);
    c->fsuid = c->euid;
    follow_uids(c, &old);
}

static void set_gids(u32 rgid, u32 egid, u32 sgid)
{
    struct creds *c = creds();

    assign(&c->gid, rgid);
    assign(&c->egid, egid);
    assign(&c->sgid, sgid);
    c->fsgid = c->egid;
}

long sys_setresuid(unsigned ruid, unsigned euid, unsigned suid)
{
    if (!uid_allowed(ruid) || !uid_allowed(euid) || !uid_allowed(suid))
        return -EPERM;
    set_uids(ruid, euid, suid);
    return 0;
}

long sys_setresgid(unsigned rgid, unsigned egid, unsigned sgid)
{
    if (!gid_allowed(rgid) || !gid_allowed(egid) || !gid_allowed(sgid))
        return -EPERM;
    set_gids(rgid, egid, sgid);
    return 0;
}

long sys_setuid(unsigned uid)
{
    const struct creds *c = creds();

    if (uid == SAME)
        return -EINVAL;
    if (creds_capable(c, CAP_SETUID))
        set_uids(uid, uid, uid);
    else if (uid == c->uid || uid == c->suid)
        set_uids(SAME, uid, SAME);
    else
        return -EPERM;
    return 0;
}

long sys_setgid(unsigned gid)
{
    const struct creds *c = creds();

    if (gid == SAME)
        return -EINVAL;
    if (creds_capable(c, CAP_SETGID))
        set_gids(gid, gid, gid);
    else if (gid == c->gid || gid == c->sgid)
        set_gids(SAME, gid, SAME);
    else
        return -EPERM;
    return 0;
}

/** The saved id follows where the real id is set, or the effective one to another than the real. */
long sys_setreuid(unsigned ruid, unsigned euid)
{
    const struct creds *c = creds();
    bool free = creds_capable(c, CAP_SETUID);
    bool follow = ruid != SAME || (euid != SAME && euid != c->uid);

    if (!free && ruid != SAME && ruid != c->uid && ruid != c->euid)
        return -EPERM;
    if (!uid_allowed(euid))
        return -EPERM;
    set_uids(ruid, euid, !follow ? SAME : euid != SAME ? euid : c->euid);
    return 0;
}

long sys_setregid(unsigned rgid, unsigned egid)
{
    const struct creds *c = creds();
    bool free = creds_capable(c, CAP_SETGID);
    bool follow = rgid != SAME || (egid != SAME && egid != c->gid);

    if (!free && rgid != SAME && rgid != c->gid && rgid != c->egid)
        return -EPERM;
    if (!gid_allowed(egid))
        return -EPERM;
    set_gids(rgid, egid, !follow ? SAME : egid != SAME ? egid : c->egid);
    return 0;
}

static long put_three(uaddr_t a, u32 va, uaddr_t b, u32 vb, uaddr_t c, u32 vc)
{
    if (copy_to_user(a, &va, sizeof(va)) || copy_to_user(b, &vb, sizeof(vb)) ||
        copy_to_user(c, &vc, sizeof(vc)))
        return -EFAULT;
    return 0;
}

long sys_getresuid(uaddr_t ruid, uaddr_t euid, uaddr_t suid)
{
    const struct creds *c = creds();
    return put_three(ruid, c->uid, euid, c->euid, suid, c->suid);
}

long sys_getresgid(uaddr_t rgid, uaddr_t egid, uaddr_t sgid)
{
    const struct creds *c = creds();
    return put_three(rgid, c->gid, egid, c->egid, sgid, c->sgid);
}

/* These two answer with the old id, whether they set the new one or not. */
long sys_setfsuid(unsigned uid)
{
    struct creds *c = creds();
    u32 old = c->fsuid;
    if (uid != SAME && (uid_allowed(uid) || uid == old)) {
        c->fsuid = uid;
        follow_fsuid(c, old);
    }
    return old;
}

long sys_setfsgid(unsigned gid)
{
    u32 old = creds()->fsgid;
    if (gid_allowed(gid))
        assign(&creds()->fsgid, gid);
    return old;
}

long sys_getgroups(int size, uaddr_t list)
{
    const struct creds *c = creds();
    if (size < 0 || (size && (u32)size < c->nr_groups))
        return -EINVAL;
    if (size && copy_to_user(list, c->groups, c->nr_groups * sizeof(u32)))
        return -EFAULT;
    return c->nr_groups;
}

long sys_setgroups(int size, uaddr_t list)
{
    struct creds *c = creds();
    u32 groups[ARRAY_LEN(c->groups)];
    if (!creds_capable(c, CAP_SETGID))
        return -EPERM;
    if (size < 0 || (size_t)size > ARRAY_LEN(groups))
        return -EINVAL;
    if (copy_from_user(groups, list, (size_t)size * sizeof(u32)))
        return -EFAULT;
    memcpy(c->groups, groups, (size_t)size * sizeof(u32));
    c->nr_groups = (u32)size;
    return 0;
}
