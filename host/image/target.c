#include "image/target.h"

#include "image/container.h"
#include "image/scripts.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "lib/types.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

/* The files that say how a folder is built, the most telling first. */
static const struct {
    const char *name;
    enum target_kind kind;
} target_recipes[] = {
    {"Ingotfile", TARGET_INGOTFILE},  {"Cargo.toml", TARGET_CARGO},  {"go.mod", TARGET_GO},
    {"CMakeLists.txt", TARGET_CMAKE}, {"meson.build", TARGET_MESON}, {"GNUmakefile", TARGET_MAKE},
    {"Makefile", TARGET_MAKE},        {"makefile", TARGET_MAKE},
};

static bool target_is_source(const char *path)
{
    static const char *const endings[] = {".c", ".cc", ".cpp", ".cxx", ".C"};

    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        if (str_ends(path, endings[i]))
            return true;
    return false;
}

static bool target_has_sources(const char *path)
{
    DIR *dir = opendir(path);
    bool found = false;

    for (const struct dirent *entry; dir && !found && (entry = readdir(dir));)
        found = target_is_source(entry->d_name);
    if (dir)
        closedir(dir);
    return found;
}

static int target_classify_dir(const char *path, struct target *target, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(target_recipes); i++) {
        char *recipe CLEANUP(mem_free) = fs_join(path, target_recipes[i].name);
        if (!fs_exists(recipe))
            continue;
        target->kind = target_recipes[i].kind;
        target->recipe = target->kind == TARGET_INGOTFILE ? TAKE(recipe, NULL) : NULL;
        return 0;
    }
    if (container_at(path)) {
        target->kind = TARGET_CONTAINER;
        return 0;
    }
    target->kind = target_has_sources(path) ? TARGET_SOURCES : TARGET_SCRIPTS;
    if (target->kind == TARGET_SOURCES || scripts_know(path))
        return 0;
    return err_set(err, ENOEXEC,
                   "%s: nothing to build: no Ingotfile, no project of Cargo, Go, CMake, Meson or "
                   "make, no C source, and nothing that starts scripts or pages (package.json, "
                   "main.py, index.html ...)",
                   path);
}

int target_classify(const char *path, struct target *target, struct err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    int failed = 0;

    *target = (struct target){.kind = TARGET_CONTAINER};
    if (container_word(path, &target->path, &target->which))
        return 0;
    *target = (struct target){.path = str_dup(path), .kind = TARGET_PROGRAM};
    if (fs_is_dir(path)) {
        failed = target_classify_dir(path, target, err);
    } else if (strcmp(name, "Ingotfile") == 0 || str_ends(name, ".ingotfile")) {
        target->kind = TARGET_INGOTFILE;
        target->recipe = target->path;
        target->path = slash ? str_printf("%.*s", (int)(slash - path + 1), path) : str_dup(".");
    } else if (target_is_source(path)) {
        target->kind = TARGET_SOURCE;
    } else if (container_at(path)) {
        target->kind = TARGET_CONTAINER;
    }
    if (failed)
        target_free(target);
    return failed;
}

void target_free(struct target *target)
{
    free(target->path);
    free(target->recipe);
    free(target->which);
    *target = (struct target){0};
}

/* pyenv, rbenv, nodenv, asdf: ~/.TOOL/shims/NAME is a script for all versions of NAME, and
 * `TOOL which NAME` tells the program that it starts here.  NULL: @shim is none of these. */
static char *target_behind_shim(const char *shim)
{
    static const char middle[] = "/shims/";
    const char *at = strstr(shim, middle);
    struct buf said CLEANUP(buf_free) = {0};
    struct err ignored = {0};

    char *home CLEANUP(mem_free) = at ? str_printf("%.*s", (int)(at - shim), shim) : NULL;
    const char *name = home ? fs_name(home) : "";
    if (*name != '.')
        return NULL;
    char *own CLEANUP(mem_free) = str_printf("%s/bin/%s", home, name + 1);
    const char *argv[] = {fs_exists(own) ? own : name + 1, "which", at + strlen(middle), NULL};
    if (proc_run(&(struct proc){.argv = argv, .out = &said}, &ignored) != 0)
        return NULL;
    char *program CLEANUP(mem_free) =
        str_printf("%.*s", (int)strcspn(buf_text(&said), "\n"), buf_text(&said));
    return *program == '/' && fs_exists(program) ? TAKE(program, NULL) : NULL;
}

char *target_in_path(const char *word)
{
    char *program = !*word || *word == '.' || strchr(word, '/') ? NULL : proc_find(word, NULL);
    char *behind = program ? target_behind_shim(program) : NULL;

    if (!behind)
        return program;
    free(program);
    return behind;
}

char *target_named(const char *word)
{
    char *program = target_in_path(word);

    if (program)
        return program;
    return fs_exists(word) ? str_dup(word) : NULL;
}
