/* From a target to a bootable image. */
#include "image/image.h"

#include "abi/patch.h"
#include "image/builder.h"
#include "image/cache.h"
#include "image/closure.h"
#include "image/container.h"
#include "image/erofs.h"
#include "image/erofs_read.h"
#include "image/extras.h"
#include "image/reference.h"
#include "image/source.h"
#include "image/store.h"
#include "image/target.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void key_add_list(struct strs *words, const char *what, const struct strs *list)
{
    strs_add(words, what);
    if (list)
        strs_add_all(words, list);
}

static void key_add_env(struct strs *words, const char *name)
{
    const char *value = getenv(name);

    strs_take(words, str_printf("%s=%s", name, value ? value : ""));
}

enum {
    IMAGE_MADE = 6, /* to be raised when builds make something else of the same files */
};

/* Everything that decides what a build makes, beside the content of the files it looks at. */
static int target_key(const struct target *target, const struct image_opts *opts, char key[65],
                      struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};
    char *cwd CLEANUP(mem_free) = fs_real(".", err);
    size_t table_len;

    if (!cwd)
        return -err->code;
    const char *table = extras_table(&table_len);
    struct sha256_hex table_hex = sha256_bytes(table, table_len);
    strs_take(&words, path_clean(cwd, target->path));
    strs_add(&words, target->which ? target->which : "");
    strs_take(&words, str_printf("made %d", IMAGE_MADE));
    strs_add(&words, table_hex.text);
    strs_add(&words, opts && opts->program ? opts->program : "");
    key_add_list(&words, "files", opts ? opts->files : NULL);
    if (opts && opts->files && opts->files->len)
        strs_add(&words, cwd);
    key_add_list(&words, "with", opts ? opts->with : NULL);
    key_add_list(&words, "exec", opts ? opts->exec : NULL);
    key_add_list(&words, "imports", opts ? opts->imports : NULL);
    strs_take(&words, str_printf("patch %d", opts && opts->no_patch ? 0 : PATCH_VERSION));
    key_add_env(&words, "PATH");
    if (target->kind != TARGET_PROGRAM) {
        key_add_env(&words, "CC");
        key_add_env(&words, "CXX");
        key_add_env(&words, "CFLAGS");
        key_add_env(&words, "CXXFLAGS");
        key_add_env(&words, "LDFLAGS");
        key_add_env(&words, "LDLIBS");
    }
    cache_key(&words, key);
    return 0;
}

int target_build(const struct target *target, const struct image_opts *opts, const char *name,
                 const struct target_changes *changes, const char *key, char id[65],
                 struct err *err)
{
    struct builder b CLEANUP(builder_fini) = {0};

    int failed = builder_init(&b, opts, err);
    if (!failed && target->kind == TARGET_PROGRAM)
        failed = builder_add_program(&b, target->path, &b.config.entrypoint, err);
    else if (!failed)
        failed = source_add(&b, target, err);
    if (!failed && changes)
        failed = changes->apply(&b.config, changes->values, err);
    return failed ? failed : builder_finish(&b, name, key, id, err);
}

static int image_from_path(const char *text, const struct target *target, struct store *store,
                           const struct image_opts *opts, struct image *image, struct err *err)
{
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    struct store fresh CLEANUP(store_close) = {0};
    char key[65], id[65];

    int failed = target_key(target, opts, key, err);
    if (failed)
        return failed;
    bool may_reuse = !(opts && opts->rebuild);
    if (may_reuse && cache_load(store, key, image))
        goto named;
    failed = store_read(store, err);
    if (failed)
        return failed;
    if (may_reuse && cache_load(store, key, image))
        goto named;
    failed = target_build(target, opts, NULL, NULL, key, id, err);
    if (!failed)
        failed = store_open(&fresh, err);
    if (!failed && !store_find_cached(&fresh, key, &entry))
        failed = err_set(err, ENOENT, "the image vanished from the store while it was built");
    if (!failed)
        failed = store_load(&fresh, &entry, image, err);
    if (failed)
        return failed;
    image->fresh = true;
named:
    free(image->name);
    image->name = str_dup(text);
    return 0;
}

/* Nothing of this name: say what might have been meant. */
static int image_unknown(const char *text, const struct store *store, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};

    if (container_prefixed(text))
        return err_set(err, ENOENT, "%s: no such file or folder, and no image of that name", text);
    if (strchr(text, '/'))
        return err_set(err, ENOENT, "%s: no such file, and no image of that name", text);
    for (size_t i = 0; store_next(store, &i, &entry);)
        if (entry.name)
            strs_add(&names, entry.name);
    const char *nearest = str_nearest(text, (const char *const *)names.at, names.len);
    if (nearest)
        return err_set(err, ENOENT, "no image '%s'; did you mean '%s'?", text, nearest);
    return err_set(err, ENOENT,
                   "no image, no program in PATH and no file '%s'; 'ingot images' lists the images",
                   text);
}

/* Does @word say itself that it is a container image of this machine?  Else it is one called
 * "oci:1", perhaps. */
static bool image_is_container(const char *word)
{
    char *path CLEANUP(mem_free) = NULL, *which CLEANUP(mem_free) = NULL;

    return container_word(word, &path, &which) && fs_exists(path);
}

/* Is @word a path by itself, whatever the store has? */
static bool image_is_path(const char *word)
{
    return word[0] == '/' || word[0] == '.' || image_is_container(word);
}

/* What image_in_path() found in the store, for the image_resolve() of that word which follows. */
static struct {
    char *word;
    struct store_entry entry;
} found;

static void drop_found(void)
{
    free(TAKE(found.word, NULL));
    store_entry_free(&found.entry);
}

static void keep_found(const char *word, struct store_entry *entry)
{
    drop_found();
    found.word = str_dup(word);
    found.entry = TAKE(*entry, (struct store_entry){0});
}

static bool take_found(const char *word, struct store_entry *entry)
{
    bool same = found.word && strcmp(found.word, word) == 0;

    if (same)
        *entry = TAKE(found.entry, (struct store_entry){0});
    drop_found(); /* whatever comes later looks for itself */
    return same;
}

char *image_in_path(const char *word)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    struct err none = {0};

    if (strchr(word, '/'))
        return NULL;
    store_open_unread(&store);
    if (store_find(&store, word, &entry, &none) == 0) { /* quicker than looking through PATH */
        keep_found(word, &entry);
        return NULL;
    }
    char *program CLEANUP(mem_free) = target_in_path(word);
    if (!program || store_read(&store, &none))
        return NULL;
    return store_find(&store, word, &entry, &none) == -ENOENT ? TAKE(program, NULL) : NULL;
}

int image_resolve(const char *text, const struct image_opts *opts, struct image *image,
                  struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    struct target target CLEANUP(target_free) = {0};
    struct err no_image = {0};

    *image = (struct image){0};
    store_open_unread(&store);
    if (!image_is_path(text)) {
        int failed = take_found(text, &entry) ? 0 : store_find(&store, text, &entry, &no_image);
        if (failed)
            failed = store_read(&store, err);
        if (failed)
            return failed;
        if (!entry.digest)
            failed = store_find(&store, text, &entry, &no_image);
        if (!failed)
            return store_load_known(&store, &entry, image, err);
        if (failed != -ENOENT)
            return err_set(err, no_image.code, "%s", no_image.text);
    }
    char *named CLEANUP(mem_free) = image_is_container(text) ? str_dup(text) : target_named(text);
    if (!named) {
        int failed = store_read(&store, err);
        return failed ? failed : image_unknown(text, &store, err);
    }
    int failed = target_classify(named, &target, err);
    return failed ? failed : image_from_path(text, &target, &store, opts, image, err);
}

/* Do these files take so long to pack that the layer is worth its place in the store? */
static bool files_are_many(const struct strs *files)
{
    enum { MANY = MIB(32), EACH = KIB(64) };
    u64 cost = 0;
    struct stat st;

    for (size_t i = 0; i < files->len && cost < MANY; i++)
        if (lstat(files->at[i], &st) == 0 && !S_ISDIR(st.st_mode))
            cost += EACH + (u64)st.st_size;
    return cost >= MANY;
}

static int layer_open(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? err_errno(err, errno, "%s", path) : fd;
}

/* The layer that was kept under @key, if its files are as they were; or negative. */
static int layer_recall(const struct store *store, const char *key)
{
    struct image kept CLEANUP(image_free) = {0};

    return cache_load(store, key, &kept) ? layer_open(kept.layers.at[kept.layers.len - 1], NULL)
                                         : -1;
}

static int layer_keep(const struct tree *tree, const struct image *image, const char *key,
                      const char *layer, const struct timespec *began, struct err *err)
{
    struct strs links CLEANUP(strs_free) = {0};
    char id[65];

    strs_add_all(&links, &image->links);
    tree_links(tree, &links);
    cache_store(key, &tree->deps, began);
    return store_put(&(struct store_image){.cache = key,
                                           .base = &image->layers,
                                           .layer = layer,
                                           .links = &links,
                                           .config = &image->config},
                     id, err);
}

static bool image_has(const struct image *image, const char *path)
{
    for (size_t i = 0; i < image->layers.len; i++)
        if (erofs_layer_has(image->layers.at[i], path))
            return true;
    return false;
}

/* What native modules among the files link to, as an image that was built with them has it. */
static int layer_add_libraries(struct tree *tree, const struct image *image, struct err *err)
{
    struct strs below CLEANUP(strs_free) = {0}, none = {0};
    struct closure closure CLEANUP(closure_free) = {0};
    size_t files = tree->len;

    closure_init(&closure, tree);
    int failed = extras_complete(&closure, err);
    for (size_t i = files; i < tree->len && !failed; i++)
        if (tree->nodes[i]->kind != TREE_DIR && image_has(image, tree->nodes[i]->path))
            strs_add(&below, tree->nodes[i]->path);
    tree_drop(tree, &below, &none);
    return failed;
}

static int layer_key(const struct strs *pairs, const struct image *image,
                     const struct layer_opts *opts, char key[65], struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};
    char *cwd CLEANUP(mem_free) = fs_real(".", err);

    if (!cwd)
        return -err->code;
    strs_add(&words, image->id);
    strs_add(&words, cwd);
    strs_add(&words, opts->libraries ? "libraries" : "");
    key_add_list(&words, "files", pairs);
    cache_key(&words, key);
    return 0;
}

static int layer_fill(struct tree *tree, const struct strs *pairs, const struct image *image,
                      const struct layer_opts *opts, struct err *err)
{
    strs_add_all(&tree->below, &image->links);
    int failed = tree_add_dir(tree, "/", 0755, err);
    if (!failed)
        failed = builder_add_pairs(tree, pairs, err);
    if (!failed && opts->libraries)
        failed = layer_add_libraries(tree, image, err);
    return failed;
}

int layer_from_files(const struct strs *pairs, const struct image *image,
                     const struct layer_opts *opts, bool *kept, struct err *err)
{
    struct tree tree CLEANUP(tree_free) = {0};
    struct store store CLEANUP(store_close) = {0};
    struct timespec began;
    char key[65];

    *kept = false;
    clock_gettime(CLOCK_REALTIME, &began);
    int failed = layer_key(pairs, image, opts, key, err);
    if (failed)
        return failed;
    store_open_unread(&store);
    int fd = opts->rebuild ? -1 : layer_recall(&store, key);
    if (fd >= 0)
        return fd;
    failed = layer_fill(&tree, pairs, image, opts, err);
    if (failed)
        return failed;
    bool keep = files_are_many(&tree.deps);
    if (keep && !opts->rebuild && store_read(&store, err) == 0 &&
        (fd = layer_recall(&store, key)) >= 0)
        return fd;
    char *scratch CLEANUP(fs_tmpdir_remove) = keep ? store_scratch(err) : fs_tmpdir(NULL, err);
    if (!scratch)
        return -err->code;
    char *layer CLEANUP(mem_free) = fs_join(scratch, "layer.erofs");
    failed = erofs_write(&tree, EROFS_COMPRESSION_NONE, scratch, layer, err);
    fd = failed ? failed : layer_open(layer, err);
    if (fd < 0 || !keep)
        return fd;
    failed = layer_keep(&tree, image, key, layer, &began, err);
    if (failed) {
        fd_close(&fd);
        return failed;
    }
    *kept = true;
    return fd;
}
