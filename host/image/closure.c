/* Breadth first, as the linker maps: every object's needs are looked up by its own search path. */
#include "image/closure.h"

#include "image/lib_search.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <string.h>

enum {
    CLOSURE_OBJECTS_MAX = 8192,
};

void closure_init(struct closure *closure, struct tree *tree)
{
    struct err ignored = {0};

    closure->tree = tree;
    if (elf_map("/etc/ld.so.cache", &closure->cache_map, &ignored) == 0 &&
        ld_cache_open(closure->cache_map.data, closure->cache_map.len, &closure->cache))
        tree_depend(tree, "/etc/ld.so.cache");
    if (!closure->cache.count)
        search_read_conf("/etc/ld.so.conf", &closure->conf_dirs);
    search_read_musl(&closure->musl_dirs);
}

static void object_free(struct closure_object *object)
{
    free(object->name);
    free(object->path);
    elf_file_free(&object->elf);
    elf_unmap(&object->map);
    free(object);
}

void closure_free(struct closure *closure)
{
    for (size_t i = 0; i < closure->len; i++)
        object_free(closure->objects[i]);
    free(closure->objects);
    elf_unmap(&closure->cache_map);
    strs_free(&closure->conf_dirs);
    strs_free(&closure->musl_dirs);
    strs_free(&closure->cached);
    *closure = (struct closure){0};
}

static enum closure_libc libc_of_interp(const char *interp)
{
    const char *name = strrchr(interp, '/') + 1;

    return str_starts(name, "ld-musl-") ? CLOSURE_MUSL : CLOSURE_GLIBC;
}

/* A new object, parsed, not yet in the closure; NULL with @err set. */
static struct closure_object *object_open(const char *name, const char *path, struct err *err)
{
    struct closure_object *object = mem_new(sizeof(*object));

    object->name = str_dup(name);
    object->path = str_dup(path);
    if (elf_map(path, &object->map, err) == 0) {
        if (elf_parse(object->map.data, object->map.len, &object->elf, err) == 0)
            return object;
        err_prefix(err, "%s", path);
    }
    object_free(object);
    return NULL;
}

static int closure_append(struct closure *closure, struct closure_object *object, struct err *err)
{
    if (closure->len == CLOSURE_OBJECTS_MAX)
        return err_set(err, E2BIG, "%s: more than %d libraries", object->path, CLOSURE_OBJECTS_MAX);
    closure->objects =
        mem_resize(closure->objects, closure->len + 1, sizeof(struct closure_object *));
    closure->objects[closure->len++] = object;
    return 0;
}

/* The linker compares names, not files: asked-for name or DT_SONAME. */
static struct closure_object *closure_loaded(const struct closure *closure, const char *name,
                                             enum closure_libc libc)
{
    for (size_t i = 0; i < closure->len; i++) {
        struct closure_object *object = closure->objects[i];
        if (object->libc == libc && (strcmp(object->name, name) == 0 ||
                                     (object->elf.soname && strcmp(object->elf.soname, name) == 0)))
            return object;
    }
    return NULL;
}

/* A library also brings its builds for better CPUs: which one is used, the guest's CPU decides. */
static void closure_add_hwcaps(struct closure *closure, const char *path)
{
    static const char *const levels[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    const char *slash = strrchr(path, '/');

    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        char *better CLEANUP(mem_free) =
            str_printf("%.*s/glibc-hwcaps/%s%s", (int)(slash - path), path, levels[i], slash);
        if (fs_exists(better))
            tree_add_host(closure->tree, better, NULL); /* the plain build serves as well */
    }
}

/* Finds @name for @object and appends it.  -ENOENT without a text when it is nowhere. */
static int closure_load(struct closure *closure, const struct closure_object *object,
                        const char *name, struct err *err)
{
    bool by_name_alone = false;

    if (closure_loaded(closure, name, object->libc) ||
        (object->libc == CLOSURE_MUSL && search_musl_itself(name)))
        return 0;
    char *path CLEANUP(mem_free) = search_library(closure, object, name, &by_name_alone);
    if (!path)
        return -ENOENT;
    struct closure_object *library = object_open(name, path, err);
    if (!library)
        return err ? -err->code : -EINVAL;
    library->loader = object;
    library->libc = object->libc;
    int failed = closure_append(closure, library, err);
    if (failed) {
        object_free(library);
        return failed;
    }
    if (by_name_alone && library->libc == CLOSURE_GLIBC)
        strs_add(&closure->cached, path);
    closure_add_hwcaps(closure, path);
    return tree_add_host(closure->tree, path, err);
}

static int closure_missing(const struct closure *closure, const struct closure_object *object,
                           const char *name, struct err *err)
{
    struct buf places CLEANUP(buf_free) = {0};

    search_describe(closure, object, &places);
    return err_set(err, ENOENT,
                   "%s: library not found; needed by %s; looked in %s; install the package that "
                   "has it",
                   name, object->path, buf_text(&places));
}

/* Loads what the objects from number @from on need, and what those need. */
static int closure_complete(struct closure *closure, size_t from, bool lenient, struct err *err)
{
    for (size_t i = from; i < closure->len; i++) {
        const struct closure_object *object = closure->objects[i];
        for (size_t n = 0; n < object->elf.nr_needed; n++) {
            const char *name = object->elf.needed[n];
            int failed = closure_load(closure, object, name, lenient ? NULL : err);
            if (failed == -ENOENT && !lenient && !err->text[0])
                return closure_missing(closure, object, name, err);
            if (failed && !lenient)
                return failed;
        }
    }
    return 0;
}

static int closure_add_interp(struct closure *closure, const struct closure_object *program,
                              struct err *err)
{
    const char *interp = program->elf.interp;

    if (!fs_exists(interp))
        return err_set(err, ENOENT,
                       "%s: interpreter not found; needed by %s; install the C library it was "
                       "built for",
                       interp, program->path);
    struct closure_object *object = object_open(interp, interp, err);
    if (!object)
        return err_prefix(err, "interpreter of %s", program->path);
    object->loader = program;
    object->libc = program->libc;
    int failed = closure_append(closure, object, err);
    if (failed) {
        object_free(object);
        return failed;
    }
    return tree_add_host(closure->tree, interp, err);
}

int closure_add_program(struct closure *closure, const char *path, bool in_tree, struct err *err)
{
    size_t from = closure->len;
    struct closure_object *program = object_open(path, path, err);

    if (!program)
        return -err->code;
    if (program->elf.interp)
        program->libc = libc_of_interp(program->elf.interp);
    int failed = closure_append(closure, program, err);
    if (failed) {
        object_free(program);
        return failed;
    }
    failed = in_tree ? 0 : tree_add_host(closure->tree, path, err);
    if (!failed && program->elf.interp)
        failed = closure_add_interp(closure, program, err);
    return failed ? failed : closure_complete(closure, from, false, err);
}

int closure_add_plugin(struct closure *closure, const char *path, struct err *err)
{
    struct err ignored = {0};
    size_t from = closure->len;
    struct closure_object *plugin = object_open(path, path, &ignored);

    if (!plugin)
        return 0;
    plugin->loader = closure->len ? closure->objects[0] : NULL;
    plugin->libc = plugin->loader ? plugin->loader->libc : CLOSURE_GLIBC;
    int failed = closure_append(closure, plugin, err);
    if (failed) {
        object_free(plugin);
        return failed;
    }
    return closure_complete(closure, from, true, err);
}

bool closure_add_library(struct closure *closure, const char *name)
{
    size_t from = closure->len;

    if (!closure->len || closure->objects[0]->libc == CLOSURE_NONE)
        return false;
    if (closure_load(closure, closure->objects[0], name, NULL) < 0)
        return false;
    return closure_complete(closure, from, true, NULL) == 0;
}

int closure_finish(struct closure *closure, struct err *err)
{
    struct buf cache CLEANUP(buf_free) = {0};

    if (!closure->cached.len)
        return 0;
    ld_cache_write(&closure->cached, &cache);
    return tree_add_data(closure->tree, "/etc/ld.so.cache", cache.data, cache.len, 0644, err);
}

bool closure_names(const struct closure *closure, const char *symbol)
{
    for (size_t i = 0; i < closure->len; i++) {
        const struct closure_object *object = closure->objects[i];
        const char *soname = object->elf.soname ? object->elf.soname : "";
        if (str_starts(soname, "libc.so") || str_starts(soname, "ld-linux"))
            continue;
        if (elf_names(&object->elf, symbol))
            return true;
    }
    return false;
}
