/* capget, capset and what prctl has to do with capabilities: capabilities(7). */
#include "abi/errno.h"
#include "abi/prctl.h"
#include "abi/stat.h"
#include "lib/string.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

static struct creds *creds(void)
{
    return &current_process()->creds;
}

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
    u64 inheritable = data[0].inheritable | (u64)data[1].inheritable << 32;
    struct creds *c = creds();
    u64 gains = inheritable & ~c->cap_inheritable;
    if (permitted & ~c->cap_permitted || effective & ~permitted || gains & ~c->cap_bounding ||
        (gains & ~c->cap_permitted && !creds_capable(c, CAP_SETPCAP)))
        return -EPERM;
    c->cap_effective = effective & CAP_ALL;
    c->cap_permitted = permitted & CAP_ALL;
    c->cap_inheritable = inheritable & CAP_ALL;
    c->cap_ambient &= permitted & inheritable;
    return 0;
}

/** The ids that the set-user-ID and set-group-ID bits of @file give. */
static void take_file_ids(const struct process *process, const struct file *file, struct creds *c)
{
    const struct inode *inode = file->inode;

    if (process->no_new_privs || (file->mount && mount_has(file->mount, MOUNT_NOSUID)))
        return;
    if (inode->mode & S_ISUID)
        c->euid = inode->uid;
    if ((inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        c->egid = inode->gid;
}

void creds_after_exec(const struct process *process, const struct file *file, struct creds *out)
{
    *out = process->creds;
    take_file_ids(process, file, out);
    bool changes = out->euid != process->creds.euid || out->egid != process->creds.egid;
    out->suid = out->fsuid = out->euid;
    out->sgid = out->fsgid = out->egid;
    if (changes)
        out->cap_ambient = 0;
    bool root = !out->uid || !out->euid;
    out->cap_permitted = root ? out->cap_inheritable | out->cap_bounding : out->cap_ambient;
    out->cap_effective = out->euid ? out->cap_ambient : out->cap_permitted;
}

static long has_capability(u64 set, u64 cap)
{
    return cap > CAP_LAST_CAP ? -EINVAL : (long)(set >> cap & 1);
}

static long drop_bounding(u64 cap)
{
    if (!capable(CAP_SETPCAP))
        return -EPERM;
    if (cap > CAP_LAST_CAP)
        return -EINVAL;
    creds()->cap_bounding &= ~BIT(cap);
    return 0;
}

static long change_ambient(u64 what, u64 cap)
{
    struct creds *c = creds();

    if (what == PR_CAP_AMBIENT_CLEAR_ALL) {
        c->cap_ambient = 0;
        return cap ? -EINVAL : 0;
    }
    if (cap > CAP_LAST_CAP)
        return -EINVAL;
    switch (what) {
    case PR_CAP_AMBIENT_IS_SET:
        return has_capability(c->cap_ambient, cap);
    case PR_CAP_AMBIENT_RAISE:
        if (!(c->cap_permitted & c->cap_inheritable & BIT(cap)))
            return -EPERM;
        c->cap_ambient |= BIT(cap);
        return 0;
    case PR_CAP_AMBIENT_LOWER:
        c->cap_ambient &= ~BIT(cap);
        return 0;
    default:
        return -EINVAL;
    }
}

long capability_prctl(int option, u64 arg2, u64 arg3)
{
    switch (option) {
    case PR_CAPBSET_READ:
        return has_capability(creds()->cap_bounding, arg2);
    case PR_CAPBSET_DROP:
        return drop_bounding(arg2);
    default:
        return change_ambient(arg2, arg3);
    }
}
