/* Reading the store: three small files for an image, no process, no hashing of layers. */
#include "image/store_priv.h"

#include "image/config.h"
#include "image/reference.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ID_DIGITS_MIN = 4,
};

char *store_path(void)
{
    const char *ours = getenv("INGOT_HOME");
    const char *data = getenv("XDG_DATA_HOME");

    if (ours && *ours)
        return ours[0] == '/' ? str_dup(ours) : fs_join(".", ours);
    if (data && data[0] == '/')
        return fs_join(data, "ingot");
    char *home CLEANUP(mem_free) = fs_home();
    return fs_join(home, ".local/share/ingot");
}

char *store_cache_path(const char *key)
{
    char *root CLEANUP(mem_free) = store_path();

    return str_printf("%s/cache/%s", root, key);
}

char *store_blob_path(const char *root, const char *hex)
{
    return str_printf("%s/blobs/sha256/%s", root, hex);
}

json_t *store_manifests(const struct store *store)
{
    return json_object_get(store->index, "manifests");
}

int store_reload(struct store *store, struct err *err)
{
    char *path CLEANUP(mem_free) = fs_join(store->root, "index.json");

    json_decref(store->index);
    store->index = NULL;
    if (!store_state(store->root, store->state, sizeof(store->state))) /* before it is read */
        store->state[0] = 0;
    if (!fs_exists(path) && errno == ENOENT)
        return 0;
    store->index = json_read(path, err);
    if (store->index && json_is_array(store_manifests(store)))
        return 0;
    if (store->index)
        err_set(err, EINVAL, "%s: damaged: it lists no manifests", path);
    return err_prefix(err, "image store");
}

void store_open_unread(struct store *store)
{
    *store = (struct store){.root = store_path()};
}

int store_read(struct store *store, struct err *err)
{
    return store_reload(store, err);
}

int store_open(struct store *store, struct err *err)
{
    store_open_unread(store);
    int failed = store_reload(store, err);
    if (failed)
        store_close(store);
    return failed;
}

void store_close(struct store *store)
{
    free(store->root);
    json_decref(store->index);
    *store = (struct store){0};
}

void store_entry_free(struct store_entry *entry)
{
    free(entry->name);
    free(entry->cache);
    free(entry->digest);
    free(entry->created);
    *entry = (struct store_entry){0};
}

const char *store_digest(const json_t *descriptor)
{
    const char *digest = json_str(descriptor, "digest", "");

    if (!str_starts(digest, "sha256:") || strlen(digest + 7) != SHA256_HEX)
        return NULL;
    return strspn(digest + 7, "0123456789abcdef") == SHA256_HEX ? digest + 7 : NULL;
}

const char *store_note(const json_t *descriptor, const char *key)
{
    return json_str(json_object_get(descriptor, "annotations"), key, NULL);
}

size_t store_count(const struct store *store)
{
    return json_array_size(store_manifests(store));
}

bool store_entry_at(const struct store *store, size_t i, struct store_entry *entry)
{
    const json_t *descriptor = json_array_get(store_manifests(store), i);
    const char *digest = store_digest(descriptor);

    if (!digest)
        return false;
    *entry = (struct store_entry){
        .name = str_dup(store_note(descriptor, STORE_NOTE_NAME)),
        .cache = str_dup(store_note(descriptor, STORE_NOTE_CACHE)),
        .digest = str_dup(digest),
        .created = str_dup(store_note(descriptor, STORE_NOTE_CREATED)),
    };
    return true;
}

bool store_next(const struct store *store, size_t *i, struct store_entry *entry)
{
    store_entry_free(entry);
    while (*i < store_count(store))
        if (store_entry_at(store, (*i)++, entry))
            return true;
    return false;
}

/* A small blob as JSON, if it is what its digest says. */
static json_t *store_read_blob(const struct store *store, const json_t *descriptor,
                               const char *what, struct err *err)
{
    const char *hex = store_digest(descriptor);
    struct buf text CLEANUP(buf_free) = {0};
    json_error_t why;

    if (!hex) {
        err_set(err, EINVAL, "image store: the %s has no sha256 digest", what);
        return NULL;
    }
    char *path CLEANUP(mem_free) = store_blob_path(store->root, hex);
    if (fs_read(path, MIB(4), &text, err) < 0) {
        err_prefix(err, "image store: the %s is gone, so build the image again", what);
        return NULL;
    }
    struct sha256_hex real = sha256_bytes(text.data, text.len);
    json_t *json = strcmp(real.text, hex) == 0 ? json_loadb(text.data, text.len, 0, &why) : NULL;
    if (!json)
        err_set(err, EINVAL,
                "%s: corrupt %s (its content is not what its digest says); build the image again",
                path, what);
    return json;
}

json_t *store_config(const struct store *store, const json_t *manifest, struct err *err)
{
    return store_read_blob(store, json_object_get(manifest, "config"), "image config", err);
}

json_t *store_manifest(const struct store *store, const struct store_entry *entry, struct err *err)
{
    char *digest CLEANUP(mem_free) = str_printf("sha256:%s", entry->digest);
    json_t *descriptor CLEANUP(json_put) = json_pack("{s:s}", "digest", digest);

    return store_read_blob(store, descriptor, "manifest", err);
}

/* The entry whose annotation @note is @value; false if none. */
static bool store_find_noted(const struct store *store, const char *note, const char *value,
                             struct store_entry *entry)
{
    if (!store->index)
        return store_recall(store, value, entry);
    for (size_t i = 0; i < store_count(store); i++) {
        const json_t *descriptor = json_array_get(store_manifests(store), i);
        const char *has = store_note(descriptor, note);
        if (!has || strcmp(has, value) != 0)
            continue;
        if (!store_entry_at(store, i, entry))
            return false;
        store_remember(store, value, entry);
        return true;
    }
    return false;
}

/* Which entry a full name has; false if none. */
static bool store_find_name(const struct store *store, const char *name, struct store_entry *entry)
{
    return store_find_noted(store, STORE_NOTE_NAME, name, entry);
}

bool store_find_cached(const struct store *store, const char *key, struct store_entry *entry)
{
    return store_find_noted(store, STORE_NOTE_CACHE, key, entry);
}

static bool store_is_id(const char *text)
{
    size_t len = strlen(text);

    return len >= ID_DIGITS_MIN && len <= SHA256_HEX && strspn(text, "0123456789abcdef") == len;
}

/* What an instance is started again by: a whole id, noted once, and true as long as the manifest
 * that it led to is there. */
static bool store_recall_id(const struct store *store, const char *id, struct store_entry *entry)
{
    if (strlen(id) != SHA256_HEX || !store_recall_any(store, id, entry))
        return false;
    json_t *manifest CLEANUP(json_put) = store_manifest(store, entry, NULL);
    const char *has = store_digest(json_object_get(manifest, "config"));
    if (has && strcmp(has, id) == 0)
        return true;
    store_entry_free(entry);
    return false;
}

/* The image id is the digest of the config, which only the manifest knows. */
static int store_find_id(const struct store *store, const char *prefix, struct store_entry *entry,
                         struct err *err)
{
    char first[SHA256_HEX + 1] = "";
    struct store_entry candidate CLEANUP(store_entry_free) = {0};

    for (size_t i = 0; store_next(store, &i, &candidate);) {
        json_t *manifest CLEANUP(json_put) = store_manifest(store, &candidate, NULL);
        const char *id = store_digest(json_object_get(manifest, "config"));
        if (!id || !str_starts(id, prefix))
            continue;
        if (first[0] && strcmp(first, id) != 0) {
            store_entry_free(entry);
            return err_set(err, EEXIST, "'%s': several image ids begin so; write more of it",
                           prefix);
        }
        strcpy(first, id);
        if (!entry->digest)
            *entry = TAKE(candidate, (struct store_entry){0});
    }
    if (strlen(prefix) == SHA256_HEX && first[0])
        store_remember(store, prefix, entry);
    return first[0] ? 0 : -ENOENT;
}

int store_find(const struct store *store, const char *target, struct store_entry *entry,
               struct err *err)
{
    char *name CLEANUP(mem_free) = reference_full(target, NULL);
    const char *id = str_starts(target, "sha256:") ? target + 7 : target;
    int status = -ENOENT;

    *entry = (struct store_entry){0};
    if (name && store_find_name(store, name, entry))
        return 0;
    if (store_is_id(id) && !store->index && store_recall_id(store, id, entry))
        return 0;
    if (store_is_id(id))
        status = store_find_id(store, id, entry, err);
    if (status == -ENOENT)
        err_set(err, ENOENT, "no image '%s'; 'ingot images' lists those there are", target);
    return status;
}

static int store_load_layer(const struct store *store, const json_t *layer, struct image *image,
                            struct err *err)
{
    const char *hex = store_digest(layer);
    const char *type = json_str(layer, "mediaType", "");
    json_int_t size = json_int(layer, "size", -1);
    struct stat st;

    if (strcmp(type, STORE_LAYER_TYPE) != 0)
        return err_set(err, EINVAL, "a layer has the media type '%s'; Ingot boots from '%s'", type,
                       STORE_LAYER_TYPE);
    if (!hex)
        return err_set(err, EINVAL, "a layer has no sha256 digest");
    char *path CLEANUP(mem_free) = store_blob_path(store->root, hex);
    if (stat(path, &st) < 0)
        return err_errno(err, errno, "%s", path);
    if (size <= 0 || st.st_size != size)
        return err_set(err, EINVAL, "%s: corrupt layer: %lld bytes, not %lld", path,
                       (long long)st.st_size, (long long)size);
    image->size += (u64)size;
    strs_add(&image->layers, path);
    return 0;
}

static int store_load_layers(const struct store *store, const json_t *manifest, struct image *image,
                             struct err *err)
{
    const json_t *layers = json_object_get(manifest, "layers"), *layer;
    size_t i;

    json_array_foreach(layers, i, layer)
    {
        int failed = store_load_layer(store, layer, image, err);
        if (failed)
            return failed;
    }
    return image->layers.len ? 0 : err_set(err, EINVAL, "it has no layers");
}

const char *store_label(const struct store_entry *entry)
{
    return entry->name ? entry->name : entry->digest;
}

int store_load(const struct store *store, const struct store_entry *entry, struct image *image,
               struct err *err)
{
    json_t *manifest CLEANUP(json_put) = store_manifest(store, entry, err);
    json_t *config CLEANUP(json_put) = manifest ? store_config(store, manifest, err) : NULL;

    if (!config)
        return err_prefix(err, "image '%s'", store_label(entry));
    *image = (struct image){.name = str_dup(store_label(entry))};
    memcpy(image->id, store_digest(json_object_get(manifest, "config")), sizeof(image->id));
    /* Absent in images that others made: then there is nothing to respect. */
    json_strs(json_object_get(config, "ingot"), "links", &image->links);
    int failed = store_load_layers(store, manifest, image, err);
    if (!failed)
        failed = config_parse(config, &image->config, err);
    if (!failed)
        return 0;
    image_free(image);
    return err_prefix(err, "image '%s'", store_label(entry));
}

int store_verify(const struct image *image, struct err *err)
{
    for (size_t i = 0; i < image->layers.len; i++) {
        struct sha256_hex hex;
        u64 size;
        int failed = sha256_file(image->layers.at[i], &hex, &size, err);
        if (failed)
            return failed;
        if (strcmp(strrchr(image->layers.at[i], '/') + 1, hex.text) != 0)
            return err_set(err, EINVAL,
                           "%s: corrupt layer (its content is not what its digest says); build "
                           "the image again",
                           image->layers.at[i]);
    }
    return 0;
}

void image_free(struct image *image)
{
    free(image->name);
    strs_free(&image->layers);
    strs_free(&image->links);
    image_config_free(&image->config);
    *image = (struct image){0};
}
