#include "image/configured.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CONFIGURED_FILE_MAX = MIB(1),
    CONFIGURED_MAX = MIB(8),
    CONFIGURED_DEPTH_MAX = 6,
    CONFIGURED_NAMED_MAX = 256, /* files that configuration names */
    /* Users and groups that packages make for their services: Debian policy, 9.2.2. */
    CONFIGURED_SERVICE_FIRST = 100,
    CONFIGURED_SERVICE_LAST = 999,
};

/* Folders of /etc in which packages meet, though on this machine there may be only one. */
static bool is_meeting_place(const char *path)
{
    static const char *const places[] = {
        "alternatives", "apache2",  "apt", "dbus-1",     "default", "dhcp",  "init.d",
        "kernel",       "logcheck", "lvm", "modprobe.d", "network", "pam.d", "pki",
        "ppp",          "security", "ssh", "ssl",        "systemd", "udev",  "ufw",
        "X11",          "xdg",      "xml", "sgml",       "polkit-1"};
    const char *name = fs_name(path);

    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (strcmp(name, places[i]) == 0)
            return true;
    return str_ends(name, ".d") || str_starts(name, "cron");
}

static bool is_service(u32 id)
{
    return id >= CONFIGURED_SERVICE_FIRST && id <= CONFIGURED_SERVICE_LAST;
}

/* Is what @path leads to for everybody, or a service's own?  Then we can read it as well. */
static bool is_open(const char *path, struct stat *st)
{
    if (stat(path, st) < 0 || access(path, R_OK) < 0)
        return false;
    mode_t needed = S_ISDIR(st->st_mode) ? S_IROTH | S_IXOTH : S_IROTH;
    bool service = is_service(st->st_uid) || (is_service(st->st_gid) && st->st_mode & S_IRGRP);
    return ((st->st_mode & needed) == needed || service) &&
           (S_ISDIR(st->st_mode) || S_ISREG(st->st_mode));
}

static int add_below(struct tree *tree, const char *folder, int depth, u64 *size, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};
    int failed = 0;

    if (depth == CONFIGURED_DEPTH_MAX || fs_list(folder, &names, &(struct err){0}))
        return 0;
    tree_depend(tree, folder);
    for (size_t i = 0; i < names.len && !failed; i++) {
        char *path CLEANUP(mem_free) = fs_join(folder, names.at[i]);
        struct stat own, st;
        if (lstat(path, &own) < 0 || !is_open(path, &st))
            continue;
        *size += S_ISREG(st.st_mode) ? (u64)st.st_size : 0;
        if (S_ISREG(st.st_mode) && (st.st_size > CONFIGURED_FILE_MAX || *size > CONFIGURED_MAX))
            continue;
        failed = tree_add_host(tree, path, err);
        if (!failed && S_ISDIR(own.st_mode))
            failed = add_below(tree, path, depth + 1, size, err);
    }
    return failed;
}

int configured_add(struct tree *tree, const struct dpkg *dpkg, const struct strs *family,
                   const struct strs *files, struct err *err)
{
    static const char etc[] = "/etc/";
    int failed = 0;

    for (size_t i = 0; i < files->len && !failed; i++) {
        const char *path = files->at[i];
        struct stat st;
        u64 size = 0;
        if (!str_starts(path, etc) || strchr(path + strlen(etc), '/') || is_meeting_place(path) ||
            lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || !is_open(path, &st) ||
            dpkg_is_shared(dpkg, path, family))
            continue;
        failed = tree_add_host(tree, path, err);
        if (!failed)
            failed = add_below(tree, path, 0, &size, err);
    }
    return failed;
}

int configured_add_kept(struct tree *tree, const struct strs *family, struct err *err)
{
    static const char *const places[] = {"/var/lib", "/var/cache", "/var/log", "/var/spool"};
    int failed = 0;

    for (size_t i = 0; i < family->len * ARRAY_LEN(places) && !failed; i++) {
        char *path CLEANUP(mem_free) =
            str_printf("%s/%s", places[i % ARRAY_LEN(places)], family->at[i / ARRAY_LEN(places)]);
        struct stat st;
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && is_service(st.st_uid) &&
            !tree_find(tree, path))
            failed = tree_add_host(tree, path, err);
    }
    return failed ? err_prefix(err, "where its package keeps something") : 0;
}

/* ---- what configuration names ---- */

/* Files that the guest has of its own. */
static bool is_guests(const char *path)
{
    static const char *const files[] = {"/etc/passwd", "/etc/group",       "/etc/shadow",
                                        "/etc/hosts",  "/etc/resolv.conf", "/etc/hostname",
                                        "/etc/fstab",  "/etc/mtab"};

    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (strcmp(path, files[i]) == 0)
            return true;
    return false;
}

/* The folder below /run that a file is to be made in, for whom the configuration @by is. */
static int add_run_folder(struct tree *tree, const char *path, const struct tree_node *by,
                          struct err *err)
{
    const char *below = path + (str_starts(path, "/var/run/") ? strlen("/var/run/") : 0);
    u32 uid = by->uid, gid = by->gid;

    below = below > path ? below : str_starts(path, "/run/") ? path + strlen("/run/") : "";
    size_t len = strcspn(below, "/");
    if (!len || !below[len] || *below == '.')
        return 0;
    char *folder CLEANUP(mem_free) = str_printf("/run/%.*s", (int)len, below);
    if (tree_find(tree, folder))
        return 0;
    int failed = tree_add_dir(tree, folder, 0755, err);
    struct tree_node *node = failed ? NULL : tree_find(tree, folder);
    if (node && is_service(uid)) {
        node->uid = uid;
        node->gid = gid;
    }
    return failed;
}

/* A file of data that is not in the image yet; of folders those that something is kept in. */
static int add_named(struct tree *tree, const char *path, size_t *count, struct err *err)
{
    static const char *const places[] = {"/etc/",       "/usr/share/", "/usr/lib/", "/var/lib/",
                                         "/var/cache/", "/var/spool/", "/var/log/"};
    struct stat st;
    bool fits = false;

    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        fits |= str_starts(path, places[i]) && path[strlen(places[i])];
    if (!fits || str_starts(path, "/usr/share/doc/") || strstr(path, "/../") || is_guests(path) ||
        *count == CONFIGURED_NAMED_MAX || tree_find(tree, path) || !is_open(path, &st))
        return 0;
    if (S_ISDIR(st.st_mode) ? !str_starts(path, "/var/")
                            : st.st_mode & 0111 || st.st_size > CONFIGURED_FILE_MAX)
        return 0;
    (*count)++;
    return tree_add_host(tree, path, err);
}

/* Every absolute path of a line, but for remarks. */
static int scan_line(struct tree *tree, const struct tree_node *by, char *line, size_t *count,
                     struct err *err)
{
    int failed = 0;

    line += strspn(line, " \t");
    if (strchr("#;!", *line) || str_starts(line, "//"))
        return 0;
    for (char *at = line; !failed && (at = strchr(at, '/'));) {
        bool begins = at == line || strchr(" \t=:,\"'(<", at[-1]);
        size_t len = 0;
        while (isalnum((u8)at[len]) || (at[len] && strchr("/._+@-", at[len])))
            len++;
        char *path CLEANUP(mem_free) = str_printf("%.*s", (int)len, at);
        if (begins && !strpbrk(at + len, "*?") && !str_starts(at + len, "$"))
            failed = add_named(tree, path, count, err);
        if (begins && !failed)
            failed = add_run_folder(tree, path, by, err);
        at += len;
    }
    return failed;
}

static int scan_file(struct tree *tree, const struct tree_node *by, size_t *count, struct err *err)
{
    struct buf text CLEANUP(buf_free) = {0};
    int failed = 0;
    char *line;

    if (fs_read(by->source, CONFIGURED_FILE_MAX, &text, &(struct err){0}) || !text.len ||
        memchr(text.data, 0, text.len))
        return 0;
    for (char *rest = text.data; !failed && (line = strsep(&rest, "\n"));)
        failed = scan_line(tree, by, line, count, err);
    return failed;
}

int configured_add_named(struct tree *tree, struct err *err)
{
    size_t count = 0;
    int failed = 0;

    /* The tree grows while we walk it: what is named may name more. */
    for (size_t i = 0; i < tree->len && !failed; i++) {
        const struct tree_node *node = tree->nodes[i];
        bool enabled = node->kind == TREE_LINK;
        if (!str_starts(node->path, "/etc/") || node->kind == TREE_DIR)
            continue;
        if (enabled)
            node = tree_follow(tree, node->path);
        if (node && node->kind == TREE_FILE && (enabled || !strstr(node->path, "-available/")))
            failed = scan_file(tree, node, &count, err);
    }
    return failed ? err_prefix(err, "what its configuration names") : 0;
}
