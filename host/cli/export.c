/* ingot export: an image as a disk, or in another form that a hypervisor or a cloud starts. */
#include "cli/cli.h"
#include "cli/run_priv.h"

#include "export/format.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "vm/cmdline.h"

#include <ctype.h>
#include <string.h>

struct export_options {
    const char *format, *out, *size, *memory, *hostname, *kernel;
    struct strs env, append;
    long loglevel;
    bool force;
};

static const struct option_spec export_specs[] = {
    {"format", 'f', OPTION_TEXT, offsetof(struct export_options, format), "FORMAT",
     "raw, qcow2, vmdk, vhd, vhdx, vdi, gce, ova, iso, efi, libvirt, firecracker, kernel+initrd"},
    {"output", 'o', OPTION_TEXT, offsetof(struct export_options, out), "OUT",
     "file to write; a folder for the last three"},
    {"size", 0, OPTION_TEXT, offsetof(struct export_options, size), "SIZE",
     "size of the disk, as 64M or 1G (default: the least)"},
    {"memory", 'm', OPTION_TEXT, offsetof(struct export_options, memory), "SIZE",
     "memory of the machine, where the format says it (default 256M)"},
    {"env", 'e', OPTION_TEXTS, offsetof(struct export_options, env), "NAME=VALUE",
     "set a variable of the program"},
    {"hostname", 0, OPTION_TEXT, offsetof(struct export_options, hostname), "NAME",
     "name of the machine"},
    {"append", 0, OPTION_TEXTS, offsetof(struct export_options, append), "WORDS",
     "more words for the kernel's command line"},
    {"loglevel", 0, OPTION_NUMBER, offsetof(struct export_options, loglevel), "N",
     "how much the kernel says, 0 to 7 (default 4)"},
    {"kernel", 0, OPTION_TEXT, offsetof(struct export_options, kernel), "FILE", "kernel to use"},
    {"force", 0, OPTION_FLAG, offsetof(struct export_options, force), NULL,
     "replace a file that is there"},
    {0},
};

static int export_line(const struct export_options *options, char *const *args, struct buf *line,
                       struct err *err)
{
    buf_printf(line, "console=ttyS0 loglevel=%ld", options->loglevel);
    if (options->hostname)
        cmdline_add_pair(line, "ingot.hostname", options->hostname);
    for (size_t i = 0; i < options->env.len; i++) {
        const char *value = strchr(options->env.at[i], '=');
        size_t len = value ? (size_t)(value - options->env.at[i]) : 0;
        if (!len || !cmdline_env_fits(options->env.at[i], len))
            return err_set(err, ERR_USAGE, "--env: '%s' is no NAME=VALUE that a boot line takes",
                           options->env.at[i]);
        char *name CLEANUP(mem_free) = str_printf("%.*s", (int)len, options->env.at[i]);
        cmdline_add_pair(line, name, value + 1);
    }
    for (size_t i = 0; i < options->append.len; i++)
        buf_printf(line, " %s", options->append.at[i]);
    if (*args)
        buf_puts(line, " --");
    for (; *args; args++)
        cmdline_add(line, *args);
    return 0;
}

/* A name for files and machines, out of the image's. */
static char *export_name(const struct image *image)
{
    char *name = str_dup(fs_name(image->name));

    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at))
            *at = '-';
    return name;
}

static int export_sizes(const struct export_options *options, struct export_plan *plan,
                        struct err *err)
{
    plan->memory = 256 << 20;
    if (options->size && !run_parse_size(options->size, &plan->size))
        return err_set(err, ERR_USAGE, "--size: '%s' is no size; say 64M or 1G", options->size);
    if (options->memory && !run_parse_size(options->memory, &plan->memory))
        return err_set(err, ERR_USAGE, "--memory: '%s' is no size; say 64M or 1G", options->memory);
    if (plan->memory < RUN_LEAST_IN_VM)
        return err_set(err, ERR_USAGE,
                       "--memory: '%s' is too little; %d MiB is the least that boots",
                       options->memory, (int)(RUN_LEAST_IN_VM >> 20));
    int failed = cli_hostname(options->hostname, err);
    return failed ? failed : cli_loglevel(options->loglevel, err);
}

static int export_do(const struct export_options *options, int words, char **argv, struct err *err)
{
    struct image image CLEANUP(image_free) = {0};
    struct buf line CLEANUP(buf_free) = {0};
    struct export_plan plan = {
        .image = &image, .format = options->format, .out = options->out, .force = options->force};

    if (!words)
        return err_set(err, ERR_USAGE, "which image? 'ingot images' lists them");
    if (!options->format)
        return err_set(err, ERR_USAGE, "which format? --format is one of: %s", export_formats());
    if (!options->out || !*fs_name(options->out))
        return err_set(err, ERR_USAGE, "where to? name a file with -o");
    int failed = export_sizes(options, &plan, err);
    if (!failed)
        failed = export_line(options, argv + 2, &line, err);
    if (!failed)
        failed = image_resolve(argv[1], NULL, &image, err);
    if (failed)
        return failed;
    char *kernel CLEANUP(mem_free) = run_find_kernel(options->kernel, err);
    if (!kernel)
        return -err->code;
    char *name CLEANUP(mem_free) = export_name(&image);
    plan.kernel = kernel;
    plan.cmdline = buf_text(&line);
    plan.name = name;
    return export_image(&plan, err);
}

static int export_run(int argc, char **argv, struct err *err)
{
    struct export_options options = {.loglevel = 4};
    int words;

    int status = cli_options(&command_export, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);
    if (!status)
        status = export_do(&options, words, argv, err);
    else if (status > 0)
        status = 0;
    strs_free(&options.env);
    strs_free(&options.append);
    return status;
}

const struct command command_export = {
    .name = "export",
    .summary = "Write an image as a disk for a hypervisor or a cloud",
    .usage = "[OPTIONS] TARGET [ARG...] --format FORMAT -o OUT",
    .options = export_specs,
    .help = "Examples:\n"
            "  ingot export hello:1 --format qcow2 -o hello.qcow2\n"
            "  ingot export redis:1 --format gce -o redis.tar.gz",
    .run = export_run,
};
