#include "image/tmpfiles.h"

#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/string.h"
#include "lib/types.h"

#include <ctype.h>
#include <string.h>

enum {
    TMPFILES_MAX = MIB(1), /* of one file */
};

/* A path to be, as a line asks for it.  The texts are borrowed from the line. */
struct wish {
    const char *path, *user, *group;
    mode_t mode;
};

/* What follows "NAME:x:" in a file like passwd(5), which is read into @text; NULL: no such name. */
static const char *entry_of(const char *file, const char *name, struct buf *text)
{
    if ((!isalpha((u8)*name) && *name != '_') ||
        fs_read(file, TMPFILES_MAX, text, &(struct err){0}))
        return NULL;
    char *head CLEANUP(mem_free) = str_printf("\n%s:x:", name);
    const char *at = strstr(buf_text(text), head);
    return at ? at + strlen(head) : NULL;
}

/* The number of @name in such a file, or what it says itself; 0, root, if it is unknown. */
static u32 id_of(const char *file, const char *name)
{
    struct buf text CLEANUP(buf_free) = {0};
    u64 id;

    if (str_to_u64(name, &id) == 0)
        return id <= UINT32_MAX ? (u32)id : 0;
    const char *entry = entry_of(file, name, &text);
    return entry ? (u32)strtoul(entry, NULL, 10) : 0;
}

/* The group that @user begins with, as a number owned by the caller; "" if he is unknown. */
static char *group_of(const char *user)
{
    struct buf text CLEANUP(buf_free) = {0};
    const char *entry = entry_of("/etc/passwd", user, &text);
    const char *group = entry ? strchr(entry, ':') : NULL;

    return group ? str_printf("%.*s", (int)strcspn(group + 1, ":\n"), group + 1) : str_dup("");
}

static void wish_owner(const struct wish *wish, struct tree_node *node)
{
    node->uid = id_of("/etc/passwd", wish->user);
    node->gid = id_of("/etc/group", wish->group);
}

/* /var/run is a link to /run: that has to be in before something is put below it. */
static int add_links_above(struct tree *tree, const char *path, struct err *err)
{
    static const char *const old[] = {"/var/run", "/var/lock"};

    for (size_t i = 0; i < ARRAY_LEN(old); i++)
        if (str_starts(path, old[i]) && fs_exists(old[i]))
            return tree_add_host(tree, old[i], err);
    return 0;
}

/* A folder that is here too stays as it is here, but for those that are made anew at each boot, and
 * one that is somebody's stays his; others are only on the way to something, such as what a
 * configuration names. */
static int add_folder(struct tree *tree, const struct wish *wish, struct err *err)
{
    int failed = add_links_above(tree, wish->path, err);
    struct tree_node *node = tree_follow(tree, wish->path);

    bool here = fs_exists(wish->path) && !str_starts(wish->path, "/run/");
    if (node && (node->kind != TREE_DIR || node->uid || here))
        return failed;
    if (!failed && !node)
        failed = tree_add_dir(tree, wish->path, wish->mode, err);
    node = failed ? NULL : tree_follow(tree, wish->path);
    if (node) {
        node->mode = wish->mode;
        wish_owner(wish, node);
    }
    return failed;
}

static int add_file(struct tree *tree, const struct wish *wish, const char *text, struct err *err)
{
    int failed = add_links_above(tree, wish->path, err);

    if (failed || tree_follow(tree, wish->path))
        return failed;
    failed = tree_add_data(tree, wish->path, text, strlen(text), wish->mode, err);
    if (!failed)
        wish_owner(wish, tree_follow(tree, wish->path));
    return failed;
}

/* The next field of a line of tmpfiles.d, "-" where there is none; quotes go. */
static char *next_field(char **rest)
{
    char *at = *rest + strspn(*rest, " \t");
    char quote = *at == '"' || *at == '\'' ? *at++ : 0;
    char *end = quote ? strchrnul(at, quote) : at + strcspn(at, " \t");

    if (end == at && !quote)
        return *rest = at, (char *)(uintptr_t) "-";
    *rest = *end ? end + 1 : end;
    *end = 0;
    return at;
}

/* Mode of a line: digits, perhaps behind '~' and ':'; "-" is what the kind of path has. */
static mode_t line_mode(const char *text, mode_t otherwise)
{
    text += strspn(text, "~:");
    return isdigit((u8)*text) ? (mode_t)strtoul(text, NULL, 8) & 07777 : otherwise;
}

/* One line: type, path, mode, user, group, age, argument. */
static int tmpfiles_line(struct tree *tree, char *line, struct err *err)
{
    char *rest = line + strspn(line, " \t");

    if (!*rest || *rest == '#')
        return 0;
    const char *type = next_field(&rest), *path = next_field(&rest), *mode = next_field(&rest);
    const char *user = next_field(&rest), *group = next_field(&rest);
    next_field(&rest);
    const char *argument = rest + strspn(rest, " \t");
    struct wish wish = {path, user + strspn(user, ":"), group + strspn(group, ":"), 0};

    if (*path != '/' || strchr(path, '%') || strchr(argument, '%')) /* nothing that it stands for */
        return 0;
    switch (*type) {
    case 'd': /* and the same, emptied; or a subvolume */
    case 'D':
    case 'v':
    case 'q':
    case 'Q':
        wish.mode = line_mode(mode, 0755);
        return add_folder(tree, &wish, err);
    case 'f':
    case 'F':
        wish.mode = line_mode(mode, 0644);
        return add_file(tree, &wish, argument, err);
    case 'L':
        if (tree_find(tree, path) || *argument == '-' || !*argument)
            return 0;
        return tree_add_link(tree, path, argument, err);
    default:
        return 0;
    }
}

/* Folders that systemd makes for a service, below these. */
static const struct {
    const char *name, *mode, *below;
} unit_folders[] = {
    {"RuntimeDirectory=", "RuntimeDirectoryMode=", "/run/"},
    {"StateDirectory=", "StateDirectoryMode=", "/var/lib/"},
    {"CacheDirectory=", "CacheDirectoryMode=", "/var/cache/"},
    {"LogsDirectory=", "LogsDirectoryMode=", "/var/log/"},
    {"ConfigurationDirectory=", "ConfigurationDirectoryMode=", "/etc/"},
};

/* The value of the last line of a unit that begins with @name, owned by the caller; "" if none. */
static char *unit_value(const struct buf *text, const char *name)
{
    char *head CLEANUP(mem_free) = str_printf("\n%s", name);
    const char *at = buf_text(text), *last = NULL;

    while ((at = strstr(at, head)))
        last = at += strlen(head);
    return last ? str_printf("%.*s", (int)strcspn(last, "\n"), last) : str_dup("");
}

/* May a command of a unit make @path? */
static bool is_made(const char *path)
{
    return (str_starts(path, "/run/") || str_starts(path, "/var/")) && !strpbrk(path, "%$'\"\\") &&
           !strstr(path, "..");
}

/* "install -m 02755 -o USER -g GROUP -d /run/NAME". */
static int add_installed(struct tree *tree, char *rest, struct err *err)
{
    struct wish wish = {NULL, "", "", 0755};
    bool folders = false;
    char *word;
    int failed = 0;

    while (!failed && (word = strsep(&rest, " "))) {
        size_t len = strlen(word);
        folders |= *word == '-' && strchr(word, 'd');
        if (folders && is_made(word)) {
            wish.path = word;
            failed = add_folder(tree, &wish, err);
        }
        if (len < 2 || *word != '-' || !rest || !strchr("mog", word[len - 1]))
            continue;
        const char *value = strsep(&rest, " ");
        if (word[len - 1] == 'm')
            wish.mode = line_mode(value, wish.mode);
        else if (word[len - 1] == 'o')
            wish.user = value;
        else
            wish.group = value;
    }
    return failed;
}

/* One word of "ExecStartPre=/bin/mkdir -m 740 -p /run/NAME", or of a chown to @owner. */
static int add_made_folder(struct tree *tree, const char *path, const char *owner, struct err *err)
{
    char *user CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(owner, ":."), owner);
    const char *group = owner + strcspn(owner, ":.");
    struct tree_node *node = tree_follow(tree, path);
    struct wish wish = {path, user, *group ? group + 1 : "", 0755};

    if (!is_made(path))
        return 0;
    if (!*owner)
        return add_folder(tree, &wish, err);
    if (node && node->kind == TREE_DIR)
        wish_owner(&wish, node);
    return 0;
}

static int add_made_folders(struct tree *tree, const struct buf *text, struct err *err)
{
    static const char head[] = "\nExecStartPre=";
    int failed = 0;

    for (const char *at = buf_text(text); !failed && (at = strstr(at, head));) {
        at += strlen(head);
        char *line CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(at, "\n"), at);
        char *rest = line, *word = strsep(&rest, " ");
        const char *owner = "";
        if (str_ends(word, "/install")) {
            failed = add_installed(tree, rest, err);
            continue;
        }
        if (str_ends(word, "/chown"))
            owner = rest ? strsep(&rest, " ") : "";
        else if (!str_ends(word, "/mkdir"))
            continue;
        while (!failed && rest)
            failed = add_made_folder(tree, strsep(&rest, " "), owner, err);
    }
    return failed;
}

static int add_unit(struct tree *tree, const struct buf *text, struct err *err)
{
    char *user CLEANUP(mem_free) = unit_value(text, "User=");
    char *named CLEANUP(mem_free) = unit_value(text, "Group=");
    char *group CLEANUP(mem_free) = *named ? str_dup(named) : group_of(user);
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(unit_folders); i++) {
        char *names CLEANUP(mem_free) = unit_value(text, unit_folders[i].name);
        char *mode CLEANUP(mem_free) = unit_value(text, unit_folders[i].mode);
        char *rest = names, *name;
        while (!failed && (name = strsep(&rest, " \t"))) {
            char *path CLEANUP(mem_free) = str_printf("%s%s", unit_folders[i].below, name);
            if (*name && !strchr(name, '%') && !strstr(name, ".."))
                failed =
                    add_folder(tree, &(struct wish){path, user, group, line_mode(mode, 0755)}, err);
        }
    }
    return failed ? failed : add_made_folders(tree, text, err);
}

static int add_conf(struct tree *tree, struct buf *text, struct err *err)
{
    char *rest = text->len ? text->data : NULL, *line;
    int failed = 0;

    while (!failed && (line = strsep(&rest, "\n")))
        failed = tmpfiles_line(tree, line, err);
    return failed;
}

int tmpfiles_add(struct tree *tree, const struct strs *files, struct err *err)
{
    int failed = 0;

    for (size_t i = 0; i < files->len && !failed; i++) {
        struct buf text CLEANUP(buf_free) = {0};
        const char *path = files->at[i];
        bool conf = strstr(path, "/tmpfiles.d/") && str_ends(path, ".conf");
        if (!conf && !str_ends(path, ".service"))
            continue;
        if (fs_read(path, TMPFILES_MAX, &text, &(struct err){0}))
            continue;
        tree_depend(tree, path);
        failed = conf ? add_conf(tree, &text, err) : add_unit(tree, &text, err);
    }
    return failed ? err_prefix(err, "what its package has made at boot") : 0;
}
