/* The root: read-only EROFS layers from the initrd or from disks, a tmpfs over them, and the file
 * systems every program expects inside; docs/architecture.md, "root". */
#include "abi/errno.h"
#include "block/block.h"
#include "core/cmdline.h"
#include "core/hostname.h"
#include "core/init.h"
#include "core/log.h"
#include "core/panic.h"
#include "fs/devfs.h"
#include "fs/erofs.h"
#include "fs/proc.h"
#include "fs/sysfs.h"
#include "fs/tmpfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"
#include "vfs/path.h"

enum { LAYERS_MAX = 16 };

/* The layers in the order they are found: the lowest one first. */
struct layers {
    struct super_block *sb[LAYERS_MAX];
    u32 nr;
};

static void add_layer(struct layers *layers, struct super_block *sb)
{
    if (layers->nr == LAYERS_MAX)
        fatal_error("more than %d layers", LAYERS_MAX);
    layers->sb[layers->nr++] = sb;
}

static _Noreturn void refuse(const char *where, u32 nr, int err, const char *why)
{
    if (err == -ENOMEM)
        fatal_error("out of memory: cannot mount the image");
    if (err == -EOPNOTSUPP)
        fatal_error("unsupported EROFS: %s, image %u: %s", where, nr, why);
    fatal_error("corrupt EROFS: %s, image %u: %s", where, nr, why);
}

static bool is_clear(const u8 *bytes, u64 len)
{
    for (u64 i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Images one behind the other, each padded to whole pages. */
static void mount_initrd(struct layers *layers)
{
    const u8 *base = phys_to_virt(boot_info.initrd_pa);
    u64 left = boot_info.initrd_len;

    for (u32 nr = 1; left; nr++) {
        struct super_block *sb;
        const char *why;
        if (nr > 1 && left < PAGE_SIZE && is_clear(base, left))
            return; /* what a loader padded it with */
        int err = erofs_mount_memory(base, left, &sb, &why);
        if (err)
            refuse("initrd", nr, err, why);
        add_layer(layers, sb);
        u64 size = min(ALIGN_UP(erofs_image_size(base, left), PAGE_SIZE), left);
        base += size;
        left -= size;
    }
}

static void mount_disk(struct layers *layers, const char *name)
{
    struct block_dev *bd = block_find(name);
    struct super_block *sb;
    const char *why;

    if (!bd)
        fatal_error("no such disk: '%s'", name);
    int err = erofs_mount_disk(bd, &sb, &why);
    if (err == -EIO)
        fatal_error("%s: %s", name, why);
    if (err)
        refuse(name, 1, err, why);
    add_layer(layers, sb);
}

static void mount_layers(struct layers *layers)
{
    const char *root = cmdline_get("root"), *name;
    u32 pos = 0;

    if (boot_info.initrd_len)
        mount_initrd(layers);
    if (root && *root)
        mount_disk(layers, root);
    while ((name = cmdline_next("ingot.layer", &pos)))
        mount_disk(layers, name);
    if (!layers->nr)
        fatal_error("no image: there is neither an initrd nor a root= disk");
}

static void make_dir(const char *path, u32 mode)
{
    int err = vfs_mkdir(path, mode);

    if (err && err != -EEXIST)
        log_warn("%s: cannot be made (error %d)", path, -err);
}

static void mount_kind(const char *kind, const char *path)
{
    fs_mount_fn *mount = fs_find(kind);
    if (!mount)
        return;
    struct super_block *sb = mount();
    int err = sb ? mount_at(sb, kind, path, false) : -ENOMEM;
    if (err)
        fatal_error("%s: cannot mount %s (error %d)", path, kind, -err);
}

/* A file that containers get, unless the image has its own. */
static void make_file(const char *path, const char *text)
{
    struct file *file;
    struct iov_iter from;
    struct iovec iov;
    s64 pos = 0;

    int err = vfs_open(path, O_WRONLY | O_CREAT | O_EXCL, 0644, &file);
    if (err == -EEXIST)
        return;
    if (!err) {
        iter_init_kernel(&from, &iov, (void *)(uintptr_t)text, strlen(text));
        ssize_t n = file_write(file, &from, &pos);
        err = n < 0 ? (int)n : 0;
        file_put(file);
    }
    if (err)
        log_warn("%s: cannot be written (error %d)", path, -err);
}

static void make_etc(void)
{
    const char *given = cmdline_get("ingot.hostname");
    const char *name = given && *given ? given : hostname;
    char text[256];

    make_dir("/etc", 0755);
    format(text, sizeof(text), "%.64s\n", name);
    make_file("/etc/hostname", text);
    format(text, sizeof(text),
           "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%.64s\n",
           name);
    make_file("/etc/hosts", text);
    make_file("/etc/resolv.conf", "");
    make_file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                             "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
    make_file("/etc/group", "root:x:0:\nnogroup:x:65534:\n");
}

static void rootfs_mount(void)
{
    struct layers layers = {.nr = 0};
    struct super_block *top_first[LAYERS_MAX];

    mount_layers(&layers);
    for (u32 i = 0; i < layers.nr; i++)
        top_first[i] = layers.sb[layers.nr - 1 - i];
    struct super_block *root = overlay_mount(top_first, layers.nr);
    if (!root || mount_root(root, "overlay"))
        fatal_error("out of memory: cannot mount the image");
}

void fs_init(void)
{
    vfs_trace_missing = cmdline_get_u64("ingot.missing", 0);
    tmpfs_register();
    devfs_register();
    procfs_register();
    sysfs_register();
    rootfs_mount();
    make_dir("/dev", 0755);
    make_dir("/proc", 0555);
    make_dir("/sys", 0555);
    make_dir("/tmp", 01777);
    mount_kind("devtmpfs", "/dev");
    mount_kind("proc", "/proc");
    mount_kind("sysfs", "/sys");
    mount_kind("tmpfs", "/dev/shm");
    make_etc();
}
