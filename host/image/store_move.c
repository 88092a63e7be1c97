#include "image/store_move.h"

#include "image/store_priv.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void store_parts_free(struct store_parts *parts)
{
    free(parts->name);
    free(parts->manifest);
    strs_free(&parts->digests);
}

static int open_entry(struct store *store, const char *id, struct store_entry *entry,
                      struct err *err)
{
    int failed = store_open(store, err);

    return failed ? failed : store_find(store, id, entry, err);
}

/* The digests that @manifest names. */
static int add_digests(const json_t *manifest, struct strs *digests, struct err *err)
{
    const json_t *layer;
    const char *hex = store_digest(json_object_get(manifest, "config"));
    size_t i;

    if (hex)
        strs_add(digests, hex);
    json_array_foreach(json_object_get(manifest, "layers"), i, layer)
    {
        const char *of_layer = store_digest(layer);
        hex = of_layer ? hex : NULL;
        if (of_layer && !strs_has(digests, of_layer))
            strs_add(digests, of_layer);
    }
    return hex ? 0 : err_set(err, EINVAL, "the image's manifest is damaged");
}

int store_parts(const char *id, struct store_parts *parts, struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    int failed = open_entry(&store, id, &entry, err);

    if (failed)
        return failed;
    json_t *manifest CLEANUP(json_put) = store_manifest(&store, &entry, err);
    failed = manifest ? add_digests(manifest, &parts->digests, err) : -err->code;
    strs_add(&parts->digests, entry.digest);
    parts->manifest = str_dup(entry.digest);
    parts->name = str_dup(entry.name);
    return failed;
}

bool store_has(const char *id)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    struct image image CLEANUP(image_free) = {0};

    return !open_entry(&store, id, &entry, NULL) && !store_load(&store, &entry, &image, NULL);
}

char *store_blob(const char *digest)
{
    char *root CLEANUP(mem_free) = store_path();

    return store_blob_path(root, digest);
}

static int adopt_blob(const struct store *store, const char *folder, const char *digest,
                      struct err *err)
{
    char *from CLEANUP(mem_free) = fs_join(folder, digest);
    char *to CLEANUP(mem_free) = store_blob_path(store->root, digest);

    if (!fs_exists(from))
        return fs_exists(to) ? 0 : err_set(err, ENOENT, "blob %s did not come", digest);
    fs_rewrite(from);
    if (chmod(from, 0444) < 0)
        return err_errno(err, errno, "%s", from);
    int failed = fs_sync(from, err);
    return !failed && rename(from, to) < 0 ? err_errno(err, errno, "%s", to) : failed;
}

/* A manifest that was sent may name anything: what it makes must be that image. */
static int check(const struct store *store, const struct store_parts *parts, const char *id,
                 struct err *err)
{
    struct store_entry entry = {.digest = parts->manifest};
    struct image image CLEANUP(image_free) = {0};
    int failed = store_load(store, &entry, &image, err);

    if (!failed && strcmp(image.id, id) != 0)
        failed = err_set(err, EINVAL, "what came is another image");
    return failed;
}

static bool has_name(const struct store *store, const char *name)
{
    struct store_entry entry CLEANUP(store_entry_free) = {0};

    for (size_t i = 0; name && store_next(store, &i, &entry);)
        if (entry.name && strcmp(entry.name, name) == 0)
            return true;
    return false;
}

int store_adopt(const char *folder, const struct store_parts *parts, const char *id,
                struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    int lock CLEANUP(fd_close) = -1;
    int failed = store_lock(&store, &lock, err);

    for (size_t i = 0; i < parts->digests.len && !failed; i++)
        failed = adopt_blob(&store, folder, parts->digests.at[i], err);
    if (!failed)
        failed = check(&store, parts, id, err);
    if (!failed)
        failed = store_add(&store, parts->manifest,
                           has_name(&store, parts->name) ? NULL : parts->name, err);
    if (failed)
        store_sweep_left_over(&store);
    return failed;
}
