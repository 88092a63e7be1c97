/* What the words of the command line name: `ingot run /usr/bin/python3 app.py` brings app.py along,
 * and the modules that it imports, as its user expects who runs the program here.  Only files in
 * the current folder or below it are brought, whole arguments that name them, and only for a
 * program of this machine: an image's own files stay what they are. */
#include "cli/run_priv.h"
#include "image/imports.h"
#include "image/jar.h"
#include "image/modules.h"
#include "image/script.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CLASSES_MAX = 1024, /* archives and folders of a class path */
};

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

/* A file or folder, as a path from the current folder or an absolute one. */
static void bring(struct run_options *options, const char *path, const char *cwd)
{
    if (is_odd(path))
        return;
    if (*path == '/') {
        if (is_below(path, cwd))
            strs_take(&options->files, str_printf("%s:%s", path, path));
        return;
    }
    const char *name = path;
    while (str_starts(name, "./"))
        name += strspn(name + 1, "/") + 1;
    char *there CLEANUP(mem_free) = fs_join(options->workdir ? options->workdir : "/", name);
    strs_take(&options->files, str_printf("%s:%s", path, there));
}

/* The language of a script by its first line, or of an interpreter by its name; or NULL. */
static const char *language_of_target(const char *target)
{
    struct script script CLEANUP(script_free) = {0};
    int fd CLEANUP(fd_close) = open(target, O_RDONLY | O_CLOEXEC);
    u8 line[256];
    ssize_t len = fd < 0 ? -1 : read(fd, line, sizeof(line));

    if (len <= 0 || !script_parse(line, (size_t)len, &script))
        return imports_language(target);
    const char *language = imports_language(script.interpreter);
    return language || !script.argument ? language : imports_language(script.argument);
}

static bool is_one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(word, *list) != 0)
        list++;
    return *list;
}

/* What a word means to an interpreter or a script, after the word @before: a script, a text of the
 * language, a module; or, as servers name what they serve, "module" and "module:object". */
static void scan_word(struct imports *imports, const char *language, const char *before,
                      const char *word)
{
    static const char *const texts[] = {"-c", "-e", "-E", "--eval", "-p", "--print", NULL};
    static const char *const modules[] = {"-m", "-r", "-M", "--require", NULL};
    struct imports beside CLEANUP(imports_free) = {0};
    char *name CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(word, ":="), word);

    if (is_one_of(before, texts)) {
        imports_scan_text(imports, language, word, ".");
    } else if (is_one_of(before, modules)) {
        imports_add(imports, language, strstr(word, "::") ? word : name, ".");
    } else if (*word == '-' && word[1] && strchr("Mr", word[1])) { /* perl -MFoo::Bar */
        imports_add(imports, language, word + 2, ".");
    } else if (*word != '-' && is_file(word)) {
        imports_scan_file(imports, language, word);
    } else if (*word != '-' && *word) {
        imports_add(&beside, language, name, "."); /* only if it is here */
        strs_add_all(&imports->files, &beside.files);
        if (beside.files.len)
            strs_add_all(&imports->names, &beside.names);
    }
}

static void bring_modules(struct run_options *options, const char *target, char *const *args,
                          const char *cwd)
{
    struct imports imports CLEANUP(imports_free) = {0};
    const char *language = language_of_target(target), *before = "";

    if (!language)
        return;
    for (; *args; before = *args++)
        scan_word(&imports, language, before, *args);
    for (size_t i = 0; i < imports.files.len; i++)
        bring(options, imports.files.at[i], cwd);
    modules_installed(&imports.names, target, &options->imports);
}

/* ---- class paths ---- */

/* What a run's class path has brought so far. */
struct classes {
    struct run_options *options;
    const char *cwd;
    struct strs seen; /* archives, which may name each other */
};

static void classes_free(struct classes *c)
{
    strs_free(&c->seen);
}

/* An archive is code wherever it lies, with what its package has and its manifest names; of
 * folders, as of all else, only those below this one. */
static void bring_classes(struct classes *c, const char *path)
{
    struct run_options *options = c->options;
    struct strs words CLEANUP(strs_free) = {0};

    if (strs_has(&c->seen, path) || c->seen.len == CLASSES_MAX || !fs_exists(path))
        return;
    strs_add(&c->seen, path);
    bool archive = str_ends(path, ".jar") && is_file(path);
    if (archive && *path == '/' && !is_odd(path))
        strs_take(&options->files, str_printf("%s:%s", path, path));
    else
        bring(options, path, c->cwd);
    if (!archive)
        return;
    if (str_starts(path, "/usr/"))
        strs_take(&options->imports, str_printf("java:%s", path));
    jar_class_path(path, &words);
    for (size_t i = 0; i < words.len; i++) {
        char *near CLEANUP(mem_free) =
            str_printf("%.*s%s", (int)(fs_name(path) - path), path, words.at[i]);
        bring_classes(c, *words.at[i] == '/' ? words.at[i] : near);
    }
}

static void bring_archives(struct classes *c, const char *folder)
{
    DIR *dir = opendir(folder);

    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        if (str_ends(entry->d_name, ".jar")) {
            char *path CLEANUP(mem_free) = fs_join(folder, entry->d_name);
            bring_classes(c, path);
        }
    if (dir)
        closedir(dir);
}

/* What "-cp a.jar:classes:lib/" followed by a star names; java(1). */
static void bring_class_path(struct classes *c, const char *list)
{
    char *text CLEANUP(mem_free) = str_dup(list), *rest = text;

    for (char *entry; (entry = strsep(&rest, ":"));) {
        size_t len = strlen(entry);
        if (len > 1 && str_ends(entry, "/*")) {
            entry[len - 2] = 0;
            bring_archives(c, *entry ? entry : "/");
        } else if (len) {
            bring_classes(c, entry);
        }
    }
}

/* java's options end with the archive or the class; what follows is the program's own. */
static void bring_java(struct run_options *options, char *const *args, const char *cwd)
{
    static const char *const lists[] = {"-cp", "-classpath",    "--class-path",
                                        "-p",  "--module-path", NULL};
    struct classes c CLEANUP(classes_free) = {.options = options, .cwd = cwd};

    for (; *args && **args == '-'; args++) {
        if (is_one_of(*args, lists) && args[1])
            bring_class_path(&c, *++args);
        else if (str_starts(*args, "--class-path=") || str_starts(*args, "--module-path="))
            bring_class_path(&c, strchr(*args, '=') + 1);
        else if (strcmp(*args, "-jar") == 0 && args[1])
            return bring_classes(&c, args[1]);
    }
}

/* Files that a program looks for in the current folder when no word names one. */
static const struct {
    const char *program;
    const char *files[4];
} taken[] = {
    {"rackup", {"config.ru"}},
    {"thin", {"config.ru"}},
    {"puma", {"config.ru", "config/puma.rb"}},
    {"unicorn", {"config.ru"}},
    {"rake", {"Rakefile"}},
    {"flask", {"app.py", "wsgi.py"}},
    {"gunicorn", {"gunicorn.conf.py"}},
    {"make", {"GNUmakefile", "makefile", "Makefile"}},
    {"gmake", {"GNUmakefile", "makefile", "Makefile"}},
    {"caddy", {"Caddyfile"}},
};

static void bring_taken(struct run_options *options, const char *target, const char *cwd)
{
    struct imports imports CLEANUP(imports_free) = {0};
    const char *language = language_of_target(target);

    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        if (strcmp(fs_name(target), taken[i].program) != 0)
            continue;
        for (const char *const *file = taken[i].files; *file; file++) {
            if (!is_file(*file))
                continue;
            bring(options, *file, cwd);
            imports_scan_file(&imports, language, *file);
        }
    }
    for (size_t i = 0; i < imports.files.len; i++)
        bring(options, imports.files.at[i], cwd);
    modules_installed(&imports.names, target, &options->imports);
}

void run_bring_named(struct run_options *options, const char *target, char *const *args)
{
    char *cwd CLEANUP(mem_free) = getcwd(NULL, 0);

    options->of_this_machine = fs_exists(target);
    if (!cwd || (*target != '/' && *target != '.') || !is_file(target))
        return;
    struct strs said = options->files; /* what was said outright comes last, and stands */
    options->files = (struct strs){0};
    for (char *const *arg = args; *arg; arg++)
        if (**arg != '-' && is_file(*arg))
            bring(options, *arg, cwd);
    bring_modules(options, target, args, cwd);
    bring_taken(options, target, cwd);
    if (strcmp(fs_name(target), "java") == 0)
        bring_java(options, args, cwd);
    strs_add_all(&options->files, &said);
    strs_free(&said);
}
