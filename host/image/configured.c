#include "image/configured.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <string.h>
#include <sys/stat.h>

enum {
    CONFIGURED_FILE_MAX = MIB(1),
    CONFIGURED_MAX = MIB(8),
    CONFIGURED_DEPTH_MAX = 6,
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

/* May everybody read what @path leads to? */
static bool is_public(const char *path, struct stat *st)
{
    mode_t needed = S_IROTH;

    if (stat(path, st) < 0)
        return false;
    if (S_ISDIR(st->st_mode))
        needed |= S_IXOTH;
    return (st->st_mode & needed) == needed && (S_ISDIR(st->st_mode) || S_ISREG(st->st_mode));
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
        if (lstat(path, &own) < 0 || !is_public(path, &st))
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
            lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || !is_public(path, &st) ||
            dpkg_is_shared(dpkg, path, family))
            continue;
        failed = tree_add_host(tree, path, err);
        if (!failed)
            failed = add_below(tree, path, 0, &size, err);
    }
    return failed;
}
