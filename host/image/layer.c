/* Source: OCI image-spec 1.1, layer.md. */
#include "image/layer.h"

#include "image/tar.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define WHITEOUT        ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_OWN    ".wh..wh." /* what aufs kept for itself */

static const char *inflate_program(const struct slice *bytes)
{
    static const u8 gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};

    if (bytes->len >= sizeof(gzip) && memcmp(bytes->data, gzip, sizeof(gzip)) == 0)
        return "gzip";
    if (bytes->len >= sizeof(zstd) && memcmp(bytes->data, zstd, sizeof(zstd)) == 0)
        return "zstd";
    return NULL;
}

int layer_inflate(const struct slice *bytes, const char *scratch, u64 limit, char **out,
                  struct err *err)
{
    const char *program = inflate_program(bytes);

    *out = NULL;
    if (!program)
        return 0;
    char *packed CLEANUP(mem_free) = fs_join(scratch, "packed");
    char *unpacked CLEANUP(mem_free) = fs_join(scratch, "unpacked");
    const char *argv[] = {program, "-dcq", packed, NULL};
    struct stat st;

    int failed = fs_write(packed, bytes->data, bytes->len, 0600, err);
    if (failed)
        return failed;
    failed =
        proc_check(&(struct proc){.argv = argv, .out_path = unpacked, .out_limit = limit}, err);
    unlink(packed);
    if (failed && stat(unpacked, &st) == 0 && (u64)st.st_size >= limit)
        failed = err_set(err, EFBIG, "more than %llu MiB come of %zu bytes",
                         (unsigned long long)(limit >> 20), bytes->len);
    else if (failed == -EIO)
        failed = err_set(err, EINVAL, "cannot be unpacked by %s", program);
    if (failed)
        unlink(unpacked);
    else
        *out = TAKE(unpacked, NULL);
    return failed;
}

/* The guest path of an entry, owned by the caller; NULL with @err set. */
static char *entry_path(const char *path, struct err *err)
{
    if (strlen(path) >= PATH_MAX) {
        err_set(err, EINVAL, "%.40s...: a path of 4096 bytes or more", path);
        return NULL;
    }
    for (const char *part = path; *part; part += strcspn(part, "/"), part += strspn(part, "/")) {
        size_t len = strcspn(part, "/");
        if (len == 2 && memcmp(part, "..", 2) == 0) {
            err_set(err, EINVAL, "%.200s: leads out of the image", path);
            return NULL;
        }
        if (len > NAME_MAX) {
            err_set(err, EINVAL, "%.40s...: a name of more than %d bytes", part, NAME_MAX);
            return NULL;
        }
    }
    return path_clean("/", path);
}

/* ---- what a layer takes away ---- */

struct removal {
    struct strs gone, emptied; /* places in the tree */
};

static void removal_free(struct removal *removal)
{
    strs_free(&removal->gone);
    strs_free(&removal->emptied);
}

static int place_add(const struct tree *tree, const char *path, struct strs *list, struct err *err)
{
    char *place = tree_place_of(tree, path);

    if (!place)
        return err_errno(err, ELOOP, "%s", path);
    strs_take(list, place);
    return 0;
}

static int removal_take_whiteout(const struct tree *tree, const char *path, struct removal *removal,
                                 struct err *err)
{
    const char *name = fs_name(path);
    char *above CLEANUP(mem_free) = str_printf("%.*s", (int)(name - path), path);

    if (strcmp(name, WHITEOUT_OPAQUE) == 0) {
        const struct tree_node *folder = tree_follow(tree, above);
        if (folder)
            strs_add(&removal->emptied, folder->path);
        return 0;
    }
    if (str_starts(name, WHITEOUT_OWN))
        return 0;
    name += strlen(WHITEOUT);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(err, EINVAL, "%s: a whiteout of nothing", path);
    char *hidden CLEANUP(mem_free) = fs_join(above, name);
    return place_add(tree, hidden, &removal->gone, err);
}

/* A folder of the layers below makes way for a file. */
static int removal_take_file(const struct tree *tree, const char *path, struct removal *removal,
                             struct err *err)
{
    const struct tree_node *there = tree_find(tree, path);

    if (strcmp(path, "/") == 0)
        return err_set(err, EINVAL, "the root is no folder");
    return there && there->kind == TREE_DIR ? place_add(tree, path, &removal->gone, err) : 0;
}

static int layer_remove(struct tree *tree, const struct slice *bytes, struct err *err)
{
    struct tar tar CLEANUP(tar_free) = {.data = bytes->data, .len = bytes->len};
    struct removal removal CLEANUP(removal_free) = {0};
    struct tar_entry entry;
    int more, failed = 0;

    while (!failed && (more = tar_next(&tar, &entry, err)) > 0) {
        char *path CLEANUP(mem_free) = entry_path(entry.path, err);
        if (!path)
            failed = -err->code;
        else if (str_starts(fs_name(path), WHITEOUT))
            failed = removal_take_whiteout(tree, path, &removal, err);
        else if (entry.type != TAR_DIR && entry.type != TAR_OTHER)
            failed = removal_take_file(tree, path, &removal, err);
    }
    if (failed || more < 0)
        return failed ? failed : more;
    tree_drop(tree, &removal.gone, &removal.emptied);
    return 0;
}

/* ---- what it adds ---- */

static int layer_put_file(struct tree *tree, struct tree_entry *to, const struct tar_entry *entry,
                          const char *files, size_t number, struct err *err)
{
    char *name CLEANUP(mem_free) = str_printf("%s/%zu", files, number);

    int failed = fs_write(name, entry->data, entry->size, 0600, err);
    to->source = name;
    return failed ? failed : tree_put(tree, to, err);
}

static int layer_put(struct tree *tree, const struct tar_entry *entry, const char *path,
                     const char *files, size_t number, struct err *err)
{
    struct tree_entry to = {.path = path,
                            .mode = entry->mode,
                            .uid = entry->uid,
                            .gid = entry->gid,
                            .mtime = {.tv_sec = entry->mtime, .tv_nsec = entry->mtime_ns}};

    switch (entry->type) {
    case TAR_FILE:
        to.kind = TREE_FILE;
        return layer_put_file(tree, &to, entry, files, number, err);
    case TAR_DIR:
        to.kind = TREE_DIR;
        return tree_put(tree, &to, err);
    case TAR_LINK:
        to.kind = TREE_LINK;
        to.source = entry->target;
        if (!*entry->target || strlen(entry->target) >= PATH_MAX)
            return err_set(err, EINVAL, "%s: a link of no or 4096 and more bytes", path);
        return tree_put(tree, &to, err);
    case TAR_HARD_LINK: {
        char *target CLEANUP(mem_free) = entry_path(entry->target, err);
        return target ? tree_put_hard_link(tree, path, target, err) : -err->code;
    }
    case TAR_OTHER:
        break;
    }
    return 0;
}

int layer_apply(struct tree *tree, const struct slice *bytes, const char *files, size_t *count,
                struct err *err)
{
    struct tar tar CLEANUP(tar_free) = {.data = bytes->data, .len = bytes->len};
    struct tar_entry entry;
    int more = 0;

    if (!tar_begins(bytes->data, bytes->len))
        return err_set(err, EINVAL, "neither a tar archive, nor one packed by gzip or zstd");
    int failed = layer_remove(tree, bytes, err);
    while (!failed && (more = tar_next(&tar, &entry, err)) > 0) {
        char *path CLEANUP(mem_free) = entry_path(entry.path, err);
        if (!path)
            failed = -err->code;
        else if (++*count > LAYER_FILES_MAX)
            failed = err_set(err, EFBIG, "more than %d files", LAYER_FILES_MAX);
        else if (!str_starts(fs_name(path), WHITEOUT))
            failed = layer_put(tree, &entry, path, files, *count, err);
    }
    return failed ? failed : more;
}
