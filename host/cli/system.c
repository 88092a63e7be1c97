/* ingot system: what images, instances and volumes take of this machine's disk, and what of it can
 * go. */
#include "cli/cli.h"

#include "image/store.h"
#include "instance/roots.h"
#include "instance/snapshot.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/json.h"
#include "lib/types.h"
#include "volume/volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    UNNAMED_KEPT = 100,
    UNNAMED_AGE = 7 * 24 * 3600, /* seconds */
};

struct system_options {
    const char *format;
    bool force;
};

static const struct option_spec df_specs[] = {
    {"format", 0, OPTION_TEXT, offsetof(struct system_options, format), "table|json",
     "how to print"},
    {0},
};
static const struct option_spec prune_specs[] = {
    {"force", 'f', OPTION_FLAG, offsetof(struct system_options, force), NULL,
     "accepted for those who type it; nothing is asked"},
    {0},
};
static const struct option_spec no_specs[] = {{0}};

/* A line of the table. */
struct system_row {
    const char *type;
    size_t total, active;
    u64 bytes, reclaimable;
};

/* Adds the image's id of an instance, if that is still there. */
static int system_add_instance(const char *name, struct strs *ids, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};

    if (instance_open(&instance, name, err))
        return err->code == ENOENT ? 0 : -err->code;
    json_t *config CLEANUP(json_put) = instance_config(&instance, err);
    if (!config)
        return -err->code;
    strs_add(ids, json_str(config, "ImageId", ""));
    return 0;
}

/* The same of a snapshot, which outlives its instance. */
static int system_add_snapshot(const char *name, struct strs *ids, struct err *err)
{
    struct snapshot snapshot CLEANUP(snapshot_close) = {0};

    if (snapshot_open(&snapshot, name, err) && !snapshot.config)
        return err->code == ENOENT ? 0 : -err->code;
    strs_add(ids, json_str(snapshot.config, "ImageId", "")); /* it may be of another version */
    return 0;
}

static const struct system_kind {
    int (*list)(struct strs *names, struct err *err);
    int (*add)(const char *name, struct strs *ids, struct err *err);
} system_kinds[] = {
    {instance_list, system_add_instance},
    {snapshot_list, system_add_snapshot},
};

static int system_add_images(const struct system_kind *kind, struct strs *ids, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};

    int failed = kind->list(&names, err);
    for (size_t i = 0; !failed && i < names.len; i++)
        failed = kind->add(names.at[i], ids, err);
    return failed;
}

/* The ids of images that instances and snapshots were made of, in all state directories.  An
 * instance or a snapshot that cannot be read is no excuse for taking its image away. */
static int system_used(struct strs *ids, struct err *err)
{
    const char *set = getenv("INGOT_STATE");
    char *before CLEANUP(mem_free) = str_dup(set);
    char *store CLEANUP(mem_free) = store_path();
    struct strs roots CLEANUP(strs_free) = {0};

    int failed = roots_list(store, &roots, err);
    for (size_t i = 0; !failed && i < roots.len; i++) {
        setenv("INGOT_STATE", roots.at[i], 1);
        for (size_t kind = 0; !failed && kind < ARRAY_LEN(system_kinds); kind++)
            failed = system_add_images(&system_kinds[kind], ids, err);
    }
    if (before)
        setenv("INGOT_STATE", before, 1);
    else
        unsetenv("INGOT_STATE");
    return failed;
}

void cli_prune_old(void)
{
    struct strs used CLEANUP(strs_free) = {0}, deleted CLEANUP(strs_free) = {0};
    struct err ignored = {0};

    if (!system_used(&used, &ignored))
        (void)store_prune(&used, UNNAMED_KEPT, UNNAMED_AGE, &deleted, &ignored);
}

static u64 system_tree_bytes(const char *path)
{
    struct strs names CLEANUP(strs_free) = {0};
    struct stat st;

    if (lstat(path, &st) < 0)
        return 0;
    u64 bytes = (u64)st.st_blocks * 512;
    if (!S_ISDIR(st.st_mode) || fs_list(path, &names, NULL))
        return bytes;
    for (size_t i = 0; i < names.len; i++) {
        char *below CLEANUP(mem_free) = fs_join(path, names.at[i]);
        bytes += system_tree_bytes(below);
    }
    return bytes;
}

static int system_instances(struct system_row *row, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};

    *row = (struct system_row){.type = "Instances"};
    int failed = instance_list(&names, err);
    for (size_t i = 0; !failed && i < names.len; i++) {
        struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
        struct err gone = {0};
        if (instance_open(&instance, names.at[i], &gone))
            continue;
        char *path CLEANUP(mem_free) = str_printf("/proc/self/fd/%d/.", instance.dir);
        u64 bytes = system_tree_bytes(path);
        bool live = instance_is_live(&instance);
        row->total++;
        row->active += live;
        row->bytes += bytes;
        row->reclaimable += live ? 0 : bytes;
    }
    return failed;
}

static int system_volumes(struct system_row *row, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};

    *row = (struct system_row){.type = "Volumes"};
    int failed = volume_list(&names, err);
    for (size_t i = 0; !failed && i < names.len; i++) {
        struct volume volume CLEANUP(volume_free) = {0};
        struct err gone = {0};
        if (volume_load(names.at[i], &volume, &gone))
            continue;
        row->total++;
        row->active += volume.user != NULL;
        row->bytes += volume.bytes_on_host;
        row->reclaimable += volume.user ? 0 : volume.bytes_on_host;
    }
    return failed;
}

static int system_images(struct system_row *row, struct err *err)
{
    struct strs used CLEANUP(strs_free) = {0};
    struct store_usage usage;

    int failed = system_used(&used, err);
    if (!failed)
        failed = store_measure(&used, &usage, err);
    if (!failed)
        *row = (struct system_row){.type = "Images",
                                   .total = usage.named + usage.unnamed,
                                   .active = usage.named + usage.unnamed - usage.unused,
                                   .bytes = usage.bytes,
                                   .reclaimable = usage.reclaimable};
    return failed;
}

static void system_print(const struct system_row *rows, size_t nr, bool json)
{
    json_t *list CLEANUP(json_put) = json ? json_array() : NULL;

    if (!json)
        printf("%-12s %8s %8s %12s %12s\n", "TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE");
    for (size_t i = 0; i < nr; i++) {
        const struct system_row *row = &rows[i];
        char size[16], free_size[16];
        if (json)
            json_array_append_new(list,
                                  json_pack("{s:s, s:I, s:I, s:I, s:I}", "Type", row->type, "Total",
                                            (json_int_t)row->total, "Active",
                                            (json_int_t)row->active, "Size", (json_int_t)row->bytes,
                                            "Reclaimable", (json_int_t)row->reclaimable));
        else
            printf("%-12s %8zu %8zu %12s %12s\n", row->type, row->total, row->active,
                   cli_size(row->bytes, size), cli_size(row->reclaimable, free_size));
    }
    if (json) {
        char *text CLEANUP(mem_free) = json_text(list, 2);
        puts(text);
    }
}

static int system_df_run(const void *values, int words, char **argv, struct err *err)
{
    const struct system_options *options = values;
    struct system_row rows[3] = {0};
    bool json = false;

    if (words)
        return err_set(err, ERR_USAGE, "'%s' is too much", argv[1]);
    int failed = cli_format(options->format, &json, err);
    if (!failed)
        failed = system_images(&rows[0], err);
    if (!failed)
        failed = system_instances(&rows[1], err);
    if (!failed)
        failed = system_volumes(&rows[2], err);
    if (!failed)
        system_print(rows, ARRAY_LEN(rows), json);
    return failed;
}

static int system_prune_run(const void *values, int words, char **argv, struct err *err)
{
    struct strs used CLEANUP(strs_free) = {0}, deleted CLEANUP(strs_free) = {0};
    struct store_usage before, after;
    char size[16];

    (void)values;
    if (words)
        return err_set(err, ERR_USAGE, "'%s' is too much", argv[1]);
    int failed = system_used(&used, err);
    if (!failed)
        failed = store_measure(&used, &before, err);
    if (!failed)
        failed = store_prune(&used, 0, 0, &deleted, err);
    if (!failed)
        failed = store_measure(&used, &after, err);
    if (failed)
        return failed;
    for (size_t i = 0; i < deleted.len; i++)
        printf("Deleted: sha256:%s\n", deleted.at[i]);
    printf("Total reclaimed space: %s\n",
           cli_size(before.bytes > after.bytes ? before.bytes - after.bytes : 0, size));
    return 0;
}

static const struct cli_verb system_verbs[] = {
    {{"system df", "Show what images, instances and volumes take of the disk", "[OPTIONS]",
      df_specs,
      "RECLAIMABLE: images that 'ingot system prune' removes, instances that have ended, volumes\n"
      "that no guest has ('ingot rm' and 'ingot volume prune' remove those).",
      NULL, 0},
     system_df_run},
    {{"system prune", "Remove images that nobody needs", "[OPTIONS]", prune_specs,
      "Deletes images that have no name and that no instance or snapshot was made of: what 'ingot "
      "run FILE'\n"
      "made, which it makes again when it is wanted.",
      NULL, 0},
     system_prune_run},
};

static int system_run(int argc, char **argv, struct err *err)
{
    struct system_options options = {0};

    return cli_verb(&command_system, system_verbs, ARRAY_LEN(system_verbs), argc, argv, &options,
                    err);
}

const struct command command_system = {
    .name = "system",
    .summary = "Show what is taken of the disk, and remove what is not needed",
    .usage = "df|prune ...",
    .options = no_specs,
    .help = "  ingot system df       sizes of images, instances and volumes\n"
            "  ingot system prune    remove images without a name that no instance needs",
    .run = system_run,
};
