/* Programs: ELF executables, and scripts with the interpreter that their first line names. */
#include "image/builder.h"

#include "image/config.h"
#include "image/imports.h"
#include "image/languages.h"
#include "image/script.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PROGRAM_SCRIPTS_MAX = 4, /* scripts that are each other's interpreter, as Linux has it */
};

/* Is this file an ELF program of this machine? */
static bool program_is_elf(const char *path)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    struct elf_file elf CLEANUP(elf_file_free) = {0};

    return access(path, X_OK) == 0 && !fs_is_dir(path) && elf_map(path, &map, NULL) == 0 &&
           elf_parse(map.data, map.len, &elf, NULL) == 0;
}

/* Does it begin as an ELF file does, executable or not? */
static bool program_has_elf(const char *path)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};

    return elf_map(path, &map, NULL) == 0 && map.len > SELFMAG &&
           memcmp(map.data, ELFMAG, SELFMAG) == 0;
}

/* The first @name in @path that fits; owned by the caller, or NULL. */
static char *program_in(const char *path, const char *name, bool (*fits)(const char *path))
{
    char *all CLEANUP(mem_free) = str_dup(path);
    char *rest = all, *dir;

    if (name[0] == '/')
        return str_dup(name);
    while ((dir = strsep(&rest, ":"))) {
        char *full CLEANUP(mem_free) = fs_join(*dir ? dir : ".", name);
        if (fits(full))
            return path_clean("/", full);
    }
    return NULL;
}

/* What `env NAME` would start; wrapper scripts are passed over for the program behind them. */
static char *program_in_path(const char *name, bool (*fits)(const char *path))
{
    const char *path = getenv("PATH");

    return program_in(path ? path : "/usr/local/bin:/usr/bin:/bin", name, fits);
}

static int program_add(struct builder *b, const char *path, struct strs *argv, int scripts,
                       struct err *err);

/* `#!/usr/bin/env [-S] NAME [ARG...]`: the guest need not search what we have found. */
static int program_add_env(struct builder *b, const struct script *script, struct strs *argv,
                           int scripts, struct err *err)
{
    char *copy CLEANUP(mem_free) = str_dup(script->argument);
    char *rest = copy, *word = NULL;
    bool split = str_starts(copy, "-S");

    rest += split ? 2 : 0;
    while (rest && (!word || !*word || strchr(word, '=')))
        word = split ? strsep(&rest, " \t") : TAKE(rest, NULL);
    if (!word || !*word || word[0] == '-')
        return err_set(err, ENOEXEC, "cannot tell what '#!%s %s' starts", script->interpreter,
                       script->argument);
    char *found CLEANUP(mem_free) = program_in_path(word, program_is_elf);
    if (!found)
        return err_set(err, ENOENT, "%s: interpreter not found in PATH", word);
    int failed = program_add(b, found, argv, scripts + 1, err);
    while (!failed && (word = strsep(&rest, " \t")))
        if (*word)
            strs_add(argv, word);
    return failed;
}

/* The modules that stand beside a script and that it imports. */
static int program_add_beside(struct builder *b, const char *path, struct err *err)
{
    struct imports imports CLEANUP(imports_free) = {0};
    int failed = 0;

    imports_scan_file(&imports, b->program ? imports_language(b->program) : NULL, path);
    for (size_t i = 0; i < imports.files.len && !failed; i++) {
        failed = tree_add_host(&b->tree, imports.files.at[i], err);
        if (!failed && fs_is_dir(imports.files.at[i]))
            failed = tree_add_tree(&b->tree, imports.files.at[i], imports.files.at[i], NULL, err);
    }
    return failed;
}

static int program_add_script(struct builder *b, const char *path, const struct script *script,
                              struct strs *argv, int scripts, struct err *err)
{
    const char *base = strrchr(script->interpreter, '/');
    int failed;

    if (scripts == PROGRAM_SCRIPTS_MAX)
        return err_errno(err, ELOOP, "%s: its interpreters are scripts themselves", path);
    if (base && strcmp(base, "/env") == 0 && script->argument) {
        failed = program_add_env(b, script, argv, scripts, err);
    } else {
        failed = program_add(b, script->interpreter, argv, scripts + 1, err);
        if (!failed && script->argument)
            strs_add(argv, script->argument);
    }
    if (failed)
        return err_prefix(err, "interpreter of %s", path);
    char *guest CLEANUP(mem_free) = tree_guest_path(&b->tree, path);
    strs_add(argv, guest);
    strs_add(&b->scripts, guest);
    failed = tree_add_host(&b->tree, path, err);
    return failed ? failed : program_add_beside(b, path, err);
}

static int program_add_elf(struct builder *b, const char *path, struct strs *argv, struct err *err)
{
    if (access(path, X_OK) < 0 && !program_has_elf(path))
        return err_set(err, ENOEXEC, "%s: neither a program nor a script", path);
    if (access(path, X_OK) < 0)
        return err_set(err, EACCES, "%s: not executable; try 'chmod +x %s'", path, path);
    int failed = closure_add_program(&b->closure, path, false, err);
    if (failed)
        return failed;
    char *guest CLEANUP(mem_free) = tree_guest_path(&b->tree, path);
    strs_add(argv, guest);
    if (!b->program)
        b->program = fs_real(path, err);
    return b->program ? 0 : -err->code;
}

static int program_add(struct builder *b, const char *path, struct strs *argv, int scripts,
                       struct err *err)
{
    struct script script CLEANUP(script_free) = {0};
    struct elf_map map CLEANUP(elf_unmap) = {0};

    int failed = elf_map(path, &map, err);
    if (failed)
        return failed;
    if (script_parse(map.data, map.len, &script))
        return program_add_script(b, path, &script, argv, scripts, err);
    return program_add_elf(b, path, argv, err);
}

int builder_complete_program(struct builder *b, const char *host, struct err *err)
{
    if (!program_is_elf(host))
        return 0;
    b->program = str_dup(host);
    return closure_add_program(&b->closure, host, true, err);
}

/* A script that says by its name alone what runs it: "app.py". */
static bool program_is_bare(const char *path)
{
    struct script script CLEANUP(script_free) = {0};
    struct elf_map map CLEANUP(elf_unmap) = {0};

    return language_interpreter(path) && elf_map(path, &map, NULL) == 0 &&
           !script_parse(map.data, map.len, &script) && !program_has_elf(path);
}

int builder_add_program(struct builder *b, const char *path, struct strs *argv, struct err *err)
{
    char *cwd CLEANUP(mem_free) = fs_real(".", err);

    if (!cwd)
        return -err->code;
    char *clean CLEANUP(mem_free) = path_clean(cwd, path);
    if (!program_is_bare(clean))
        return program_add(b, clean, argv, 0, err);
    struct script script CLEANUP(script_free) = {
        .interpreter = str_dup("/usr/bin/env"),
        .argument = str_dup(fs_name(language_interpreter(clean))),
    };
    return program_add_script(b, clean, &script, argv, 0, err);
}

void builder_allow_exec(struct builder *b, const char *word)
{
    const char *old = config_getenv(&b->config.labels, "org.ingot.exec");
    char *label CLEANUP(mem_free) =
        str_printf("org.ingot.exec=%s%s%s", old ? old : "", old && *old ? ":" : "", word);

    config_setenv(&b->config.labels, label);
}

static bool exec_is_runnable(const char *path)
{
    return access(path, X_OK) == 0 && !fs_is_dir(path);
}

/* What a program of the guest starts by @name: the guest's own PATH goes first, since what only
 * ours has, such as a version manager's script of that name, is found by nobody there. */
static char *program_of_guest(const struct builder *b, const char *name)
{
    const char *path = config_getenv(&b->config.env, "PATH");
    char *found = path ? program_in(path, name, exec_is_runnable) : NULL;

    return found ? found : program_in_path(name, exec_is_runnable);
}

/* The kernel starts a script by its first line, word for word: `env` and what that finds. */
static int exec_add_env(struct builder *b, const char *path, const struct strs *argv,
                        struct err *err)
{
    struct script script CLEANUP(script_free) = {0};
    struct elf_map map CLEANUP(elf_unmap) = {0};

    int failed = elf_map(path, &map, err);
    if (failed || !script_parse(map.data, map.len, &script) ||
        strcmp(fs_name(script.interpreter), "env") != 0)
        return failed;
    if (config_getenv(&b->config.labels, "org.ingot.exec")) /* else whatever the image holds may */
        builder_allow_exec(b, argv->at[0]);
    return closure_add_program(&b->closure, script.interpreter, false, err);
}

/* A program that may be started, with all it needs, by its path or its name. */
static int exec_add(struct builder *b, const char *path, struct err *err)
{
    struct strs argv CLEANUP(strs_free) = {0};
    char *program = TAKE(b->program, NULL); /* stays what it was, if there was one */
    size_t scripts = b->scripts.len;

    int failed = program_add(b, path, &argv, 0, err);
    if (!failed)
        failed = exec_add_env(b, path, &argv, err);
    if (b->program)
        strs_take(&b->started, b->program);
    b->program = program;
    while (b->scripts.len > scripts) /* in whatever language they are */
        free(b->scripts.at[--b->scripts.len]);
    char *old CLEANUP(mem_free) = str_printf("/bin/%s", fs_name(path));
    if (!failed && exec_is_runnable(old)) /* where programs have looked for it since 1971 */
        failed = tree_add_host(&b->tree, old, err);
    return failed;
}

int builder_add_started(struct builder *b, const char *name, struct err *err)
{
    char *path CLEANUP(mem_free) = program_of_guest(b, name);

    if (!path)
        return 0;
    if (b->opts->exec && b->opts->exec->len) /* else whatever the image holds may start */
        builder_allow_exec(b, name);
    return exec_add(b, path, err);
}

int builder_add_exec(struct builder *b, const char *word, struct err *err)
{
    const struct tree_node *node = word[0] == '/' ? tree_follow(&b->tree, word) : NULL;

    if (!*word || strpbrk(word, ": \t\n"))
        return err_set(err, EINVAL, "'%s': write one path or name, without blanks and colons",
                       word);
    builder_allow_exec(b, word);
    if (word[0] == '@' && strcmp(word, "@image") != 0 && strcmp(word, "@any") != 0)
        return err_set(err, EINVAL, "'%s': neither '@image' nor '@any'", word);
    if (word[0] == '@' || str_ends(word, "/"))
        return 0;
    if (node && node->kind == TREE_FILE)
        return program_is_elf(node->source)
                   ? closure_add_program(&b->closure, node->source, true, err)
                   : 0;
    char *path CLEANUP(mem_free) = program_of_guest(b, word);
    if (!path || !exec_is_runnable(path))
        return b->scratch_base ? err_set(err, ENOENT, "'%s': no such program", word) : 0;
    return exec_add(b, path, err);
}
