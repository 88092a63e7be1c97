/* mount(2) and umount2(2): a tmpfs, a part of the tree once more (MS_BIND), /proc, /sys and /dev at
 * another place, other flags (MS_REMOUNT).  Disks are mounted at the start, by the runner's words:
 * other kinds are ENODEV.  There is one tree of mounts, whose changes are everybody's, and nothing
 * is propagated: MS_PRIVATE and MS_SLAVE are what is. */
#include "vfs/mount.h"
#include "abi/capability.h"
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/tmpfs.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sys/fs.h"
#include "syscalls.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/permission.h"

enum {
    MS_RDONLY = 1,
    MS_NOSUID = 2,
    MS_NODEV = 4,
    MS_NOEXEC = 8,
    MS_REMOUNT = 32,
    MS_BIND = 4096,
    MS_MOVE = 8192,
    MS_REC = 16384,
    MS_UNBINDABLE = 1 << 17,
    MS_PRIVATE = 1 << 18,
    MS_SLAVE = 1 << 19,
    MS_SHARED = 1 << 20,
    MS_MAGIC_MASK = 0xffff0000,
    MS_MAGIC = 0xc0ed0000, /* what mount(8) of Linux 2.2 put there */
    UMOUNT_FORCE = 1,
    UMOUNT_DETACH = 2,
    UMOUNT_NOFOLLOW = 8,
    OPTIONS_BYTES = 4096,
    KIND_BYTES = 32,
};

static u32 mount_flags_of(u64 flags)
{
    return (flags & MS_RDONLY ? MOUNT_READONLY : 0u) | (flags & MS_NOSUID ? MOUNT_NOSUID : 0u) |
           (flags & MS_NODEV ? MOUNT_NODEV : 0u) | (flags & MS_NOEXEC ? MOUNT_NOEXEC : 0u);
}

/* ---- what a tmpfs is told ---- */

struct tmpfs_options {
    u64 bytes; /* 0: not said */
    u32 mode, uid, gid;
};

/* All of @text in @base. */
static bool parse_number(const char *text, u32 base, u64 *out)
{
    u64 n = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        u32 digit = (u32)(*text - '0');
        if (digit >= base || __builtin_mul_overflow(n, (u64)base, &n) ||
            __builtin_add_overflow(n, (u64)digit, &n))
            return false;
    }
    *out = n;
    return true;
}

/* Bytes, with k, m, g, or so many hundredths of all memory. Changes @text. */
static bool parse_size(char *text, u64 *out)
{
    static const char units[] = "kmg%";
    size_t len = strlen(text);
    const char *unit = len ? strchr(units, text[len - 1] | 0x20) : NULL;
    u64 n, times = 1;

    if (unit) {
        times = *unit == '%' ? page_total() * PAGE_SIZE / 100 : 1ull << 10 * (unit - units + 1);
        text[len - 1] = '\0';
    }
    return parse_number(text, 10, &n) && !__builtin_mul_overflow(n, times, out);
}

/* One word, "name" or "name=value". */
static bool parse_option(char *word, struct tmpfs_options *options)
{
    u64 n;

    char *value = strchr(word, '=');
    if (!value)
        return !*word;
    *value++ = '\0';
    if (!strcmp(word, "size"))
        return parse_size(value, &options->bytes);
    if (!strcmp(word, "nr_inodes") || !strcmp(word, "nr_blocks") || !strcmp(word, "huge") ||
        !strcmp(word, "mpol"))
        return *value != '\0'; /* no limit, no choice */
    if (!parse_number(value, !strcmp(word, "mode") ? 8 : 10, &n) || n > UINT32_MAX)
        return false;
    if (!strcmp(word, "mode"))
        options->mode = n & 07777;
    else if (!strcmp(word, "uid"))
        options->uid = (u32)n;
    else if (!strcmp(word, "gid"))
        options->gid = (u32)n;
    else
        return false;
    return true;
}

static int parse_options(char *text, struct tmpfs_options *options)
{
    while (text) {
        char *comma = strchr(text, ',');
        if (comma)
            *comma++ = '\0';
        if (!parse_option(text, options))
            return -EINVAL;
        text = comma;
    }
    return 0;
}

/* ---- the ways of mount ---- */

/* The words of a call, owned. */
struct words {
    char source[LINUX_PATH_MAX], kind[KIND_BYTES], options[OPTIONS_BYTES];
};

static int mount_new_tmpfs(struct words *w, u32 flags, const struct path *at)
{
    struct tmpfs_options options = {.mode = 01777};

    int err = parse_options(w->options, &options);
    if (err)
        return err;
    struct super_block *sb = tmpfs_mount_sized(options.bytes);
    if (!sb)
        return -ENOMEM;
    struct inode *root = sb->root->inode;
    root->mode = S_IFDIR | options.mode;
    root->uid = options.uid;
    root->gid = options.gid;
    err = mount_add(sb, sb->root, w->source, flags, at, NULL);
    if (err)
        super_destroy(sb);
    return err;
}

static int mount_new(struct words *w, u32 flags, const struct path *at)
{
    static const char *const once[] = {"proc", "sysfs", "devtmpfs"};

    if (!strcmp(w->kind, "tmpfs") || !strcmp(w->kind, "ramfs"))
        return mount_new_tmpfs(w, flags, at);
    for (u32 i = 0; i < ARRAY_LEN(once); i++) {
        const struct mount *there = strcmp(w->kind, once[i]) ? NULL : mount_find(once[i]);
        if (there)
            return mount_add(there->sb, there->sb->root, w->source, flags, at, NULL);
    }
    return -ENODEV;
}

static int mount_bind(uaddr_t source, u64 flags, const struct path *at)
{
    struct path from;

    int err = user_path(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
    if (err)
        return err;
    struct mount *mount = from.mount; /* its flags are those of the new one, too */
    u32 own = mount ? __atomic_load_n(&mount->flags, __ATOMIC_RELAXED) : 0;
    err = mount && from.dentry ? mount_add(mount->sb, from.dentry, mount->source, own, at,
                                           flags & MS_REC ? mount : NULL)
                               : -EINVAL; /* a pipe, say */
    path_put(&from);
    return err;
}

static int remount(struct words *w, u64 flags, const struct path *at)
{
    struct tmpfs_options options = {.mode = 0};

    if (at->dentry != at->mount->root)
        return -EINVAL;
    bool sized = !(flags & MS_BIND) && !strcmp(at->mount->sb->type, "tmpfs");
    int err = sized ? parse_options(w->options, &options) : 0;
    if (!err && options.bytes)
        err = tmpfs_resize(at->mount->sb, options.bytes);
    return err ? err : mount_change(at, mount_flags_of(flags));
}

static int copy_word(char *to, uaddr_t from, size_t size)
{
    *to = '\0';
    if (!from)
        return 0;
    ssize_t len = strncpy_from_user(to, from, size);
    return len < 0 ? (int)len : (size_t)len >= size ? -EINVAL : 0;
}

static int copy_words(struct words *w, uaddr_t source, uaddr_t kind, uaddr_t options)
{
    int err = copy_word(w->source, source, sizeof(w->source));

    if (!err)
        err = copy_word(w->kind, kind, sizeof(w->kind));
    if (!err)
        err = copy_word(w->options, options, sizeof(w->options));
    if (!err && !*w->source)
        str_copy(w->source, "none", sizeof(w->source));
    return err;
}

static int mount_words(uaddr_t source, uaddr_t kind, u64 flags, uaddr_t options,
                       const struct path *at)
{
    struct words *w = kmalloc(sizeof(*w));

    if (!w)
        return -ENOMEM;
    int err = copy_words(w, source, kind, options);
    if (!err)
        err = flags & MS_REMOUNT ? remount(w, flags, at) : mount_new(w, mount_flags_of(flags), at);
    kfree(w);
    return err;
}

long sys_mount(uaddr_t source, uaddr_t target, uaddr_t kind, u64 flags, uaddr_t options)
{
    enum { PROPAGATION = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED };
    struct path at;

    if ((flags & MS_MAGIC_MASK) == MS_MAGIC)
        flags &= ~(u64)MS_MAGIC_MASK;
    int err = user_path(AT_FDCWD, target, LOOKUP_FOLLOW, &at);
    if (err)
        return err;
    if (!capable(CAP_SYS_ADMIN))
        err = -EPERM;
    else if (!at.mount || !at.dentry)
        err = -EINVAL;
    else if (flags & MS_REMOUNT)
        err = mount_words(0, 0, flags, flags & MS_BIND ? 0 : options, &at);
    else if (flags & MS_BIND)
        err = mount_bind(source, flags, &at);
    else if (flags & PROPAGATION)
        err = at.dentry == at.mount->root && !(flags & (MS_SHARED | MS_UNBINDABLE)) ? 0 : -EINVAL;
    else if (flags & MS_MOVE)
        err = -EINVAL;
    else
        err = mount_words(source, kind, flags, options, &at);
    path_put(&at);
    return err;
}

long sys_umount2(uaddr_t target, int flags)
{
    struct path at;

    if (flags & ~(UMOUNT_FORCE | UMOUNT_DETACH | UMOUNT_NOFOLLOW))
        return -EINVAL;
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    int err = user_path(AT_FDCWD, target, flags & UMOUNT_NOFOLLOW ? 0 : LOOKUP_FOLLOW, &at);
    if (err)
        return err;
    if (at.mount && at.dentry)
        return mount_remove(&at, flags & UMOUNT_DETACH);
    path_put(&at);
    return -EINVAL;
}
