/* C and C++ become programs.  Nothing is written outside of the scratch folder. */
#include "image/source.h"

#include "image/builder.h"
#include "image/container.h"
#include "image/project.h"
#include "image/recipe.h"
#include "image/scripts.h"
#include "image/target.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

static bool source_is_c(const char *name)
{
    return str_ends(name, ".c");
}

static bool source_is_cxx(const char *name)
{
    return str_ends(name, ".cc") || str_ends(name, ".cpp") || str_ends(name, ".cxx") ||
           str_ends(name, ".C");
}

static void source_add_words(struct strs *argv, const char *text)
{
    char *copy CLEANUP(mem_free) = str_dup(text), *rest = copy, *word;

    while ((word = strsep(&rest, " \t\n")))
        if (*word)
            strs_add(argv, word);
}

static const char *source_env(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

/* One compiler call. @files are C, or C++ if any of them is. */
struct compile {
    const struct strs *files;
    const char *out, *deps; /* program and list of headers to write */
    const char *scratch;
    bool is_static;
};

static void compile_argv(const struct compile *c, struct strs *argv)
{
    bool cxx = false;

    for (size_t i = 0; i < c->files->len; i++)
        cxx |= source_is_cxx(c->files->at[i]);
    source_add_words(argv, cxx ? source_env("CXX", "g++") : source_env("CC", "gcc"));
    source_add_words(argv, source_env(cxx ? "CXXFLAGS" : "CFLAGS", "-O2"));
    strs_take(argv, str_printf("-ffile-prefix-map=%s=.", c->scratch));
    strs_add(argv, "-MMD");
    strs_take(argv, str_printf("-MF%s", c->deps));
    if (c->is_static) {
        strs_add(argv, "-static");
        strs_add(argv, "-Wl,--fatal-warnings"); /* "requires at runtime the shared libraries" */
    }
    strs_add(argv, "-o");
    strs_add(argv, c->out);
    strs_add_all(argv, c->files);
    source_add_words(argv, source_env("LDFLAGS", ""));
    source_add_words(argv, source_env("LDLIBS", ""));
    strs_add(argv, "-pthread");
    strs_add(argv, "-lm");
}

/* Returns the compiler's status; what it says is appended to @said. */
static int compile_run(const struct compile *c, struct buf *said, struct err *err)
{
    struct strs argv CLEANUP(strs_free) = {0};

    compile_argv(c, &argv);
    return proc_run(
        &(struct proc){.argv = (const char *const *)argv.at, .out = said, .errors = said}, err);
}

/* The headers of a make rule that the compiler wrote: "out: a.c b.h \<newline> c.h". */
static void source_depend(struct tree *tree, const char *rule, const char *cwd)
{
    struct buf text CLEANUP(buf_free) = {0};

    if (fs_read(rule, MIB(16), &text, NULL) < 0)
        return;
    char *rest = strchr(buf_text(&text), ':'), *word;
    rest = rest ? rest + 1 : NULL;
    while ((word = strsep(&rest, " \n\\"))) {
        char *path CLEANUP(mem_free) = *word ? path_clean(cwd, word) : NULL;
        if (path)
            tree_depend(tree, path);
    }
}

/* Static where it links so, since that starts quicker and needs less; else dynamic. */
static int source_compile(struct builder *b, const struct strs *files, const char *name,
                          struct err *err)
{
    char *built CLEANUP(mem_free) = fs_join(b->scratch, "built");
    char *out CLEANUP(mem_free) = fs_join(built, name);
    char *deps CLEANUP(mem_free) = fs_join(b->scratch, "deps");
    struct compile c = {.files = files, .out = out, .deps = deps, .scratch = b->scratch};
    struct buf said CLEANUP(buf_free) = {0};

    int failed = fs_mkdirs(built, err);
    if (failed)
        return failed;
    builder_progress(b, "compiling %s", name);
    c.is_static = true;
    int status = compile_run(&c, &said, err);
    if (status > 0) {
        said.len = 0;
        c.is_static = false;
        status = compile_run(&c, &said, err);
    }
    if (status < 0)
        return status;
    fwrite(said.data, 1, said.len, stderr);
    if (status > 0)
        return err_set(err, EINVAL, "%s: does not compile", files->at[0]);
    char *cwd CLEANUP(mem_free) = fs_real(".", NULL);
    for (size_t i = 0; i < files->len; i++) {
        char *path CLEANUP(mem_free) = path_clean(cwd ? cwd : "/", files->at[i]);
        tree_depend(&b->tree, path);
    }
    source_depend(&b->tree, deps, cwd ? cwd : "/");
    b->tree.built = TAKE(built, NULL);
    return builder_add_program(b, out, &b->config.entrypoint, err);
}

static char *source_name(const char *path)
{
    char *real CLEANUP(mem_free) = fs_real(path, NULL);
    const char *name = strrchr(real ? real : path, '/');

    name = name ? name + 1 : path;
    const char *dot = fs_is_dir(path) ? NULL : strrchr(name, '.');
    return dot ? str_printf("%.*s", (int)(dot - name), name) : str_dup(*name ? name : "program");
}

static int source_visible(const struct dirent *entry)
{
    return source_is_c(entry->d_name) || source_is_cxx(entry->d_name);
}

/* A folder without any recipe: all its sources are one program. */
static int source_add_folder(struct builder *b, const char *path, const char *name, struct err *err)
{
    struct strs files CLEANUP(strs_free) = {0};
    struct dirent **names;

    int count = scandir(path, &names, source_visible, alphasort);
    if (count < 0)
        return err_errno(err, errno, "%s", path);
    for (int i = 0; i < count; i++) {
        strs_take(&files, fs_join(path, names[i]->d_name));
        free(names[i]);
    }
    free(names);
    char *real CLEANUP(mem_free) = fs_real(path, err);
    if (!real)
        return -err->code;
    tree_depend(&b->tree, real);
    return source_compile(b, &files, name, err);
}

int source_add(struct builder *b, const struct target *target, struct err *err)
{
    char *name CLEANUP(mem_free) = source_name(target->path);
    struct strs files CLEANUP(strs_free) = {0};

    switch (target->kind) {
    case TARGET_SOURCE:
        strs_add(&files, target->path);
        return source_compile(b, &files, name, err);
    case TARGET_SOURCES:
        return source_add_folder(b, target->path, name, err);
    case TARGET_INGOTFILE:
        return recipe_apply(b, target->path, target->recipe, err);
    case TARGET_CONTAINER:
        return container_add(b, target, err);
    case TARGET_SCRIPTS:
        return scripts_add(b, target->path, err);
    default:
        return project_add(b, target, err);
    }
}
