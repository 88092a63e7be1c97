/* Files that the words of the command line name: `ingot run /usr/bin/python3 app.py` brings app.py
 * along, as its user expects who runs the program here.  Only files in the current folder or below
 * it are brought, whole arguments that name them, and only for a program of this machine: an
 * image's own files stay what they are. */
#include "cli/run_priv.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_file(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* Does a component lead upwards, or would a pair of paths be read otherwise? */
static bool is_odd(const char *path)
{
    return strchr(path, ':') || str_starts(path, "../") || strstr(path, "/../") ||
           str_ends(path, "/..");
}

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return len > 1 && !strncmp(path, folder, len) && path[len] == '/';
}

static void bring(struct run_options *options, const char *word, const char *cwd)
{
    if (!*word || *word == '-' || is_odd(word) || !is_file(word))
        return;
    if (*word == '/') {
        if (is_below(word, cwd))
            strs_take(&options->files, str_printf("%s:%s", word, word));
        return;
    }
    const char *name = word;
    while (str_starts(name, "./"))
        name += strspn(name + 1, "/") + 1;
    char *there CLEANUP(mem_free) = fs_join(options->workdir ? options->workdir : "/", name);
    strs_take(&options->files, str_printf("%s:%s", word, there));
}

void run_bring_named(struct run_options *options, const char *target, char *const *args)
{
    char *cwd CLEANUP(mem_free) = getcwd(NULL, 0);

    if (!cwd || (*target != '/' && *target != '.') || !is_file(target))
        return;
    struct strs said = options->files; /* what was said outright comes last, and stands */
    options->files = (struct strs){0};
    for (; *args; args++)
        bring(options, *args, cwd);
    strs_add_all(&options->files, &said);
    strs_free(&said);
}
