#include "image/dpkg.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <string.h>

enum {
    DPKG_FILE_MAX = MIB(64),
};

void dpkg_open(struct dpkg *dpkg, const char *folder)
{
    struct err ignored;

    *dpkg = (struct dpkg){.folder = str_dup(folder ? folder : "/var/lib/dpkg")};
    char *path CLEANUP(mem_free) = fs_join(dpkg->folder, "status");
    (void)fs_read(path, DPKG_FILE_MAX, &dpkg->status, &ignored); /* then nothing is installed */
}

void dpkg_close(struct dpkg *dpkg)
{
    free(dpkg->folder);
    buf_free(&dpkg->status);
    *dpkg = (struct dpkg){0};
}

/* Does @text have @line, as a whole line? */
static bool dpkg_has_line(const struct buf *text, const char *line, size_t len)
{
    const char *at = text->data, *end = text->data + text->len;

    while (at && (at = memmem(at, (size_t)(end - at), line, len))) {
        bool starts = at == text->data || at[-1] == '\n';
        if (starts && (at + len == end || at[len] == '\n'))
            return true;
        at += len;
    }
    return false;
}

/* Of "NAME.list" or "NAME:ARCHITECTURE.list". */
static char *dpkg_list_package(const char *file)
{
    const char *colon = strchr(file, ':');
    size_t len = colon ? (size_t)(colon - file) : strlen(file) - strlen(".list");

    return str_printf("%.*s", (int)len, file);
}

char *dpkg_owner(const struct dpkg *dpkg, const char *path)
{
    char *info CLEANUP(mem_free) = fs_join(dpkg->folder, "info");
    struct strs names CLEANUP(strs_free) = {0};
    struct buf text CLEANUP(buf_free) = {0};
    struct err ignored;
    /* /usr/bin/sed came as /bin/sed, from before the two folders were one. */
    const char *old = str_starts(path, "/usr/") ? path + strlen("/usr") : path;

    if (!dpkg->status.len || fs_list(info, &names, &ignored))
        return NULL;
    for (size_t i = 0; i < names.len; i++) {
        if (!str_ends(names.at[i], ".list"))
            continue;
        char *list CLEANUP(mem_free) = fs_join(info, names.at[i]);
        if (fs_read(list, DPKG_FILE_MAX, &text, &ignored))
            continue;
        if (dpkg_has_line(&text, path, strlen(path)) || dpkg_has_line(&text, old, strlen(old)))
            return dpkg_list_package(names.at[i]);
    }
    return NULL;
}

void dpkg_files(const struct dpkg *dpkg, const char *package, struct strs *paths)
{
    struct buf text CLEANUP(buf_free) = {0};
    struct err ignored;
    char *line;

    char *plain CLEANUP(mem_free) = str_printf("%s/info/%s.list", dpkg->folder, package);
    char *native CLEANUP(mem_free) = str_printf("%s/info/%s:amd64.list", dpkg->folder, package);
    if (fs_read(plain, DPKG_FILE_MAX, &text, &ignored) &&
        fs_read(native, DPKG_FILE_MAX, &text, &ignored))
        return;
    for (char *rest = text.data; (line = strsep(&rest, "\n"));)
        if (*line == '/')
            strs_add(paths, line);
}

/* The paragraph of an installed package, NUL-terminated, owned by the caller; or NULL. */
static char *dpkg_paragraph(const struct dpkg *dpkg, const char *package)
{
    char *head CLEANUP(mem_free) = str_printf("Package: %s\n", package);
    const char *at = dpkg->status.data;

    while (at && (at = strstr(at, head)) && at != dpkg->status.data && at[-1] != '\n')
        at++;
    if (!at)
        return NULL;
    const char *end = strstr(at, "\n\n");
    return str_printf("%.*s", end ? (int)(end - at) : (int)strlen(at), at);
}

/* "libc6 (>= 2.34), python3:any | python3-dev": the first name of each. */
static void dpkg_add_names(const char *field, struct strs *names)
{
    char *all CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(field, "\n"), field);
    char *one;

    for (char *rest = all; (one = strsep(&rest, ","));) {
        one += strspn(one, " ");
        one[strcspn(one, " :(|")] = 0;
        if (*one && !strs_has(names, one))
            strs_add(names, one);
    }
}

void dpkg_depends(const struct dpkg *dpkg, const char *package, struct strs *names)
{
    static const char *const fields[] = {"\nPre-Depends: ", "\nDepends: "};
    char *paragraph CLEANUP(mem_free) = dpkg_paragraph(dpkg, package);

    for (size_t i = 0; paragraph && i < ARRAY_LEN(fields); i++) {
        const char *field = strstr(paragraph, fields[i]);
        if (field)
            dpkg_add_names(field + strlen(fields[i]), names);
    }
}

/* The source of @package, whose paragraph begins at @paragraph; owned by the caller. */
static char *dpkg_source_at(const char *paragraph, const char *package)
{
    static const char field[] = "\nSource: ";
    const char *at = strstr(paragraph, field), *end = strstr(paragraph, "\n\n");

    at = at && (!end || at < end) ? at + strlen(field) : package;
    return str_printf("%.*s", (int)strcspn(at, " \n"), at);
}

/* The source package that @package was made from, owned by the caller; NULL: it is not installed.
 */
static char *dpkg_source(const struct dpkg *dpkg, const char *package)
{
    char *paragraph CLEANUP(mem_free) = dpkg_paragraph(dpkg, package);

    return paragraph ? dpkg_source_at(paragraph, package) : NULL;
}

static bool dpkg_is_data(const char *package)
{
    return str_ends(package, "-data") || str_ends(package, "-common");
}

static bool dpkg_needs(const struct dpkg *dpkg, const char *package, const char *other)
{
    struct strs needs CLEANUP(strs_free) = {0};

    dpkg_depends(dpkg, package, &needs);
    return strs_has(&needs, other);
}

/* Is it for those who build or repair programs? */
static bool dpkg_is_for_builders(const char *package)
{
    static const char *const ends[] = {"-dev", "-doc", "-dbg", "-dbgsym", "-tests", "-source"};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (str_ends(package, ends[i]))
            return true;
    return false;
}

/* Packages of @source that somebody installed besides, and that need @package: its plugins. */
static void dpkg_add_plugins(const struct dpkg *dpkg, const char *source, const char *package,
                             struct strs *names)
{
    static const char head[] = "Package: ";
    const char *at = dpkg->status.data;

    for (; at; at = (at = strstr(at, "\n\n")) ? at + 2 : NULL) {
        if (!str_starts(at, head))
            continue;
        const char *name = at + strlen(head);
        char *other CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(name, "\n"), name);
        if (strs_has(names, other) || dpkg_is_for_builders(other))
            continue;
        char *made_of CLEANUP(mem_free) = dpkg_source_at(at, other);
        if (strcmp(made_of, source) == 0 && dpkg_needs(dpkg, other, package))
            strs_add(names, other);
    }
}

void dpkg_family(const struct dpkg *dpkg, const char *package, struct strs *names)
{
    char *source CLEANUP(mem_free) = dpkg_source(dpkg, package);
    struct strs kin CLEANUP(strs_free) = {0};

    strs_add(names, package);
    strs_add(&kin, package);
    for (size_t next = 0; source && next < kin.len; next++) {
        struct strs needs CLEANUP(strs_free) = {0};
        dpkg_depends(dpkg, kin.at[next], &needs);
        for (size_t i = 0; i < needs.len; i++) {
            char *other CLEANUP(mem_free) = dpkg_source(dpkg, needs.at[i]);
            bool same = other && strcmp(other, source) == 0;
            if (same && !strs_has(&kin, needs.at[i]))
                strs_add(&kin, needs.at[i]);
            if (other && (same || dpkg_is_data(needs.at[i])) && !strs_has(names, needs.at[i]))
                strs_add(names, needs.at[i]);
        }
    }
    char *above CLEANUP(mem_free) = str_dup(package), *dash;
    while (source && (dash = strrchr(above, '-'))) {
        *dash = 0;
        char *other CLEANUP(mem_free) = dpkg_source(dpkg, above);
        if (other && strcmp(other, source) == 0 && !strs_has(names, above))
            strs_add(names, above);
    }
    if (source)
        dpkg_add_plugins(dpkg, source, package, names);
}

bool dpkg_is_shared(const struct dpkg *dpkg, const char *path, const struct strs *family)
{
    char *info CLEANUP(mem_free) = fs_join(dpkg->folder, "info");
    char *source CLEANUP(mem_free) = family->len ? dpkg_source(dpkg, family->at[0]) : NULL;
    struct strs lists CLEANUP(strs_free) = {0};
    struct err ignored;

    if (fs_list(info, &lists, &ignored))
        return false;
    for (size_t i = 0; i < lists.len; i++) {
        struct buf text CLEANUP(buf_free) = {0};
        if (!str_ends(lists.at[i], ".list"))
            continue;
        char *package CLEANUP(mem_free) = dpkg_list_package(lists.at[i]);
        char *list CLEANUP(mem_free) = fs_join(info, lists.at[i]);
        if (!strs_has(family, package) && !fs_read(list, DPKG_FILE_MAX, &text, &ignored) &&
            dpkg_has_line(&text, path, strlen(path))) {
            char *other CLEANUP(mem_free) = dpkg_source(dpkg, package);
            if (!source || !other || strcmp(source, other) != 0)
                return true;
        }
    }
    return false;
}
