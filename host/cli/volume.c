/* ingot volume: named disks that outlive the guests they are given to. */
#include "cli/cli.h"
#include "cli/run_priv.h"

#include "lib/cleanup.h"
#include "lib/json.h"
#include "volume/copy.h"
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct volume_options {
    const char *size, *format;
    struct strs labels;
    bool quiet, force;
};

#define OPTION(field) offsetof(struct volume_options, field)

static const struct option_spec create_specs[] = {
    {"size", 's', OPTION_TEXT, OPTION(size), "SIZE",
     "of the disk (1G); its file grows as it is filled"},
    {"label", 0, OPTION_TEXTS, OPTION(labels), "KEY=VALUE", "a word of yours about it"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
};
static const struct option_spec ls_specs[] = {
    {"quiet", 'q', OPTION_FLAG, OPTION(quiet), NULL, "names only"},
    {"format", 0, OPTION_TEXT, OPTION(format), "table|json", "how to print"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
};
static const struct option_spec remove_specs[] = {
    {"force", 'f', OPTION_FLAG, OPTION(force), NULL, "one that is not there is no failure"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
};
static const struct option_spec prune_specs[] = {
    {"force", 'f', OPTION_FLAG, OPTION(force), NULL, "really delete them"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
};
static const struct option_spec no_specs[] = {
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
};

static int volume_create_run(const void *values, int words, char **argv, struct err *err)
{
    const struct volume_options *options = values;
    u64 bytes = VOLUME_DEFAULT_BYTES;

    if (words != 1)
        return err_set(err, ERR_USAGE, "one NAME is needed; see 'ingot volume create --help'");
    if (options->size && !run_parse_size(options->size, &bytes))
        return err_set(err, ERR_USAGE, "--size: '%s' is no size; say 512M or 10G", options->size);
    int failed = volume_create(argv[1], bytes, &options->labels, err);
    if (!failed)
        puts(argv[1]);
    return failed;
}

static json_t *volume_json(const struct volume *volume)
{
    json_t *labels = json_object();

    for (size_t i = 0; i < volume->labels.len; i++) {
        const char *label = volume->labels.at[i], *equals = strchr(label, '=');
        char *key CLEANUP(mem_free) = str_printf("%.*s", (int)(equals - label), label);
        json_object_set_new(labels, key, json_string(equals + 1));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:s?}", "Name", volume->name,
                     "Mountpoint", volume->path, "CreatedAt", volume->created, "Labels", labels,
                     "Size", (json_int_t)volume->bytes, "SizeOnHost",
                     (json_int_t)volume->bytes_on_host, "Free", (json_int_t)volume->bytes_free,
                     "UsedBy", volume->user);
}

static void volume_print_row(const struct volume *volume)
{
    char size[16], on_host[16];

    printf("%-24s %-10s %-10s %-21s %s\n", volume->name, cli_size(volume->bytes, size),
           cli_size(volume->bytes_on_host, on_host), volume->created,
           volume->user ? volume->user : "-");
}

static int volume_ls_run(const void *values, int words, char **argv, struct err *err)
{
    const struct volume_options *options = values;
    struct strs names CLEANUP(strs_free) = {0};
    bool json = false;

    if (words)
        return err_set(err, ERR_USAGE, "'%s' is too much", argv[1]);
    int failed = cli_format(options->format, &json, err);
    if (!failed)
        failed = volume_list(&names, err);
    if (failed)
        return failed;
    json_t *list CLEANUP(json_put) = json_array();
    if (!json && !options->quiet)
        printf("%-24s %-10s %-10s %-21s %s\n", "NAME", "SIZE", "ON HOST", "CREATED", "USED BY");
    for (size_t i = 0; i < names.len; i++) {
        struct volume volume CLEANUP(volume_free) = {0};
        if (volume_load(names.at[i], &volume, NULL)) /* somebody was quicker and removed it */
            continue;
        if (json)
            json_array_append_new(list, volume_json(&volume));
        else if (options->quiet)
            puts(volume.name);
        else
            volume_print_row(&volume);
    }
    if (json) {
        char *text CLEANUP(mem_free) = json_text(list, 2);
        puts(text);
    }
    return 0;
}

static int volume_inspect_run(const void *values, int words, char **argv, struct err *err)
{
    json_t *list CLEANUP(json_put) = json_array();

    (void)values;
    if (!words)
        return err_set(err, ERR_USAGE, "which volume? 'ingot volume ls' lists them");
    for (int i = 1; i <= words; i++) {
        struct volume volume CLEANUP(volume_free) = {0};
        int failed = volume_load(argv[i], &volume, err);
        if (failed)
            return failed;
        json_array_append_new(list, volume_json(&volume));
    }
    char *text CLEANUP(mem_free) = json_text(list, 2);
    puts(text);
    return 0;
}

/* All that can be removed goes; the first failure is what is reported. */
static int volume_rm_run(const void *values, int words, char **argv, struct err *err)
{
    const struct volume_options *options = values;
    int first = 0;

    if (!words)
        return err_set(err, ERR_USAGE, "which volume? 'ingot volume ls' lists them");
    for (int i = 1; i <= words; i++) {
        struct err why = {0};
        int failed = volume_remove(argv[i], &why);
        if (!failed) {
            puts(argv[i]);
        } else if (!first && !(failed == -ENOENT && options->force)) {
            *err = why;
            first = failed;
        }
    }
    return first;
}

static int volume_prune_run(const void *values, int words, char **argv, struct err *err)
{
    const struct volume_options *options = values;
    struct strs names CLEANUP(strs_free) = {0};
    struct buf unused CLEANUP(buf_free) = {0};

    if (words)
        return err_set(err, ERR_USAGE, "'%s' is too much; 'ingot volume rm' removes one", argv[1]);
    int failed = volume_list(&names, err);
    for (size_t i = 0; !failed && i < names.len; i++) {
        struct volume volume CLEANUP(volume_free) = {0};
        if (options->force && volume_remove(names.at[i], NULL) == 0)
            puts(names.at[i]);
        else if (!options->force && !volume_load(names.at[i], &volume, NULL) && !volume.user)
            buf_printf(&unused, " %s", names.at[i]);
    }
    if (!failed && unused.len)
        return err_set(err, ERR_USAGE, "--force would delete, with all that is in them:%s",
                       buf_text(&unused));
    return failed;
}

/* Where the path begins in NAME:/PATH; NULL for a path of the host. */
static const char *volume_colon(const char *word)
{
    const char *colon = strchr(word, ':');

    return colon && colon[1] == '/' && !memchr(word, '/', (size_t)(colon - word)) ? colon : NULL;
}

static int volume_cp_run(const void *values, int words, char **argv, struct err *err)
{
    const char *from = words == 2 ? volume_colon(argv[1]) : NULL;
    const char *to = words == 2 ? volume_colon(argv[2]) : NULL;
    struct volume volume CLEANUP(volume_free) = {0};

    (void)values;
    if (!from == !to)
        return err_set(err, ERR_USAGE, "one of FROM and TO is NAME:/PATH, the other a path here");
    const char *word = from ? argv[1] : argv[2];
    const char *colon = from ? from : to;
    char *name CLEANUP(mem_free) = str_printf("%.*s", (int)(colon - word), word);
    int failed = volume_load(name, &volume, err);
    if (failed)
        return failed;
    int fd CLEANUP(fd_close) = open(volume.path, O_RDWR | O_CLOEXEC);
    char *what CLEANUP(mem_free) = str_printf("volume '%s'", name);
    if (fd < 0)
        return err_errno(err, errno, "%s", what);
    failed = volume_lock(fd, false, what, NULL, err);
    if (failed)
        return failed;
    return from ? volume_copy_out(volume.path, from + 1, argv[2], err)
                : volume_copy_in(volume.path, argv[1], to + 1, err);
}

static const struct cli_verb volume_verbs[] = {
    {{"volume create", "Make a volume", "[OPTIONS] NAME", create_specs, NULL, NULL, 0},
     volume_create_run},
    {{"volume ls", "List volumes", "[OPTIONS]", ls_specs, NULL, NULL, 0}, volume_ls_run},
    {{"volume inspect", "Show everything about volumes, as JSON", "NAME...", no_specs, NULL, NULL,
      0},
     volume_inspect_run},
    {{"volume cp", "Copy files into a volume or out of it", "FROM TO", no_specs,
      "One of FROM and TO is NAME:/PATH, in a volume that no guest has.", NULL, 0},
     volume_cp_run},
    {{"volume rm", "Remove volumes with what they hold", "[OPTIONS] NAME...", remove_specs, NULL,
      NULL, 0},
     volume_rm_run},
    {{"volume prune", "Remove all volumes that nobody uses", "[OPTIONS]", prune_specs,
      "Deletes every volume that no guest has at this moment.", NULL, 0},
     volume_prune_run},
};

static int volume_run(int argc, char **argv, struct err *err)
{
    struct volume_options options = {0};

    int failed =
        cli_verb(&command_volume, volume_verbs, ARRAY_LEN(volume_verbs), argc, argv, &options, err);
    strs_free(&options.labels);
    return failed;
}

const struct command command_volume = {
    .name = "volume",
    .summary = "Make, list, fill and remove volumes",
    .usage = "create|ls|inspect|cp|rm|prune ...",
    .options = no_specs,
    .help = "A volume is a disk of its own for a guest, an ext4 file system in a sparse file:\n"
            "  ingot volume create data --size 1G\n"
            "  ingot run -v data:/var/lib/app PROGRAM\n"
            "  ingot volume cp ./dump.sql data:/\n"
            "  ingot volume rm data",
    .run = volume_run,
};
