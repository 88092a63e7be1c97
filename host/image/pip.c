#include "image/pip.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <ctype.h>
#include <glob.h>
#include <string.h>

enum {
    PIP_FILE_MAX = MIB(16), /* of one RECORD */
};

/* Up to and with ".../site-packages", owned by the caller; or NULL. */
static char *pip_site(const char *module)
{
    const char *at = strstr(module, "-packages/");

    return at ? str_printf("%.*s", (int)(at - module) + (int)strlen("-packages"), module) : NULL;
}

/* Does this RECORD ("PATH,HASH,SIZE" a line) have @path? */
static bool pip_records(const struct buf *record, const char *path)
{
    char *head CLEANUP(mem_free) = str_printf("\n%s,", path);

    return str_starts(buf_text(record), head + 1) || strstr(buf_text(record), head);
}

/* The *.dist-info folder whose RECORD has @path, relative to @site; owned, or NULL. */
static char *pip_owner(const char *site, const char *path)
{
    char *pattern CLEANUP(mem_free) = str_printf("%s/*.dist-info/RECORD", site);
    char *owner = NULL;
    glob_t found;

    if (glob(pattern, 0, NULL, &found))
        return NULL;
    for (size_t i = 0; i < found.gl_pathc && !owner; i++) {
        struct buf record CLEANUP(buf_free) = {0};
        const char *file = found.gl_pathv[i];
        if (!fs_read(file, PIP_FILE_MAX, &record, &(struct err){0}) && record.len &&
            pip_records(&record, path))
            owner = str_printf("%.*s", (int)(strlen(file) - strlen("/RECORD")), file);
    }
    globfree(&found);
    return owner;
}

/* Are these the same name?  In any case, with - _ or . ; @b may go on with the version. */
static bool pip_same_name(const char *a, const char *b)
{
    for (; *a; a++, b++) {
        bool sign = strchr("-_.", *a) && *b && strchr("-_.", *b);
        if (!sign && tolower((u8)*a) != tolower((u8)*b))
            return false;
    }
    return *b == '-';
}

/* The *.dist-info folder of the package @name, owned; or NULL. */
static char *pip_named(const char *site, const char *name)
{
    struct strs all CLEANUP(strs_free) = {0};

    if (fs_list(site, &all, &(struct err){0}))
        return NULL;
    for (size_t i = 0; i < all.len; i++)
        if (str_ends(all.at[i], ".dist-info") && pip_same_name(name, all.at[i]))
            return fs_join(site, all.at[i]);
    return NULL;
}

static int pip_add_files(struct tree *tree, const char *site, const char *info, struct err *err)
{
    char *path CLEANUP(mem_free) = fs_join(info, "RECORD");
    struct buf record CLEANUP(buf_free) = {0};
    char *line;
    int failed = fs_read(path, PIP_FILE_MAX, &record, err);

    for (char *rest = record.data; !failed && rest && (line = strsep(&rest, "\n"));) {
        line[strcspn(line, ",\r")] = 0;
        if (!*line || *line == '/' || *line == '"' || strstr(line, ".."))
            continue; /* programs and manual pages lie elsewhere */
        char *file CLEANUP(mem_free) = fs_join(site, line);
        if (fs_exists(file))
            failed = tree_add_host(tree, file, err);
    }
    return failed;
}

/* Append the folders of what the package of @info needs and is installed: "Requires-Dist: NAME>=1;
 * CONDITION" a line. */
static void pip_add_needs(const char *site, const char *info, struct strs *todo)
{
    static const char head[] = "Requires-Dist: ";
    char *path CLEANUP(mem_free) = fs_join(info, "METADATA");
    struct buf text CLEANUP(buf_free) = {0};
    char *line;

    if (fs_read(path, PIP_FILE_MAX, &text, &(struct err){0}))
        return;
    for (char *rest = text.data; rest && (line = strsep(&rest, "\n")) && *line;) {
        const char *condition = strchr(line, ';');
        if (!str_starts(line, head) || (condition && strstr(condition, "extra")))
            continue;
        line += strlen(head);
        line[strcspn(line, " \t\r<>=!~;[(")] = 0;
        char *other CLEANUP(mem_free) = pip_named(site, line);
        if (other && !strs_has(todo, other))
            strs_add(todo, other);
    }
}

int pip_add(struct tree *tree, const char *module, struct err *err)
{
    char *site CLEANUP(mem_free) = pip_site(module);
    char *owner CLEANUP(mem_free) = site ? pip_owner(site, module + strlen(site) + 1) : NULL;
    struct strs todo CLEANUP(strs_free) = {0};

    if (!owner)
        return 0;
    strs_add(&todo, owner);
    for (size_t next = 0; next < todo.len; next++) {
        if (pip_add_files(tree, site, todo.at[next], err))
            return -err->code;
        pip_add_needs(site, todo.at[next], &todo);
    }
    return 1;
}
