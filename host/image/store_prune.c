/* Images without a name: what `ingot run FILE` made, and what lost its name to a newer image.  All
 * of them can be made again, but for those that instances go on from. */
#include "image/store_priv.h"

#include "lib/cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The blobs of images, each once. */
struct blobs {
    struct strs digests;
    u64 bytes;
};

static void blobs_fini(struct blobs *blobs)
{
    strs_free(&blobs->digests);
}

static void blobs_add(struct blobs *blobs, const struct store *store, const char *hex)
{
    struct stat st;

    if (!hex || strs_has(&blobs->digests, hex))
        return;
    char *path CLEANUP(mem_free) = store_blob_path(store->root, hex);
    blobs->bytes += stat(path, &st) < 0 ? 0 : (u64)st.st_size;
    strs_add(&blobs->digests, hex);
}

static void blobs_add_image(struct blobs *blobs, const struct store *store,
                            const struct store_entry *entry, const json_t *manifest)
{
    const json_t *layer;
    size_t i;

    blobs_add(blobs, store, entry->digest);
    blobs_add(blobs, store, store_digest(json_object_get(manifest, "config")));
    json_array_foreach(json_object_get(manifest, "layers"), i, layer)
        blobs_add(blobs, store, store_digest(layer));
}

/* When its own layer was read last, or written; file systems note the first once a day at least. */
static time_t last_use(const struct store *store, const json_t *manifest)
{
    const json_t *layers = json_object_get(manifest, "layers");
    const char *hex = store_digest(json_array_get(layers, json_array_size(layers) - 1));
    char *path CLEANUP(mem_free) = hex ? store_blob_path(store->root, hex) : NULL;
    struct stat st;

    return path && stat(path, &st) == 0 ? max(st.st_atime, st.st_mtime) : 0;
}

static bool is_unused(const struct store_entry *entry, const json_t *manifest,
                      const struct strs *used)
{
    const char *id = store_digest(json_object_get(manifest, "config"));

    return !entry->name && !(id && strs_has(used, id));
}

int store_measure(const struct strs *used, struct store_usage *usage, struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    struct blobs all CLEANUP(blobs_fini) = {0}, needed CLEANUP(blobs_fini) = {0};

    *usage = (struct store_usage){0};
    int failed = store_open(&store, err);
    for (size_t i = 0; !failed && store_next(&store, &i, &entry);) {
        json_t *manifest CLEANUP(json_put) = store_manifest(&store, &entry, NULL);
        bool unused = is_unused(&entry, manifest, used);
        usage->named += entry.name != NULL;
        usage->unnamed += entry.name == NULL;
        usage->unused += unused;
        blobs_add_image(&all, &store, &entry, manifest);
        if (!unused)
            blobs_add_image(&needed, &store, &entry, manifest);
    }
    usage->bytes = all.bytes;
    usage->reclaimable = all.bytes - needed.bytes;
    return failed;
}

/* Take entry @i off the index, if that is allowed.  An image that has a name besides stays. */
static bool prune_one(struct store *store, size_t i, const struct strs *used, time_t before,
                      struct strs *deleted)
{
    struct store_entry entry CLEANUP(store_entry_free) = {0};

    if (!store_entry_at(store, i, &entry) || entry.name)
        return false;
    json_t *manifest CLEANUP(json_put) = store_manifest(store, &entry, NULL);
    if (!is_unused(&entry, manifest, used) || last_use(store, manifest) > before)
        return false;
    const char *id = store_digest(json_object_get(manifest, "config"));
    json_array_remove(store_manifests(store), i);
    if (!store_lists(store, entry.digest))
        strs_add(deleted, id ? id : entry.digest);
    return true;
}

static size_t count_unnamed(const struct store *store)
{
    size_t count = 0;

    for (size_t i = 0; i < store_count(store); i++)
        count += !store_note(json_array_get(store_manifests(store), i), STORE_NOTE_NAME);
    return count;
}

int store_prune(const struct strs *used, size_t keep, time_t age, struct strs *deleted,
                struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    int lock CLEANUP(fd_close) = -1;
    time_t before = time(NULL) - age;

    int failed = store_lock(&store, &lock, err);
    if (failed)
        return failed;
    const size_t had = store_count(&store);
    size_t unnamed = count_unnamed(&store);
    for (size_t i = 0; i < store_count(&store) && unnamed > keep;) /* the oldest come first */
        if (prune_one(&store, i, used, before, deleted))
            unnamed--;
        else
            i++;
    return store_count(&store) < had || !age ? store_settle(&store, !age, err) : 0;
}
