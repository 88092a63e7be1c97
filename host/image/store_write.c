/* Changing the store: blobs first, then the index, all under one lock; then what is left over
 * goes, blobs a while later.  A crash or a full disk in between leaves the old index with all its
 * blobs. */
#include "image/store_priv.h"

#include "image/config.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

enum {
    SCRATCH_AGE_MAX = 24 * 3600, /* seconds; older ones belong to a builder that was killed */
    BLOB_GRACE = 60,             /* seconds from the list to open(), amply */
};

/* Of a blob that is listed, and of one that was found not to be, when it was last written. */
#define BLOB_MODE   0444
#define BLOB_LEAVES 0400

static int store_hint(const char *root, struct err *err)
{
    char *text CLEANUP(mem_free) = str_dup(err->text);

    if (err->code == EACCES || err->code == EROFS || err->code == EPERM)
        return err_set(err, err->code,
                       "image store %s: cannot be written: %s; set INGOT_HOME to a folder of "
                       "your own",
                       root, text);
    if (err->code == ENOSPC)
        return err_set(err, err->code, "image store %s: %s; free some space, or set INGOT_HOME",
                       root, text);
    return -err->code;
}

static int store_create(const char *root, struct err *err)
{
    static const char *const folders[] = {"blobs/sha256", "cache", "tmp"};
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}\n";

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char *folder CLEANUP(mem_free) = fs_join(root, folders[i]);
        int failed = fs_mkdirs(folder, err);
        if (failed)
            return failed;
    }
    char *path CLEANUP(mem_free) = fs_join(root, "oci-layout");
    return fs_exists(path) ? 0 : fs_write_atomic(path, layout, sizeof(layout) - 1, 0644, err);
}

char *store_scratch(struct err *err)
{
    char *root CLEANUP(mem_free) = store_path();
    char *tmp CLEANUP(mem_free) = fs_join(root, "tmp");

    if (store_create(root, err) < 0) {
        store_hint(root, err);
        return NULL;
    }
    char *scratch = fs_tmpdir(tmp, err);
    if (!scratch)
        store_hint(root, err);
    return scratch;
}

int store_lock(struct store *store, int *lock, struct err *err)
{
    *store = (struct store){.root = store_path()};
    int failed = store_create(store->root, err);
    if (failed)
        return store_hint(store->root, err);
    char *path CLEANUP(mem_free) = fs_join(store->root, "lock");
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*lock < 0) {
        err_errno(err, errno, "%s", path);
        return store_hint(store->root, err);
    }
    while (flock(*lock, LOCK_EX) < 0)
        if (errno != EINTR)
            return err_errno(err, errno, "%s: cannot lock", path);
    return store_reload(store, err);
}

static int store_write_index(const struct store *store, struct err *err)
{
    if (!store->index) /* an empty store has none */
        return 0;
    char *path CLEANUP(mem_free) = fs_join(store->root, "index.json");
    char *text CLEANUP(mem_free) = json_text(store->index, 2);

    int failed = fs_write_atomic(path, text, strlen(text), 0644, err);
    return failed ? store_hint(store->root, err) : 0;
}

/* Collects the digests that an image is made of. */
static void store_collect(const struct store *store, const struct store_entry *entry,
                          struct strs *used)
{
    json_t *manifest CLEANUP(json_put) = store_manifest(store, entry, NULL);
    const json_t *layer;
    size_t i;

    strs_add(used, entry->digest);
    const char *config = store_digest(json_object_get(manifest, "config"));
    if (config)
        strs_add(used, config);
    json_array_foreach(json_object_get(manifest, "layers"), i, layer)
    {
        const char *hex = store_digest(layer);
        if (hex)
            strs_add(used, hex);
    }
}

/* Removes every file of @folder (NULL: temporary ones of the store's own) that @keep does not name,
 * if it is older than @age seconds. */
static void store_sweep(const char *root, const char *folder, const struct strs *keep, time_t age)
{
    char *path CLEANUP(mem_free) = folder ? fs_join(root, folder) : str_dup(root);
    time_t now = time(NULL);
    DIR *dir = opendir(path);
    struct stat st;

    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || strs_has(keep, entry->d_name) ||
            (!folder && !str_ends(entry->d_name, ".tmp")))
            continue;
        char *name CLEANUP(mem_free) = fs_join(path, entry->d_name);
        if (lstat(name, &st) == 0 && now - st.st_mtime >= age)
            fs_remove_tree(name); /* what stays is removed another time */
    }
    if (dir)
        closedir(dir);
}

/* A command that has found a blob in the list may be about to open it, so one that is found to be
 * left over stays for @grace seconds more. */
static void store_sweep_blob(const char *path, time_t grace)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return;
    if (grace && (st.st_mode & 0777) != BLOB_LEAVES) {
        if (utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0)
            (void)chmod(path, BLOB_LEAVES);
    } else if (!grace || time(NULL) - st.st_mtime >= grace) {
        fs_remove_tree(path); /* what stays is removed another time */
    }
}

static void store_sweep_blobs(const struct store *store, const struct strs *keep, time_t grace)
{
    char *folder CLEANUP(mem_free) = fs_join(store->root, "blobs/sha256");
    DIR *dir = opendir(folder);

    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || strs_has(keep, entry->d_name))
            continue;
        char *path CLEANUP(mem_free) = fs_join(folder, entry->d_name);
        store_sweep_blob(path, grace);
    }
    if (dir)
        closedir(dir);
}

/* Under the lock, after the index was written. */
static void store_collect_garbage(const struct store *store, time_t grace)
{
    struct strs blobs CLEANUP(strs_free) = {0}, keys CLEANUP(strs_free) = {0};
    struct strs notes CLEANUP(strs_free) = {0};
    const struct strs none = {0};

    for (size_t i = 0; i < store_count(store); i++) {
        struct store_entry entry CLEANUP(store_entry_free) = {0};
        if (!store_entry_at(store, i, &entry))
            return; /* what a damaged entry needs is unknown, so nothing goes */
        store_collect(store, &entry, &blobs);
        if (entry.cache)
            strs_add(&keys, entry.cache);
    }
    store_sweep_blobs(store, &blobs, grace);
    store_sweep(store->root, "cache", &keys, SCRATCH_AGE_MAX);
    store_sweep(store->root, "tmp", &none, SCRATCH_AGE_MAX);
    store_sweep(store->root, NULL, &none, SCRATCH_AGE_MAX);
    /* Notes are of an index that is no more, but for those of ids whose images are there. */
    for (size_t i = 0; i < blobs.len; i++)
        strs_take(&notes, store_note_name(blobs.at[i]));
    store_sweep(store->root, "refs", &notes, 0);
}

static json_t *store_descriptor(const char *type, const char *hex, u64 size)
{
    char *digest CLEANUP(mem_free) = str_printf("sha256:%s", hex);

    return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size",
                     (json_int_t)size);
}

/* Stores @json as a blob; its descriptor goes to *@out, a new reference. */
static int store_put_json(const struct store *store, const json_t *json, const char *type,
                          json_t **out, struct err *err)
{
    char *text CLEANUP(mem_free) = json_text(json, 0);
    struct sha256_hex hex = sha256_bytes(text, strlen(text));
    char *path CLEANUP(mem_free) = store_blob_path(store->root, hex.text);

    int failed = fs_write_atomic(path, text, strlen(text), BLOB_MODE, err);
    if (failed)
        return store_hint(store->root, err);
    *out = store_descriptor(type, hex.text, strlen(text));
    return 0;
}

/* Moves a file into the store and appends its descriptor and its diff id. */
static int store_put_layer(const struct store *store, const char *file, json_t *layers,
                           json_t *diff_ids, struct err *err)
{
    struct sha256_hex hex;
    u64 size;

    int failed = sha256_file(file, &hex, &size, err);
    if (failed)
        return failed;
    char *path CLEANUP(mem_free) = store_blob_path(store->root, hex.text);
    char *digest CLEANUP(mem_free) = str_printf("sha256:%s", hex.text);
    fs_rewrite(file);
    if (chmod(file, BLOB_MODE) < 0)
        return err_errno(err, errno, "%s", file);
    failed = fs_sync(file, err);
    if (!failed && rename(file, path) < 0)
        failed = err_errno(err, errno, "%s", path);
    if (failed)
        return store_hint(store->root, err);
    json_array_append_new(layers, store_descriptor(STORE_LAYER_TYPE, hex.text, size));
    json_array_append_new(diff_ids, json_string(digest));
    return 0;
}

static int store_put_layers(const struct store *store, const struct store_image *new,
                            json_t *layers, json_t *diff_ids, struct err *err)
{
    for (size_t i = 0; new->base &&i < new->base->len; i++) {
        const char *hex = strrchr(new->base->at[i], '/') + 1;
        char *digest CLEANUP(mem_free) = str_printf("sha256:%s", hex);
        struct stat st;
        if (stat(new->base->at[i], &st) < 0)
            return err_errno(err, errno, "%s", new->base->at[i]);
        (void)chmod(new->base->at[i], BLOB_MODE); /* it may have been about to leave */
        json_array_append_new(layers, store_descriptor(STORE_LAYER_TYPE, hex, (u64)st.st_size));
        json_array_append_new(diff_ids, json_string(digest));
    }
    return new->layer ? store_put_layer(store, new->layer, layers, diff_ids, err) : 0;
}

/* Stores layers, config and manifest; the manifest's descriptor goes to *@out. */
static int store_put_blobs(const struct store *store, const struct store_image *new, json_t **out,
                           char id[65], struct err *err)
{
    json_t *layers CLEANUP(json_put) = json_array();
    json_t *diff_ids CLEANUP(json_put) = json_array();
    json_t *config_at CLEANUP(json_put) = NULL;

    int failed = store_put_layers(store, new, layers, diff_ids, err);
    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) =
        json_pack("{s:s, s:s, s:o, s:{s:s, s:O}}", "architecture", "amd64", "os", "linux", "config",
                  config_json(new->config), "rootfs", "type", "layers", "diff_ids", diff_ids);
    if (new->links &&new->links->len) /* a member of our own, which the specification allows */
        json_object_set_new(config, "ingot",
                            json_pack("{s:o}", "links", json_from_strs(new->links)));
    failed = store_put_json(store, config, STORE_CONFIG_TYPE, &config_at, err);
    if (failed)
        return failed;
    memcpy(id, store_digest(config_at), 65);
    json_t *manifest CLEANUP(json_put) =
        json_pack("{s:i, s:s, s:O, s:O}", "schemaVersion", 2, "mediaType", STORE_MANIFEST_TYPE,
                  "config", config_at, "layers", layers);
    return store_put_json(store, manifest, STORE_MANIFEST_TYPE, out, err);
}

/* The index without entries whose annotation @key is @value. */
static void store_drop(struct store *store, const char *key, const char *value)
{
    json_t *manifests = store_manifests(store);

    for (size_t i = json_array_size(manifests); value && i-- > 0;) {
        const char *has = store_note(json_array_get(manifests, i), key);
        if (has && strcmp(has, value) == 0)
            json_array_remove(manifests, i);
    }
}

static char *store_now(void)
{
    time_t now = time(NULL);
    struct tm tm;
    char text[32];

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    return str_dup(text);
}

/* Takes @descriptor; lists it under @name and @cache, of which other entries lose theirs. */
static void store_list(struct store *store, json_t *descriptor, const char *name, const char *cache)
{
    char *now CLEANUP(mem_free) = store_now();
    json_t *notes = json_pack("{s:s}", STORE_NOTE_CREATED, now);

    if (!store->index)
        store->index = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType",
                                 "application/vnd.oci.image.index.v1+json", "manifests");
    store_drop(store, STORE_NOTE_NAME, name);
    store_drop(store, STORE_NOTE_CACHE, cache);
    if (name)
        json_object_set_new(notes, STORE_NOTE_NAME, json_string(name));
    if (cache)
        json_object_set_new(notes, STORE_NOTE_CACHE, json_string(cache));
    json_object_set_new(descriptor, "annotations", notes);
    json_object_set_new(descriptor, "platform",
                        json_pack("{s:s, s:s}", "architecture", "amd64", "os", "linux"));
    json_array_append_new(store_manifests(store), descriptor);
}

int store_put(const struct store_image *new, char id[65], struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    int lock CLEANUP(fd_close) = -1;
    json_t *descriptor = NULL;

    int failed = store_lock(&store, &lock, err);
    if (failed)
        return failed;
    failed = store_put_blobs(&store, new, &descriptor, id, err);
    if (!failed) {
        store_list(&store, descriptor, new->name, new->cache);
        failed = store_write_index(&store, err);
    }
    if (failed)
        store_reload(&store, NULL); /* the blobs of an image that did not come are left over */
    store_collect_garbage(&store, BLOB_GRACE);
    return failed;
}

int store_settle(struct store *store, bool now, struct err *err)
{
    int failed = store_write_index(store, err);

    if (!failed)
        store_collect_garbage(store, now ? 0 : BLOB_GRACE);
    return failed;
}

int store_add(struct store *store, const char *digest, const char *name, struct err *err)
{
    char *path CLEANUP(mem_free) = store_blob_path(store->root, digest);
    struct stat st;

    if (stat(path, &st) < 0)
        return err_errno(err, errno, "%s", path);
    store_list(store, store_descriptor(STORE_MANIFEST_TYPE, digest, (u64)st.st_size), name, NULL);
    return store_settle(store, false, err);
}

void store_sweep_left_over(struct store *store)
{
    if (!store_reload(store, NULL))
        store_collect_garbage(store, BLOB_GRACE);
}

int store_tag(const char *target, const char *name, struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    int lock CLEANUP(fd_close) = -1;

    int failed = store_lock(&store, &lock, err);
    if (!failed)
        failed = store_find(&store, target, &entry, err);
    return failed ? failed : store_add(&store, entry.digest, name, err);
}

/* Takes entries of the image with manifest @digest off the index: the one called @name, or all. */
static void store_unlist(struct store *store, const char *digest, const char *name,
                         struct strs *untagged)
{
    json_t *manifests = store_manifests(store);

    for (size_t i = json_array_size(manifests); i-- > 0;) {
        const json_t *descriptor = json_array_get(manifests, i);
        const char *hex = store_digest(descriptor);
        const char *has = store_note(descriptor, STORE_NOTE_NAME);
        if (!hex || strcmp(hex, digest) != 0 || (name && (!has || strcmp(has, name) != 0)))
            continue;
        if (has)
            strs_add(untagged, has);
        json_array_remove(manifests, i);
    }
}

bool store_lists(const struct store *store, const char *digest)
{
    for (size_t i = 0; i < store_count(store); i++) {
        const char *hex = store_digest(json_array_get(store_manifests(store), i));
        if (hex && strcmp(hex, digest) == 0)
            return true;
    }
    return false;
}

/* The id to report for an entry: the config's digest, or the manifest's if that is damaged. */
static char *store_id(const struct store *store, const struct store_entry *entry)
{
    json_t *manifest CLEANUP(json_put) = store_manifest(store, entry, NULL);
    const char *id = store_digest(json_object_get(manifest, "config"));

    return str_dup(id ? id : entry->digest);
}

static int store_remove_one(struct store *store, const char *target, struct strs *untagged,
                            struct strs *deleted, struct err *err)
{
    struct store_entry entry CLEANUP(store_entry_free) = {0};

    int failed = store_find(store, target, &entry, err);
    if (failed)
        return failed;
    char *id CLEANUP(mem_free) = store_id(store, &entry);
    const char *prefix = str_starts(target, "sha256:") ? target + 7 : target;
    bool by_id = str_starts(id, prefix);
    store_unlist(store, entry.digest, by_id ? NULL : entry.name, untagged);
    if (!store_lists(store, entry.digest))
        strs_add(deleted, id);
    return 0;
}

int store_remove(const struct strs *targets, bool missing_ok, struct strs *untagged,
                 struct strs *deleted, struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    int lock CLEANUP(fd_close) = -1;
    int first = 0;

    int failed = store_lock(&store, &lock, err);
    if (failed)
        return failed;
    for (size_t i = 0; i < targets->len; i++) {
        struct err why = {0};
        failed = store_remove_one(&store, targets->at[i], untagged, deleted, &why);
        if (!failed || first || (failed == -ENOENT && missing_ok))
            continue;
        *err = why;
        first = failed;
    }
    struct err settle = {0};
    failed = store_settle(&store, true, &settle);
    if (failed && !first)
        *err = settle;
    return first ? first : failed;
}
