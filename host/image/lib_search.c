#include "image/lib_search.h"

#include "image/closure.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

enum {
    CONF_DEPTH_MAX = 8, /* ld.so.conf files that include each other */
};

/* What glibc falls back to; Debian's builds know the multiarch folders, others lib64. */
static const char *const search_defaults[] = {
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
};

static void conf_read(const char *path, struct strs *dirs, int depth);

static void conf_include(const char *base, const char *pattern, struct strs *dirs, int depth)
{
    glob_t found;
    const char *slash = strrchr(base, '/');
    char *dir CLEANUP(mem_free) = str_printf("%.*s", (int)(slash ? slash - base : 0), base);
    char *full CLEANUP(mem_free) = path_clean(dir, pattern);

    if (depth == CONF_DEPTH_MAX || glob(full, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        conf_read(found.gl_pathv[i], dirs, depth + 1);
    globfree(&found);
}

static void conf_line(const char *path, char *line, struct strs *dirs, int depth)
{
    line[strcspn(line, "#")] = 0;
    char *rest = line, *word = strsep(&rest, " \t,");

    while (word && !*word)
        word = strsep(&rest, " \t,");
    bool include = word && strcmp(word, "include") == 0;
    for (word = include ? strsep(&rest, " \t,") : word; word; word = strsep(&rest, " \t,:")) {
        if (*word && include)
            conf_include(path, word, dirs, depth);
        else if (*word == '/')
            strs_add(dirs, word);
    }
}

static void conf_read(const char *path, struct strs *dirs, int depth)
{
    struct buf text CLEANUP(buf_free) = {0};
    struct err ignored;

    if (fs_read(path, MIB(1), &text, &ignored) < 0)
        return;
    char *rest = text.data, *line;
    while ((line = strsep(&rest, "\n")))
        conf_line(path, line, dirs, depth);
}

void search_read_conf(const char *path, struct strs *dirs)
{
    conf_read(path, dirs, 0);
}

void search_read_musl(struct strs *dirs)
{
    struct buf text CLEANUP(buf_free) = {0};
    struct err ignored;
    char *word;

    if (fs_read("/etc/ld-musl-x86_64.path", MIB(1), &text, &ignored) < 0)
        buf_puts(&text, "/lib:/usr/local/lib:/usr/lib");
    char *rest = text.data;
    while ((word = strsep(&rest, ":\n")))
        if (*word)
            strs_add(dirs, word);
}

bool search_musl_itself(const char *name)
{
    static const char *const itself[] = {"c", "pthread", "rt", "m", "dl", "util", "xnet"};

    if (str_starts(name, "ld-musl-"))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(itself); i++) {
        size_t len = strlen(itself[i]);
        if (str_starts(name, "lib") && strncmp(name + 3, itself[i], len) == 0 &&
            name[3 + len] == '.')
            return true;
    }
    return false;
}

/* One folder of a search path: "$ORIGIN/../lib", "${LIB}". */
static char *search_expand_one(const char *item, const char *origin, const char *lib)
{
    const struct {
        const char *name, *value;
    } tokens[] = {{"ORIGIN", origin}, {"LIB", lib}, {"PLATFORM", "x86_64"}};
    struct buf out = {0};

    while (*item) {
        const char *name = item + 1 + (item[1] == '{');
        const char *value = NULL;
        size_t len = 0;
        for (size_t i = 0; item[0] == '$' && !value && i < ARRAY_LEN(tokens); i++) {
            len = strlen(tokens[i].name);
            if (strncmp(name, tokens[i].name, len) == 0 && (item[1] != '{' || name[len] == '}'))
                value = tokens[i].value;
        }
        if (value) {
            buf_puts(&out, value);
            item = name + len + (item[1] == '{');
        } else {
            buf_add(&out, item++, 1);
        }
    }
    return buf_take(&out);
}

void search_expand(const char *list, const char *origin, const char *lib, struct strs *dirs)
{
    char *copy CLEANUP(mem_free) = str_dup(list), *rest = copy, *item;

    while ((item = strsep(&rest, ":"))) {
        char *dir CLEANUP(mem_free) = search_expand_one(item, origin, lib);
        /* Relative to wherever the program will be started: no place to count on. */
        if (dir[0] == '/')
            strs_take(dirs, path_clean("/", dir));
    }
}

static void search_expand_for(const struct closure_object *object, const char *list,
                              struct strs *dirs)
{
    char *real CLEANUP(mem_free) = fs_real(object->path, NULL);
    char *path CLEANUP(mem_free) = str_dup(real ? real : object->path);
    char *slash = strrchr(path, '/');
    const char *lib = fs_is_dir("/lib/x86_64-linux-gnu") ? "lib/x86_64-linux-gnu" : "lib64";

    if (slash)
        slash[slash == path] = 0;
    search_expand(list, path, lib, dirs);
}

/* The object's own search path, in order.  glibc: DT_RPATH of the object and of those that loaded
 * it, unless the object has DT_RUNPATH, which is its own alone.  musl: both mean the same, and
 * hold for what is loaded on behalf of the object, too. */
static void search_own_dirs(const struct closure_object *object, struct strs *dirs)
{
    bool musl = object->libc == CLOSURE_MUSL;

    if (!musl && object->elf.runpath) {
        search_expand_for(object, object->elf.runpath, dirs);
        return;
    }
    for (const struct closure_object *o = object; o; o = o->loader) {
        const char *list = o->elf.rpath;
        if (o->elf.runpath)
            list = musl ? o->elf.runpath : NULL;
        if (list)
            search_expand_for(o, list, dirs);
    }
}

static void search_system_dirs(const struct closure *closure, const struct closure_object *object,
                               struct strs *dirs)
{
    if (object->libc == CLOSURE_MUSL) {
        strs_add_all(dirs, &closure->musl_dirs);
        return;
    }
    strs_add_all(dirs, &closure->conf_dirs);
    for (size_t i = 0; i < ARRAY_LEN(search_defaults); i++)
        strs_add(dirs, search_defaults[i]);
}

/* A library for another machine is passed over, as the linker does. */
static bool search_fits(const char *path)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    struct elf_file elf CLEANUP(elf_file_free) = {0};
    struct err ignored;

    if (!fs_exists(path) || elf_map(path, &map, &ignored) < 0)
        return false;
    return elf_parse(map.data, map.len, &elf, &ignored) != -ENOEXEC;
}

static char *search_dirs(const struct strs *dirs, const char *name)
{
    for (size_t i = 0; i < dirs->len; i++) {
        char *path CLEANUP(mem_free) = fs_join(dirs->at[i], name);
        if (search_fits(path))
            return TAKE(path, NULL);
    }
    return NULL;
}

char *search_library(const struct closure *closure, const struct closure_object *object,
                     const char *name, bool *by_name_alone)
{
    struct strs own CLEANUP(strs_free) = {0}, system CLEANUP(strs_free) = {0};

    *by_name_alone = false;
    if (strchr(name, '/')) {
        search_expand_for(object, name, &own);
        return own.len && search_fits(own.at[0]) ? str_dup(own.at[0]) : NULL;
    }
    search_own_dirs(object, &own);
    char *path = search_dirs(&own, name);
    if (path)
        return path;
    *by_name_alone = true;
    const char *cached =
        object->libc == CLOSURE_GLIBC ? ld_cache_find(&closure->cache, name) : NULL;
    if (cached && search_fits(cached))
        return str_dup(cached);
    search_system_dirs(closure, object, &system);
    return search_dirs(&system, name);
}

void search_describe(const struct closure *closure, const struct closure_object *object,
                     struct buf *out)
{
    struct strs dirs CLEANUP(strs_free) = {0};

    search_own_dirs(object, &dirs);
    if (object->libc == CLOSURE_GLIBC && closure->cache.count)
        strs_add(&dirs, "/etc/ld.so.cache");
    search_system_dirs(closure, object, &dirs);
    for (size_t i = 0; i < dirs.len; i++)
        buf_printf(out, "%s%s", i ? ", " : "", dirs.at[i]);
}
