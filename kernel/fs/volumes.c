/* Volumes: ingot.mount=/dev/vdX:/path[:ro], one word a volume, each an ext4 file system on a disk
 * of its own; and ingot.share=NAME:/path[:ro], a folder of the host that a 9p server of that name
 * serves; and ingot.tmpfs=BYTES:/path, a tmpfs of its own.  They are unmounted when the program has
 * ended, whatever its end. */
#include "fs/volumes.h"
#include "abi/errno.h"
#include "block/block.h"
#include "core/cmdline.h"
#include "core/log.h"
#include "core/panic.h"
#include "fs/9p.h"
#include "fs/ext4.h"
#include "fs/partition.h"
#include "fs/tmpfs.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/path.h"

/* What a word says. */
struct volume {
    char *disk, *path; /* .disk owns the memory of both; it stays, as the mount's source */
    bool readonly;
};

/* @key: the word's, for messages. */
static void parse(const char *key, const char *word, struct volume *v)
{
    v->disk = kstrdup(word);
    if (!v->disk)
        fatal_error("out of memory: cannot mount %s", word);
    v->path = strchr(v->disk, ':');
    if (!v->path || v->path[1] != '/' || !v->path[2])
        fatal_error("%s=%s: not DISK:/PATH[:ro]", key, word);
    *v->path++ = '\0';
    char *option = strchr(v->path, ':');
    v->readonly = option && !strcmp(option, ":ro");
    if (option && !v->readonly && strcmp(option, ":rw"))
        fatal_error("%s=%s: '%s' is neither ro nor rw", key, word, option + 1);
    if (option)
        *option = '\0';
}

/* Every folder on the way. */
static int make_path(char *path)
{
    int err = 0;

    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        err = vfs_mkdir(path, 0755);
        *slash = '/';
    }
    err = vfs_mkdir(path, 0755);
    return err == -EEXIST ? 0 : err;
}

static int unmount_visit(struct mount *mount, void *arg)
{
    struct super_block *sb = mount->sb;

    (void)arg;
    if (sb->ops && sb->ops->unmount)
        sb->ops->unmount(sb);
    return 0;
}

static void unmount_all(void)
{
    sched_stop_programs(); /* what is written from now on is what was there at the end */
    mount_for_each(unmount_visit, NULL);
}

static void mount_there(struct super_block *sb, const char *source, struct volume *v)
{
    int err = make_path(v->path);

    if (!err)
        err = mount_at(sb, source, v->path, v->readonly);
    if (err)
        fatal_error("volume: cannot mount at %s (error %d)", v->path, -err);
}

static void mount_volume(const char *word)
{
    struct block_dev *bd;
    struct super_block *sb;
    struct volume v;
    char why[200];

    parse("ingot.mount", word, &v);
    bd = partition_find(v.disk);
    if (!bd)
        fatal_error("%s: no such disk: '%s'", v.path, v.disk);
    int err = ext4_mount(bd, v.readonly, why, sizeof(why), &sb);
    if (err)
        fatal_error("volume at %s: %s", v.path, why);
    if (*why)
        log_warn("volume at %s: %s", v.path, why);
    mount_there(sb, v.disk, &v);
}

static void mount_share(const char *word)
{
    struct super_block *sb;
    struct volume v;

    parse("ingot.share", word, &v);
    int err = p9_mount(v.disk, &sb);
    if (err)
        fatal_error("shared folder at %s: no server answers (error %d)", v.path, -err);
    mount_there(sb, v.disk, &v);
}

static void mount_tmpfs(const char *word)
{
    struct volume v;
    u64 bytes = 0;

    parse("ingot.tmpfs", word, &v);
    for (const char *p = v.disk; *p; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(bytes, 10u, &bytes) ||
            __builtin_add_overflow(bytes, (u64)(*p - '0'), &bytes))
            fatal_error("ingot.tmpfs=%s: '%s' is no number of bytes", word, v.disk);
    }
    struct super_block *sb = tmpfs_mount_sized(bytes);
    if (!sb)
        fatal_error("out of memory: no tmpfs at %s", v.path);
    mount_there(sb, "tmpfs", &v);
}

void volumes_mount(void)
{
    const char *word;
    u32 pos = 0, nr = 0;

    for (; (word = cmdline_next("ingot.mount", &pos)); nr++)
        mount_volume(word);
    for (pos = 0; (word = cmdline_next("ingot.share", &pos));)
        mount_share(word);
    for (pos = 0; (word = cmdline_next("ingot.tmpfs", &pos));)
        mount_tmpfs(word);
    if (nr)
        vm_end_hook(unmount_all);
}
