/* Users, groups and capabilities.  The program is root and stays able to do what root can; what it
 * sets is remembered and reported, so that a server which drops its privileges is content. */
#include "abi/errno.h"
#include "abi/prctl.h"
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

/** Root may take any id; others those that they have. */
static bool uid_allowed(u32 id)
{
    const struct creds *c = creds();
    return id == SAME || c->euid == 0 || id == c->uid || id == c->euid || id == c->suid;
}

static bool gid_allowed(u32 id)
{
    const struct creds *c = creds();
    return id == SAME || c->euid == 0 || id == c->gid || id == c->egid || id == c->sgid;
}

static void assign(u32 *field, u32 id)
{
    if (id != SAME)
        *field = id;
}

/** Linux clears the effective capabilities of who stops being root. */
static void update_capabilities(void)
{
    struct creds *c = creds();
    c->cap_effective = c->euid == 0 ? c->cap_permitted : 0;
    if (c->uid && c->euid && c->suid && !current_process()->keepcaps)
        c->cap_permitted = 0;
}

long sys_setresuid(unsigned ruid, unsigned euid, unsigned suid)
{
    struct creds *c = creds();
    if (!uid_allowed(ruid) || !uid_allowed(euid) || !uid_allowed(suid))
        return -EPERM;
    assign(&c->uid, ruid);
    assign(&c->euid, euid);
    assign(&c->suid, suid);
    c->fsuid = c->euid;
    update_capabilities();
    return 0;
}

long sys_setresgid(unsigned rgid, unsigned egid, unsigned sgid)
{
    struct creds *c = creds();
    if (!gid_allowed(rgid) || !gid_allowed(egid) || !gid_allowed(sgid))
        return -EPERM;
    assign(&c->gid, rgid);
    assign(&c->egid, egid);
    assign(&c->sgid, sgid);
    c->fsgid = c->egid;
    return 0;
}

long sys_setuid(unsigned uid)
{
    if (uid == SAME)
        return -EINVAL;
    return creds()->euid == 0 ? sys_setresuid(uid, uid, uid) : sys_setresuid(SAME, uid, SAME);
}

long sys_setgid(unsigned gid)
{
    if (gid == SAME)
        return -EINVAL;
    return creds()->euid == 0 ? sys_setresgid(gid, gid, gid) : sys_setresgid(SAME, gid, SAME);
}

/** The saved id follows where the real id is set, or the effective one to something else. */
long sys_setreuid(unsigned ruid, unsigned euid)
{
    bool follow = ruid != SAME || (euid != SAME && euid != creds()->uid);
    long err = sys_setresuid(ruid, euid, SAME);
    if (!err && follow)
        creds()->suid = creds()->euid;
    return err;
}

long sys_setregid(unsigned rgid, unsigned egid)
{
    bool follow = rgid != SAME || (egid != SAME && egid != creds()->gid);
    long err = sys_setresgid(rgid, egid, SAME);
    if (!err && follow)
        creds()->sgid = creds()->egid;
    return err;
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
    u32 old = creds()->fsuid;
    if (uid_allowed(uid))
        assign(&creds()->fsuid, uid);
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
    if (c->euid != 0)
        return -EPERM;
    if (size < 0 || (size_t)size > ARRAY_LEN(groups))
        return -EINVAL;
    if (copy_from_user(groups, list, (size_t)size * sizeof(u32)))
        return -EFAULT;
    memcpy(c->groups, groups, (size_t)size * sizeof(u32));
    c->nr_groups = (u32)size;
    return 0;
}

/* ---- capabilities ---- */

/** Read the header; *@words is how many structures follow. An unknown version is told ours. */
static int read_cap_header(uaddr_t from, struct linux_cap_header *header, u32 *words)
{
    if (copy_from_user(header, from, sizeof(*header)))
        return -EFAULT;
    switch (header->version) {
    case CAPABILITY_VERSION_1:
        *words = 1;
        return 0;
    case CAPABILITY_VERSION_2:
    case CAPABILITY_VERSION_3:
        *words = 2;
        return 0;
    }
    header->version = CAPABILITY_VERSION_3;
    return copy_to_user(from, header, sizeof(*header)) ? -EFAULT : -EINVAL;
}

long sys_capget(uaddr_t uheader, uaddr_t udata)
{
    struct linux_cap_header header;
    u32 words;
    int err = read_cap_header(uheader, &header, &words);
    if (err)
        return err == -EINVAL && !udata ? 0 : err;
    struct process *p = header.pid < 0 ? NULL : get_process(header.pid);
    if (!p)
        return header.pid < 0 ? -EINVAL : -ESRCH;
    const struct creds *c = &p->creds;
    struct linux_cap_data data[2];
    for (u32 i = 0; i < 2; i++)
        data[i] = (struct linux_cap_data){(u32)(c->cap_effective >> 32 * i),
                                          (u32)(c->cap_permitted >> 32 * i),
                                          (u32)(c->cap_inheritable >> 32 * i)};
    process_put(p);
    return copy_to_user(udata, data, words * sizeof(data[0]));
}

long sys_capset(uaddr_t uheader, uaddr_t udata)
{
    struct linux_cap_header header;
    struct linux_cap_data data[2] = {0};
    u32 words;
    int err = read_cap_header(uheader, &header, &words);
    if (err)
        return err;
    if (header.pid && header.pid != current->tid)
        return -EPERM;
    if (copy_from_user(data, udata, words * sizeof(data[0])))
        return -EFAULT;
    u64 effective = data[0].effective | (u64)data[1].effective << 32;
    u64 permitted = data[0].permitted | (u64)data[1].permitted << 32;
    struct creds *c = creds();
    if (permitted & ~c->cap_permitted || effective & ~permitted)
        return -EPERM;
    c->cap_effective = effective;
    c->cap_permitted = permitted;
    c->cap_inheritable = data[0].inheritable | (u64)data[1].inheritable << 32;
    return 0;
}
