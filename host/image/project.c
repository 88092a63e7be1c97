#include "image/project.h"

#include "image/builder.h"
#include "image/target.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"

#include <errno.h>
#include <string.h>

/* Build folders of our own, so that what a user built there before is not in the way. */
#define PROJECT_BUILD ".ingot-build"

/* What is run, in order, inside the copy. */
static const char *const project_make[][8] = {{"make"}, {NULL}};
static const char *const project_cmake[][8] = {
    {"cmake", "-S", ".", "-B", PROJECT_BUILD, "-DCMAKE_BUILD_TYPE=Release",
     "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON"},
    {"cmake", "--build", PROJECT_BUILD},
    {NULL},
};
static const char *const project_meson[][8] = {
    {"meson", "setup", PROJECT_BUILD, "--buildtype=release"},
    {"meson", "compile", "-C", PROJECT_BUILD},
    {NULL},
};

static const char *const project_cargo[][8] = {{"cargo", "build", "--release", "--quiet"}, {NULL}};
static const char *const project_go[][8] = {
    {"go", "build", "-buildvcs=false", "-o", PROJECT_BUILD "/", "./..."},
    {NULL},
};

static const char *const (*project_steps(enum target_kind kind))[8]
{
    switch (kind) {
    case TARGET_CMAKE:
        return project_cmake;
    case TARGET_MESON:
        return project_meson;
    case TARGET_CARGO:
        return project_cargo;
    case TARGET_GO:
        return project_go;
    default:
        return project_make;
    }
}

static int project_step(const char *folder, const char *copy, const char *const *argv,
                        struct err *err)
{
    struct buf said CLEANUP(buf_free) = {0};
    int status =
        proc_run(&(struct proc){.argv = argv, .cwd = copy, .out = &said, .errors = &said}, err);

    if (status <= 0)
        return status;
    fwrite(said.data, 1, said.len, stderr);
    return err_set(err, EINVAL, "%s: '%s' failed with status %d", folder, argv[0], status);
}

/* Copies the folder; what it consists of is what the build depends on. */
static int project_copy(struct builder *b, const char *folder, bool cargo, const char *copy,
                        struct err *err)
{
    const char *const skip[] = {".git", PROJECT_BUILD, cargo ? "target" : NULL, NULL};
    struct tree files CLEANUP(tree_free) = {0};

    int failed = tree_add_tree(&files, "/", folder, skip, err);
    if (failed)
        return failed;
    for (size_t i = 0; i < files.deps.len; i++)
        tree_depend(&b->tree, files.deps.at[i]);
    return tree_write(&files, copy, err);
}

static bool project_is_program(const char *path)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    struct elf_file elf CLEANUP(elf_file_free) = {0};

    if (access(path, X_OK) < 0 || elf_map(path, &map, NULL) < 0 ||
        elf_parse(map.data, map.len, &elf, NULL) < 0)
        return false;
    return elf.kind == ELF_EXEC || elf.interp || elf.pie;
}

/* All programs in the copy, but for what build tools make to find out about the compiler. */
static int project_programs(const char *copy, struct strs *programs, struct err *err)
{
    static const char *const skip[] = {"CMakeFiles", "meson-private", "target/release/build",
                                       "target/release/deps", NULL};
    struct tree files CLEANUP(tree_free) = {0};

    int failed = tree_add_tree(&files, "/", copy, skip, err);
    for (size_t i = 0; !failed && i < files.len; i++) {
        const struct tree_node *node = files.nodes[i];
        if (node->kind == TREE_FILE && project_is_program(node->source))
            strs_add(programs, node->source);
    }
    return failed;
}

/* The program called @name, or the only one.  NULL with @err set. */
static const char *project_choose(const char *folder, const struct strs *programs, const char *name,
                                  struct err *err)
{
    struct buf list CLEANUP(buf_free) = {0};

    for (size_t i = 0; i < programs->len; i++) {
        if (name && strcmp(fs_name(programs->at[i]), name) == 0)
            return programs->at[i];
        buf_printf(&list, "%s%s", i ? ", " : "", fs_name(programs->at[i]));
    }
    if (!name && programs->len == 1)
        return programs->at[0];
    if (!programs->len)
        err_set(err, ENOENT, "%s: was built, but no program came of it", folder);
    else if (name)
        err_set(err, ENOENT, "%s: no program '%s' came of it; there are: %s", folder, name,
                buf_text(&list));
    else
        err_set(err, ENOENT, "%s: several programs came of it; choose with --program: %s", folder,
                buf_text(&list));
    return NULL;
}

int project_add(struct builder *b, const struct target *target, struct err *err)
{
    char *folder CLEANUP(mem_free) = fs_real(target->path, err);
    char *copy = fs_join(b->scratch, "built");
    struct strs programs CLEANUP(strs_free) = {0};

    b->tree.built = copy;
    if (!folder)
        return -err->code;
    builder_progress(b, "building %s", target->path);
    int failed = project_copy(b, folder, target->kind == TARGET_CARGO, copy, err);
    const char *const(*step)[8] = project_steps(target->kind);
    for (; !failed && (*step)[0]; step++)
        failed = project_step(target->path, copy, *step, err);
    if (!failed)
        failed = project_programs(copy, &programs, err);
    if (failed)
        return failed;
    const char *program = project_choose(target->path, &programs, b->opts->program, err);
    return program ? builder_add_program(b, program, &b->config.entrypoint, err) : -err->code;
}
