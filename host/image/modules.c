#include "image/modules.h"

#include "image/configured.h"
#include "image/dpkg.h"
#include "image/languages.h"
#include "image/pip.h"
#include "image/tmpfiles.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <fnmatch.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MODULES_OWN_MAX = MIB(64),
};

struct modules {
    struct tree *tree;
    struct dpkg dpkg;
    const char *program;  /* whose modules they are, borrowed; or NULL */
    struct strs packages; /* that are in, or are to be passed over */
};

static void modules_free(struct modules *m)
{
    dpkg_close(&m->dpkg);
    strs_free(&m->packages);
}

/* What a package has for people, for other programs and for the machine's start. */
static bool is_aside(const char *path)
{
    static const char *const folders[] = {
        "/usr/share/doc/",
        "/usr/share/man/",
        "/usr/share/locale/",
        "/usr/share/lintian/",
        "/usr/share/info/",
        "/usr/share/bug/",
        "/usr/share/doc-base/",
        "/usr/bin/",
        "/usr/sbin/",
        "/usr/games/",
        "/bin/",
        "/sbin/",
        "/lib/systemd/",
        "/usr/lib/systemd/",
        "/etc/init.d/",
        "/etc/default/",
        "/etc/cron",
        "/etc/logrotate.d/",
        "/etc/apparmor.d/",
        "/usr/share/bash-completion/",
    };

    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        if (str_starts(path, folders[i]))
            return true;
    return strstr(path, "/tests/") || strstr(path, "/test/");
}

/* What Python compiled when the package was installed: the guest need not do it at each start. */
static int add_bytecode(struct tree *tree, const char *path, struct err *err)
{
    const char *name = fs_name(path);
    glob_t found;
    int failed = 0;

    char *pattern CLEANUP(mem_free) =
        str_printf("%.*s__pycache__/%.*s.cpython-3[0-9]*.pyc", (int)(name - path), path,
                   (int)(strlen(name) - strlen(".py")), name);
    if (glob(pattern, GLOB_NOSORT, NULL, &found))
        return 0;
    for (size_t i = 0; i < found.gl_pathc && !failed; i++)
        failed = tree_add_host(tree, found.gl_pathv[i], err);
    globfree(&found);
    return failed;
}

static int add_file(struct tree *tree, const char *path, struct err *err)
{
    if (is_aside(path) || access(path, R_OK) < 0)
        return 0;
    if (fs_is_dir(path)) { /* what a server writes to, or looks into, must be there */
        struct stat st;
        bool link = !lstat(path, &st) && S_ISLNK(st.st_mode);
        return link || str_starts(path, "/var/") || str_starts(path, "/etc/")
                   ? tree_add_host(tree, path, err)
                   : 0;
    }
    int failed = tree_add_host(tree, path, err);
    return failed || !str_ends(path, ".py") ? failed : add_bytecode(tree, path, err);
}

static int add_files(struct tree *tree, const struct strs *files, struct err *err)
{
    int failed = 0;

    for (size_t i = 0; i < files->len && !failed; i++)
        failed = add_file(tree, files->at[i], err);
    return failed;
}

/* A package, and those of its language that it needs. */
static int add_package(struct modules *m, const struct language *language, const char *name,
                       struct err *err)
{
    struct strs todo CLEANUP(strs_free) = {0};

    strs_add(&todo, name);
    for (size_t next = 0; next < todo.len; next++) {
        struct strs files CLEANUP(strs_free) = {0}, needs CLEANUP(strs_free) = {0};
        const char *package = todo.at[next];
        if (strs_has(&m->packages, package))
            continue;
        strs_add(&m->packages, package);
        dpkg_files(&m->dpkg, package, &files);
        if (add_files(m->tree, &files, err))
            return -err->code;
        dpkg_depends(&m->dpkg, package, &needs);
        for (size_t i = 0; i < needs.len; i++)
            if (language->packages && fnmatch(language->packages, needs.at[i], 0) == 0)
                strs_add(&todo, needs.at[i]);
    }
    return 0;
}

static int add_whole(struct tree *tree, const char *pattern, struct err *err)
{
    glob_t found;
    int failed = 0;

    if (glob(pattern, 0, NULL, &found))
        return 0;
    for (size_t i = 0; i < found.gl_pathc && !failed; i++) {
        failed = tree_add_host(tree, found.gl_pathv[i], err);
        if (!failed && fs_is_dir(found.gl_pathv[i]))
            failed = tree_add_tree(tree, found.gl_pathv[i], found.gl_pathv[i], NULL, err);
    }
    globfree(&found);
    return failed;
}

/* The first file that @path, a module's, stands for below a root; owned by the caller, or NULL. */
static char *find_below(const struct language *language, const char *root, const char *path)
{
    for (size_t i = 0; i < LANGUAGE_FILES && language->files[i]; i++) {
        char *pattern CLEANUP(mem_free) = str_printf("%s/%s%s", root, path, language->files[i]);
        glob_t found;
        if (glob(pattern, 0, NULL, &found))
            continue;
        char *first = str_dup(found.gl_pathv[0]);
        globfree(&found);
        return first;
    }
    return NULL;
}

/* @path in one root, or what it is a part of: "flask/views" is in "flask". */
static char *find_module(const struct language *language, const char *root, const char *path)
{
    char *shorter CLEANUP(mem_free) = str_dup(path);

    while (true) {
        char *found = find_below(language, root, shorter);
        char *slash = strrchr(shorter, '/');
        if (found || !slash)
            return found;
        *slash = 0;
    }
}

/* The same in all folders that @pattern finds.  @tree, if not NULL, depends on where it was looked
 * for: it may be installed later. */
static char *find_in_roots(const struct language *language, const char *pattern, const char *path,
                           struct tree *tree)
{
    char *found = NULL;
    glob_t roots;

    if (glob(pattern, 0, NULL, &roots))
        return NULL;
    for (size_t k = 0; k < roots.gl_pathc && !found; k++) {
        if (tree)
            tree_depend(tree, roots.gl_pathv[k]);
        found = find_module(language, roots.gl_pathv[k], path);
    }
    globfree(&roots);
    return found;
}

/* Where an interpreter that pyenv or the user built has packages of its own: "PREFIX/lib/..." for
 * PREFIX/bin/python3, or a script beside that.  Owned by the caller; or NULL. */
static char *beside_program(const struct language *language, const char *program)
{
    char *real CLEANUP(mem_free) = program ? fs_real(program, NULL) : NULL, *slash;

    for (int i = 0; real && i < 2; i++) {
        slash = strrchr(real, '/');
        *(slash ? slash : real) = 0;
    }
    return real && *real && language->beside ? fs_join(real, language->beside) : NULL;
}

/* The same in all that @language has, and what is beside @program.  @whole gets what to bring if no
 * package owns it, owned by the caller. */
static char *find_installed(const struct language *language, const char *name, const char *program,
                            struct tree *tree, char **whole)
{
    char *path CLEANUP(mem_free) = language_path(language, name);
    char *beside CLEANUP(mem_free) = beside_program(language, program);
    char *found = beside ? find_in_roots(language, beside, path, tree) : NULL;

    *whole = found ? str_dup(beside) : NULL;
    for (size_t i = 0; !found && i < LANGUAGE_ROOTS && language->roots[i].glob; i++) {
        found = find_in_roots(language, language->roots[i].glob, path, tree);
        if (found)
            *whole = str_dup(language->roots[i].whole);
    }
    return found;
}

static u64 size_of(const struct strs *files)
{
    u64 size = 0;
    struct stat st;

    for (size_t i = 0; i < files->len; i++)
        if (!is_aside(files->at[i]) && !lstat(files->at[i], &st) && S_ISREG(st.st_mode))
            size += (u64)st.st_size;
    return size;
}

/* Append the files of a package; of one of libraries without those that programs are linked with:
 * they come if the program has them. */
static void add_names(const struct modules *m, const char *package, struct strs *files)
{
    static const char *const linked[] = {"/usr/lib/x86_64-linux-gnu/lib*.so*",
                                         "/lib/x86_64-linux-gnu/lib*.so*", "/usr/lib/lib*.so*"};
    struct strs all CLEANUP(strs_free) = {0};

    dpkg_files(&m->dpkg, package, &all);
    for (size_t i = 0; i < all.len; i++) {
        bool aside = false;
        for (size_t k = 0; k < ARRAY_LEN(linked) && str_starts(package, "lib"); k++)
            aside |= fnmatch(linked[k], all.at[i], FNM_PATHNAME) == 0;
        if (!aside)
            strs_add(files, all.at[i]);
    }
}

/* What there is for an ELF program, package by package as long as they are not large, and the
 * folders in which services make their own. */
static int add_family(struct modules *m, const char *package, struct err *err)
{
    static const char *const places[] = {"/var/cache", "/var/lib", "/var/spool"};
    struct strs names CLEANUP(strs_free) = {0};
    u64 size = 0;
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(places) && !failed; i++)
        if (fs_is_dir(places[i]))
            failed = tree_add_host(m->tree, places[i], err);

    dpkg_family(&m->dpkg, package, &names);
    for (size_t i = 0; i < names.len && !failed; i++) {
        struct strs files CLEANUP(strs_free) = {0};
        add_names(m, names.at[i], &files);
        u64 more = size_of(&files);
        if (size + more > MODULES_OWN_MAX)
            continue;
        size += more;
        failed = add_files(m->tree, &files, err);
        if (!failed)
            failed = configured_add(m->tree, &m->dpkg, &names, &files, err);
    }
    return failed ? failed : configured_add_named(m->tree, err);
}

/* What the package of an archive has besides: its own data and configuration, and those that it
 * needs. */
static int add_archive(struct modules *m, const struct language *language, const char *path,
                       struct err *err)
{
    char *package CLEANUP(mem_free) = dpkg_owner(&m->dpkg, path);

    if (!package)
        return 0;
    int failed = add_package(m, language, package, err);
    return failed ? failed : add_family(m, package, err);
}

static int add_module(struct modules *m, const struct language *language, const char *name,
                      struct err *err)
{
    if (*name == '/')
        return add_archive(m, language, name, err);
    char *whole CLEANUP(mem_free) = NULL;
    char *found CLEANUP(mem_free) = find_installed(language, name, m->program, m->tree, &whole);

    if (!found || tree_find(m->tree, found)) /* a package before has brought it */
        return 0;
    for (size_t i = 0; language->together && i < LANGUAGE_ROOTS && language->roots[i].glob; i++)
        if (add_whole(m->tree, language->roots[i].whole, err))
            return -err->code;
    if (language->together)
        return 0;
    char *package CLEANUP(mem_free) = dpkg_owner(&m->dpkg, found);
    if (package)
        return add_package(m, language, package, err);
    int added = pip_add(m->tree, found, err);
    return added ? min(added, 0) : add_whole(m->tree, whole, err);
}

/* Cut "LANGUAGE:NAME". */
static const struct language *split(const char *full, const char **name)
{
    const char *colon = strchr(full, ':');
    char *word CLEANUP(mem_free) = str_printf("%.*s", (int)(colon ? colon - full : 0), full);

    *name = colon ? colon + 1 : "";
    return language_named(word);
}

void modules_installed(const struct strs *names, const char *program, struct strs *found)
{
    for (size_t i = 0; i < names->len; i++) {
        const char *name;
        const struct language *language = split(names->at[i], &name);
        char *whole CLEANUP(mem_free) = NULL;
        char *file CLEANUP(mem_free) =
            language ? find_installed(language, name, program, NULL, &whole) : NULL;
        if (file || (language && language_starts(language, name)))
            strs_add(found, names->at[i]);
    }
}

void modules_programs(const struct strs *names, struct strs *programs)
{
    for (size_t i = 0; i < names->len; i++) {
        const char *name;
        const struct language *language = split(names->at[i], &name);
        if (language && language_starts(language, name))
            strs_add(programs, name);
    }
}

int modules_add(struct tree *tree, const struct strs *names, const char *program, const char *dpkg,
                struct err *err)
{
    struct modules m CLEANUP(modules_free) = {.tree = tree, .program = program};
    int failed = 0;

    if (!names->len)
        return 0;
    dpkg_open(&m.dpkg, dpkg);
    for (size_t i = 0; i < names->len && !failed; i++) {
        const char *name;
        const struct language *language = split(names->at[i], &name);
        if (language)
            failed = add_module(&m, language, name, err);
    }
    return failed;
}

int modules_add_of(struct tree *tree, const char *language, const char *program, const char *dpkg,
                   struct err *err)
{
    struct modules m CLEANUP(modules_free) = {.tree = tree};
    struct strs files CLEANUP(strs_free) = {0};
    const struct language *known = language ? language_named(language) : NULL;

    dpkg_open(&m.dpkg, dpkg);
    char *package CLEANUP(mem_free) = dpkg_owner(&m.dpkg, program);
    if (!package)
        return 0;
    if (!known || !known->packages)
        return add_family(&m, package, err);
    struct strs names CLEANUP(strs_free) = {0};
    strs_add(&names, package);
    dpkg_files(&m.dpkg, package, &files);
    int failed = add_package(&m, known, package, err);
    if (!failed)
        failed = configured_add(tree, &m.dpkg, &names, &files, err);
    return failed ? failed : configured_add_named(tree, err);
}

int modules_add_boot(struct tree *tree, const char *program, const char *dpkg, struct err *err)
{
    struct modules m CLEANUP(modules_free) = {.tree = tree};
    struct strs names CLEANUP(strs_free) = {0}, files CLEANUP(strs_free) = {0};

    dpkg_open(&m.dpkg, dpkg);
    char *package CLEANUP(mem_free) = dpkg_owner(&m.dpkg, program);
    if (!package)
        return 0;
    dpkg_family(&m.dpkg, package, &names);
    for (size_t i = 0; i < names.len; i++)
        dpkg_files(&m.dpkg, names.at[i], &files);
    int failed = tmpfiles_add(tree, &files, err);
    return failed ? failed : configured_add_kept(tree, &names, err);
}

int modules_add_package(struct tree *tree, const char *name, struct err *err)
{
    struct modules m CLEANUP(modules_free) = {.tree = tree};
    struct strs files CLEANUP(strs_free) = {0};

    dpkg_open(&m.dpkg, NULL);
    dpkg_files(&m.dpkg, name, &files);
    return add_files(tree, &files, err);
}
