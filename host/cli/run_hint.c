/* A word for a user whose program failed: which files it looked for in vain that this machine has.
 * A guess, so it is short, and said only where the image was made for this very run. */
#include "cli/run_priv.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HINT_FILES_MAX = 3,
};

bool run_hints(const struct run_options *options)
{
    return options->of_this_machine && !options->quiet && !options->detach;
}

/* What every program looks for and does without. */
static bool is_usual(const char *path)
{
    static const char *const beginnings[] = {
        "/etc/ld.so.",    "/etc/ld-musl-",  "/usr/lib/locale/", "/usr/share/locale",
        "/etc/localtime", "/etc/nsswitch.", "/etc/selinux",     "/usr/share/zoneinfo",
        "/etc/terminfo",  "/run/",          "/var/run/",        "/root/",
        "/etc/host.conf", "/usr/lib/ssl/",  "/etc/gai.conf",
    };

    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
        if (str_starts(path, beginnings[i]))
            return true;
    return strstr(path, "/glibc-hwcaps/") || strstr(path, "/gconv/");
}

/* Is it a program in a folder of programs? */
static bool is_program(const char *path, const struct stat *st)
{
    const char *name = fs_name(path);

    return S_ISREG(st->st_mode) && access(path, X_OK) == 0 && name - path >= 4 &&
           (strncmp(name - 4, "bin/", 4) == 0);
}

void run_hint(const struct strs *missed)
{
    struct strs files CLEANUP(strs_free) = {0}, words CLEANUP(strs_free) = {0};
    struct buf line CLEANUP(buf_free) = {0};
    struct stat st;

    for (size_t i = 0; i < missed->len && files.len < HINT_FILES_MAX; i++) {
        const char *path = missed->at[i];
        if (is_usual(path) || stat(path, &st) || !S_ISREG(st.st_mode))
            continue;
        char *word CLEANUP(mem_free) = is_program(path, &st)
                                           ? str_printf("--allow-exec %s", fs_name(path))
                                           : str_printf("--file %s:%s", path, path);
        if (strs_has(&words, word)) /* /bin/sed and /usr/bin/sed */
            continue;
        strs_add(&files, path);
        strs_add(&words, word);
    }
    if (!files.len)
        return;
    for (size_t i = 0; i < files.len; i++)
        buf_printf(&line, "%s%s", i ? ", " : "", files.at[i]);
    buf_puts(&line, "; to bring it along:");
    for (size_t i = 0; i < words.len; i++)
        buf_printf(&line, " %s", words.at[i]);
    fprintf(stderr, "ingot run: it looked in vain for what this machine has: %s\n",
            buf_text(&line));
}
