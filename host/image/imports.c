#include "image/imports.h"

#include "image/languages.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <regex.h>
#include <string.h>

enum {
    IMPORTS_FILE_MAX = MIB(4), /* a larger script is data */
    IMPORTS_FILES_MAX = 4096,  /* modules beside a script */
    IMPORTS_DEPTH_MAX = 8,     /* folders in folders */
};

void imports_free(struct imports *imports)
{
    strs_free(&imports->files);
    strs_free(&imports->names);
}

const char *imports_language(const char *name)
{
    const struct language *language = language_of(name);

    return language ? language->name : NULL;
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void scan(struct imports *imports, const struct language *language, char *text,
                 const char *folder);

static void scan_file(struct imports *imports, const struct language *language, const char *path)
{
    struct buf text CLEANUP(buf_free) = {0};
    struct err ignored;

    if (fs_read(path, IMPORTS_FILE_MAX, &text, &ignored) || !text.len)
        return;
    const char *slash = strrchr(path, '/');
    char *folder CLEANUP(mem_free) =
        slash ? str_printf("%.*s", (int)(slash - path) + (slash == path), path) : str_dup(".");
    scan(imports, language, text.data, folder);
}

static void scan_folder(struct imports *imports, const struct language *language, const char *path,
                        int depth)
{
    struct strs names CLEANUP(strs_free) = {0};
    struct err ignored;

    if (depth == IMPORTS_DEPTH_MAX || fs_list(path, &names, &ignored))
        return;
    for (size_t i = 0; i < names.len; i++) {
        char *inside CLEANUP(mem_free) = fs_join(path, names.at[i]);
        if (fs_is_dir(inside))
            scan_folder(imports, language, inside, depth + 1);
        else if (language_of(names.at[i]) == language)
            scan_file(imports, language, inside);
    }
}

/* A file or folder beside a script, and what it imports itself. */
static void add_local(struct imports *imports, const struct language *language, const char *path)
{
    if (strs_has(&imports->files, path) || imports->files.len == IMPORTS_FILES_MAX)
        return;
    strs_add(&imports->files, path);
    if (fs_is_dir(path))
        scan_folder(imports, language, path, 0);
    else
        scan_file(imports, language, path);
}

/* Is it beside the script?  Python's name is that of a folder above the module, too. */
static bool find_local(struct imports *imports, const struct language *language, const char *name,
                       const char *folder)
{
    char *path CLEANUP(mem_free) = language_path(language, name);
    char *whole CLEANUP(mem_free) = fs_join(folder, path);

    if (language->top_folder) {
        char *top CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(path, "/"), path);
        char *above CLEANUP(mem_free) = fs_join(folder, top);
        if (fs_is_dir(above)) {
            add_local(imports, language, above);
            return true;
        }
    }
    for (size_t i = 0; language->files[i]; i++) {
        char *file CLEANUP(mem_free) = str_printf("%s%s", whole, language->files[i]);
        if (!is_file(file))
            continue;
        add_local(imports, language, file);
        return true;
    }
    if (path[0] == '.' && fs_is_dir(whole))
        add_local(imports, language, whole);
    if (path[0] == '.' || !language->local_packages)
        return path[0] == '.';
    char *packages CLEANUP(mem_free) = fs_join(folder, language->local_packages);
    char *package CLEANUP(mem_free) = fs_join(packages, path);
    if (!fs_exists(package))
        return false;
    if (!strs_has(&imports->files, packages))
        strs_add(&imports->files, packages);
    return true;
}

static void add_name(struct imports *imports, const struct language *language, const char *name,
                     const char *folder)
{
    if (!*name || name[0] == '/')
        return;
    if (!language->names_programs && find_local(imports, language, name, folder))
        return;
    char *full = str_printf("%s:%s", language->name, name);
    if (strs_has(&imports->names, full))
        free(full);
    else
        strs_take(&imports->names, full);
}

/* "os, sys as system": each one's first word. */
static void add_list(struct imports *imports, const struct language *language, char *list,
                     const char *folder)
{
    char *one;

    while ((one = strsep(&list, ","))) {
        one += strspn(one, " \t");
        one[strcspn(one, " \t\r#)")] = 0;
        add_name(imports, language, one, folder);
    }
}

static void scan_line(struct imports *imports, const struct language *language,
                      const regex_t *regex, const char *line, const char *folder)
{
    regmatch_t at[LANGUAGE_GROUPS + 1];
    const regmatch_t *name = &at[regex->re_nsub];

    for (int flags = 0; regexec(regex, line, ARRAY_LEN(at), at, flags) == 0; flags = REG_NOTBOL) {
        char *found CLEANUP(mem_free) =
            str_printf("%.*s", (int)(name->rm_eo - name->rm_so), line + name->rm_so);
        add_list(imports, language, found, folder);
        line += at[0].rm_eo;
    }
}

static void scan(struct imports *imports, const struct language *language, char *text,
                 const char *folder)
{
    regex_t regexes[LANGUAGE_PATTERNS];
    size_t count = 0;
    char *line;

    for (; count < LANGUAGE_PATTERNS && language->patterns[count]; count++)
        if (regcomp(&regexes[count], language->patterns[count], REG_EXTENDED) ||
            regexes[count].re_nsub > LANGUAGE_GROUPS)
            break;
    while ((line = strsep(&text, "\n;")))
        for (size_t i = 0; i < count; i++)
            scan_line(imports, language, &regexes[i], line, folder);
    while (count)
        regfree(&regexes[--count]);
}

/* A script may itself be of a package, "node_modules/NAME/bin/x.js": that package's folder comes
 * whole, as do those beside it, which it needs, where they are a project's. */
static void add_own_package(struct imports *imports, const struct language *language,
                            const char *path)
{
    char *real CLEANUP(mem_free) = fs_real(path, NULL);
    char *folder CLEANUP(mem_free) =
        str_printf("/%s/", language->local_packages ? language->local_packages : "");
    char *at = real && language->local_packages ? strstr(real, folder) : NULL;

    if (!at)
        return;
    char *project CLEANUP(mem_free) = str_printf("%.*s/package.json", (int)(at - real), real);
    char *end = at + strlen(folder);
    if (*end == '@')
        end += strcspn(end, "/") + 1;
    end = fs_exists(project) ? at + strlen(folder) - 1 : end + strcspn(end, "/");
    *end = 0;
    if (!strs_has(&imports->files, real))
        strs_add(&imports->files, real);
}

void imports_scan_file(struct imports *imports, const char *language, const char *path)
{
    const struct language *known = language ? language_named(language) : NULL;

    if (!known)
        return;
    scan_file(imports, known, path);
    add_own_package(imports, known, path);
}

void imports_scan_text(struct imports *imports, const char *language, const char *text,
                       const char *folder)
{
    const struct language *known = language ? language_named(language) : NULL;
    char *copy CLEANUP(mem_free) = str_dup(text);

    if (known)
        scan(imports, known, copy, folder);
}

void imports_add(struct imports *imports, const char *language, const char *name,
                 const char *folder)
{
    const struct language *known = language ? language_named(language) : NULL;

    if (known)
        add_name(imports, known, name, folder);
}
