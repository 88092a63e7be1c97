/* ingot inspect: everything about instances and images, as JSON in the shape that Docker prints. */
#include "cli/cli.h"
#include "cli/inspect_priv.h"

#include "image/store.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <stdio.h>
#include <string.h>

struct inspect_options {
    bool verify, quiet, syscalls;
    const char *format;
};

static const struct option_spec inspect_specs[] = {
    {"verify", 0, OPTION_FLAG, offsetof(struct inspect_options, verify), NULL,
     "compare every layer with its digest"},
    {"syscalls", 0, OPTION_FLAG, offsetof(struct inspect_options, syscalls), NULL,
     "print the system calls that the image can make"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct inspect_options, quiet), NULL,
     "print nothing: only the status tells"},
    {"format", 0, OPTION_TEXT, offsetof(struct inspect_options, format), "json", "how to print"},
    {0},
};

static json_t *inspect_names(const struct store *store, const char *digest)
{
    json_t *names = json_array();
    struct store_entry entry CLEANUP(store_entry_free) = {0};

    for (size_t i = 0; store_next(store, &i, &entry);)
        if (entry.name && strcmp(entry.digest, digest) == 0)
            json_array_append_new(names, json_string(entry.name));
    return names;
}

/* The layers with where they are, so that fsck.erofs and dump.erofs can look at them. */
static json_t *inspect_layers(const struct image *image)
{
    json_t *layers = json_array();

    for (size_t i = 0; i < image->layers.len; i++) {
        const char *path = image->layers.at[i];
        char *digest CLEANUP(mem_free) = str_printf("sha256:%s", strrchr(path, '/') + 1);
        struct stat st = {0};
        stat(path, &st); /* it was there a moment ago; else its size reads 0 */
        json_array_append_new(layers, json_pack("{s:s, s:s, s:s, s:I}", "Digest", digest,
                                                "MediaType", STORE_LAYER_TYPE, "Path", path, "Size",
                                                (json_int_t)st.st_size));
    }
    return layers;
}

static json_t *inspect_object(const struct store *store, const struct store_entry *entry,
                              const struct image *image, const json_t *config)
{
    char *id CLEANUP(mem_free) = str_printf("sha256:%s", image->id);
    char *digest CLEANUP(mem_free) = str_printf("sha256:%s", entry->digest);

    return json_pack("{s:s, s:s, s:o, s:s*, s:s, s:s, s:I, s:O*, s:O*, s:o}", "Id", id, "Digest",
                     digest, "RepoTags", inspect_names(store, entry->digest), "Created",
                     entry->created, "Architecture", "amd64", "Os", "linux", "Size",
                     (json_int_t)image->size, "Config", json_object_get(config, "config"), "RootFS",
                     json_object_get(config, "rootfs"), "Layers", inspect_layers(image));
}

static int inspect_one(const struct store *store, const char *target,
                       const struct inspect_options *options, json_t *list, struct err *err)
{
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    struct image image CLEANUP(image_free) = {0};

    int found = options->syscalls || options->verify ? 0 : inspect_instance(target, list, err);
    if (found)
        return min(found, 0);
    int failed = store_find(store, target, &entry, err);
    if (!failed)
        failed = store_load(store, &entry, &image, err);
    if (!failed && options->verify)
        failed = store_verify(&image, err);
    if (failed)
        return failed;
    if (options->syscalls)
        return inspect_syscalls(&image, list, err);
    json_t *manifest CLEANUP(json_put) = store_manifest(store, &entry, err);
    json_t *config CLEANUP(json_put) = manifest ? store_config(store, manifest, err) : NULL;
    if (!config)
        return -err->code;
    json_array_append_new(list, inspect_object(store, &entry, &image, config));
    return 0;
}

static int inspect_run(int argc, char **argv, struct err *err)
{
    struct inspect_options options = {0};
    struct store store CLEANUP(store_close) = {0};
    json_t *list CLEANUP(json_put) = json_array();
    bool json;
    int words;

    int status = cli_options(&command_inspect, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);
    if (status)
        return status > 0 ? 0 : status;
    if (!words)
        return err_set(err, ERR_USAGE, "which image? 'ingot images' lists them");
    status = cli_format(options.format, &json, err);
    if (!status)
        status = store_open(&store, err);
    for (int i = 1; !status && i <= words; i++)
        status = inspect_one(&store, argv[i], &options, list, err);
    if (status)
        return status;
    char *text CLEANUP(mem_free) = json_text(list, 4);
    if (!options.quiet)
        puts(text);
    return 0;
}

const struct command command_inspect = {
    .name = "inspect",
    .summary = "Show everything about an instance or an image, as JSON",
    .usage = "[OPTIONS] NAME...",
    .options = inspect_specs,
    .run = inspect_run,
};
