/* ingot build: make an image of a program, a source file, a project folder or an Ingotfile. */
#include "cli/cli.h"

#include "image/config.h"
#include "image/container.h"
#include "image/reference.h"
#include "image/store.h"
#include "image/target.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct build_options {
    struct strs tags, files, with, env, labels, expose, allow, exec;
    const char *recipe, *program, *entrypoint, *workdir, *stopsignal, *compress;
    bool quiet, no_patch, seal;
};

static const struct option_spec build_specs[] = {
    {"tag", 't', OPTION_TEXTS, offsetof(struct build_options, tags), "NAME[:TAG]",
     "name of the image; repeatable"},
    {"recipe", 'f', OPTION_TEXT, offsetof(struct build_options, recipe), "FILE",
     "the Ingotfile, if it is not TARGET/Ingotfile"},
    {"file", 0, OPTION_TEXTS, offsetof(struct build_options, files), "HOST:GUEST",
     "add a file or a folder; repeatable"},
    {"with", 0, OPTION_TEXTS, offsetof(struct build_options, with), "NAME",
     "add run-time extras: zoneinfo, gconv, certificates..."},
    {"program", 0, OPTION_TEXT, offsetof(struct build_options, program), "NAME",
     "which program of a project to image"},
    {"env", 'e', OPTION_TEXTS, offsetof(struct build_options, env), "NAME=VALUE",
     "set an environment variable; repeatable"},
    {"entrypoint", 0, OPTION_TEXT, offsetof(struct build_options, entrypoint), "PATH",
     "start this instead"},
    {"workdir", 'w', OPTION_TEXT, offsetof(struct build_options, workdir), "PATH",
     "working directory of the program"},
    {"expose", 0, OPTION_TEXTS, offsetof(struct build_options, expose), "PORT[/tcp]",
     "a port that the program listens on; repeatable"},
    {"label", 'l', OPTION_TEXTS, offsetof(struct build_options, labels), "KEY=VALUE",
     "a label; repeatable"},
    {"stop-signal", 0, OPTION_TEXT, offsetof(struct build_options, stopsignal), "NAME",
     "signal that stops the program (SIGTERM)"},
    {"no-patch", 0, OPTION_FLAG, offsetof(struct build_options, no_patch), NULL,
     "leave system calls the instructions that they are"},
    {"seal", 0, OPTION_FLAG, offsetof(struct build_options, seal), NULL,
     "refuse system calls that are not in the image"},
    {"allow", 0, OPTION_TEXTS, offsetof(struct build_options, allow), "CALL",
     "a call that a sealed image may make all the same; repeatable"},
    {"allow-exec", 0, OPTION_TEXTS, offsetof(struct build_options, exec), "PROGRAM",
     "a program that it may start: a path, a name, @image or @any; repeatable"},
    {"compress", 0, OPTION_TEXT, offsetof(struct build_options, compress), "METHOD",
     "keep file data compressed: lz4, lzma or none (the default)"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct build_options, quiet), NULL,
     "print the image id only"},
    {0},
};

static void build_options_free(struct build_options *options)
{
    struct strs *const lists[] = {&options->tags,  &options->files,  &options->with,
                                  &options->env,   &options->labels, &options->expose,
                                  &options->allow, &options->exec};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        strs_free(lists[i]);
}

static int build_apply_env(struct image_config *config, const struct build_options *options,
                           struct err *err)
{
    for (size_t i = 0; i < options->env.len; i++) {
        const char *word = options->env.at[i];
        const char *value = getenv(word);
        if (strchr(word, '=') == word || !*word)
            return err_set(err, ERR_USAGE, "--env '%s': write NAME=VALUE", word);
        /* A bare name passes on what this shell has, as Docker does. */
        char *passed CLEANUP(mem_free) = str_printf("%s=%s", word, value ? value : "");
        if (strchr(word, '=') || value)
            config_setenv(&config->env, strchr(word, '=') ? word : passed);
    }
    for (size_t i = 0; i < options->labels.len; i++) {
        if (!strchr(options->labels.at[i], '='))
            return err_set(err, ERR_USAGE, "--label '%s': write KEY=VALUE", options->labels.at[i]);
        config_setenv(&config->labels, options->labels.at[i]);
    }
    return 0;
}

static int build_apply_expose(struct image_config *config, const struct build_options *options,
                              struct err *err)
{
    for (size_t i = 0; i < options->expose.len; i++) {
        const char *word = options->expose.at[i];
        char *end;
        unsigned long port = strtoul(word, &end, 10);
        if (port < 1 || port > 65535 || (*end && strcmp(end, "/tcp") && strcmp(end, "/udp")))
            return err_set(err, ERR_USAGE, "--expose '%s': write 1...65535, /tcp or /udp behind",
                           word);
        strs_take(&config->exposed, str_printf("%s%s", word, *end ? "" : "/tcp"));
    }
    return 0;
}

static void build_replace(char **text, const char *new)
{
    free(*text);
    *text = str_dup(new);
}

static int build_apply(struct image_config *config, const void *values, struct err *err)
{
    const struct build_options *options = values;

    int failed = build_apply_env(config, options, err);
    if (!failed)
        failed = build_apply_expose(config, options, err);
    if (failed)
        return failed;
    if (options->workdir && options->workdir[0] != '/')
        return err_set(err, ERR_USAGE, "--workdir '%s': write an absolute path", options->workdir);
    if (options->workdir)
        build_replace(&config->workdir, options->workdir);
    if (options->stopsignal && !config_signal(options->stopsignal))
        return err_set(err, ERR_USAGE, "--stop-signal '%s': no such signal", options->stopsignal);
    if (options->stopsignal)
        build_replace(&config->stopsignal, options->stopsignal);
    if (options->entrypoint) {
        strs_free(&config->entrypoint);
        strs_add(&config->entrypoint, options->entrypoint);
    }
    return 0;
}

/* The names to give; without --tag the target's own: "examples/hello/hello.c" is "hello". */
static int build_names(const struct build_options *options, const struct target *target,
                       struct strs *names, struct err *err)
{
    for (size_t i = 0; i < options->tags.len; i++) {
        char *name = reference_full(options->tags.at[i], err);
        if (!name)
            return -err->code;
        strs_take(names, name);
    }
    if (names->len)
        return 0;
    if (target->kind == TARGET_CONTAINER) {
        strs_take(names, container_name(target));
        return 0;
    }
    char *cwd CLEANUP(mem_free) = fs_real(".", err);
    if (!cwd)
        return -err->code;
    char *clean CLEANUP(mem_free) = path_clean(cwd, target->path);
    char *base = strrchr(clean, '/') + 1;
    char *dot = strrchr(base, '.');
    if (target->kind == TARGET_SOURCE && dot)
        *dot = 0;
    char *name CLEANUP(mem_free) = reference_from(base);
    strs_take(names, str_printf("%s:latest", name));
    return 0;
}

static int build_target(const char *word, const struct build_options *options,
                        struct target *target, struct err *err)
{
    char *program CLEANUP(mem_free) = options->recipe ? NULL : target_in_path(word);
    const char *path = program ? program : word;

    if (program && !options->quiet)
        cli_tell_path(word, program);
    if (container_word(word, &target->path, &target->which)) {
        target->kind = TARGET_CONTAINER;
        return 0;
    }
    if (!fs_exists(path))
        return strchr(word, '/') ? err_errno(err, ENOENT, "%s", word)
                                 : err_set(err, ENOENT, "%s: no program in PATH, no file", word);
    if (!options->recipe)
        return target_classify(path, target, err);
    if (!fs_is_dir(path))
        return err_set(err, ERR_USAGE, "--recipe needs a folder as TARGET, not '%s'", path);
    if (!fs_exists(options->recipe))
        return err_errno(err, ENOENT, "%s", options->recipe);
    *target = (struct target){
        .kind = TARGET_INGOTFILE, .path = str_dup(path), .recipe = str_dup(options->recipe)};
    return 0;
}

static enum erofs_compression build_compression(const struct build_options *options)
{
    return options->compress ? erofs_compression_named(options->compress)
                             : EROFS_COMPRESSION_DEFAULT;
}

static int build_image(const char *path, const struct build_options *options, struct err *err)
{
    struct target target CLEANUP(target_free) = {0};
    struct strs names CLEANUP(strs_free) = {0};
    const struct image_opts opts = {.files = &options->files,
                                    .with = &options->with,
                                    .program = options->program,
                                    .quiet = options->quiet,
                                    .no_patch = options->no_patch,
                                    .seal = options->seal,
                                    .compression = build_compression(options),
                                    .allow = &options->allow,
                                    .exec = &options->exec};
    const struct target_changes changes = {build_apply, options};
    char id[65];

    int failed = build_target(path, options, &target, err);
    if (!failed)
        failed = build_names(options, &target, &names, err);
    if (!failed)
        failed = target_build(&target, &opts, names.at[0], &changes, NULL, id, err);
    for (size_t i = 1; !failed && i < names.len; i++)
        failed = store_tag(names.at[0], names.at[i], err);
    if (failed)
        return failed;
    if (options->quiet)
        printf("sha256:%s\n", id);
    for (size_t i = 0; !options->quiet && i < names.len; i++)
        printf("%s %.12s\n", names.at[i], id);
    return 0;
}

static int build_run(int argc, char **argv, struct err *err)
{
    struct build_options options CLEANUP(build_options_free) = {0};
    int words;

    int status = cli_options(&command_build, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);
    if (status)
        return status > 0 ? 0 : status;
    if (options.no_patch && options.seal)
        return err_set(err, ERR_USAGE, "--seal needs what --no-patch leaves out");
    if (options.compress && !build_compression(&options))
        return err_set(err, ERR_USAGE, "--compress: '%s' is none of lz4, lzma and none",
                       options.compress);
    if (words > 1)
        return err_set(err, ERR_USAGE, "one TARGET at a time; '%s' is too many", argv[2]);
    return build_image(words ? argv[1] : ".", &options, err);
}

const struct command command_build = {
    .name = "build",
    .summary = "Make an image of a program, a source file or a project folder",
    .usage = "[OPTIONS] [TARGET]",
    .options = build_specs,
    .help = "TARGET is a Linux executable or script of this machine, by its path or by a name in\n"
            "PATH (./NAME is what this folder has), a C or C++ source file, or a\n"
            "project folder (default: this one): with an Ingotfile, of Cargo, Go, CMake, Meson or\n"
            "make, of C sources, of Node, Python, Ruby or PHP, or of pages; or what docker save, "
            "podman\n"
            "and buildah write: FILE.tar, oci:DIR[:NAME], docker-archive:FILE[:NAME].\n\n"
            "  ingot build -t hello:1 examples/hello\n"
            "  ingot build -t tool --with zoneinfo python3",
    .run = build_run,
};
