/* ingot rmi: take images, or names of images, out of the store. */
#include "cli/cli.h"

#include "image/store.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"

#include <errno.h>
#include <stdio.h>

struct rmi_options {
    bool quiet, all, force;
    const char *format;
};

static const struct option_spec rmi_specs[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct rmi_options, all), NULL,
     "every image, also those that 'ingot run FILE' made"},
    {"force", 'f', OPTION_FLAG, offsetof(struct rmi_options, force), NULL,
     "an image that is not there is no failure"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct rmi_options, quiet), NULL, "print nothing"},
    {"format", 0, OPTION_TEXT, offsetof(struct rmi_options, format), "table|json", "how to print"},
    {0},
};

static int rmi_all_targets(struct strs *targets, struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};

    int failed = store_open(&store, err);
    for (size_t i = 0; !failed && store_next(&store, &i, &entry);) {
        json_t *manifest CLEANUP(json_put) = store_manifest(&store, &entry, NULL);
        const char *digest = json_str(json_object_get(manifest, "config"), "digest", "");
        if (entry.name)
            strs_add(targets, entry.name);
        else if (!strs_has(targets, digest))
            strs_add(targets, digest);
    }
    return failed;
}

static void rmi_print(const struct strs *untagged, const struct strs *deleted, bool json)
{
    if (json) {
        json_t *object CLEANUP(json_put) = json_pack(
            "{s:o, s:o}", "Untagged", json_from_strs(untagged), "Deleted", json_from_strs(deleted));
        char *text CLEANUP(mem_free) = json_text(object, 2);
        puts(text);
        return;
    }
    for (size_t i = 0; i < untagged->len; i++)
        printf("Untagged: %s\n", untagged->at[i]);
    for (size_t i = 0; i < deleted->len; i++)
        printf("Deleted: sha256:%s\n", deleted->at[i]);
}

static int rmi_run(int argc, char **argv, struct err *err)
{
    struct rmi_options options = {0};
    struct strs targets CLEANUP(strs_free) = {0};
    struct strs untagged CLEANUP(strs_free) = {0}, deleted CLEANUP(strs_free) = {0};
    bool json = false;
    int words;

    int status = cli_options(&command_rmi, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);
    if (status)
        return status > 0 ? 0 : status;
    if (!words && !options.all)
        return err_set(err, ERR_USAGE, "which image? 'ingot images' lists them");
    status = cli_format(options.format, &json, err);
    if (!status && options.all)
        status = rmi_all_targets(&targets, err);
    if (status)
        return status;
    for (int i = 1; i <= words; i++)
        strs_add(&targets, argv[i]);
    status = store_remove(&targets, options.force || options.all, &untagged, &deleted, err);
    if (!options.quiet)
        rmi_print(&untagged, &deleted, json);
    return status;
}

const struct command command_rmi = {
    .name = "rmi",
    .summary = "Remove images from the store",
    .usage = "[OPTIONS] IMAGE...",
    .options = rmi_specs,
    .help = "IMAGE is a name, which takes this name away, or an id, which takes all its names "
            "away.\nAn image without a name left is deleted.",
    .run = rmi_run,
};
