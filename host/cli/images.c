/* ingot images: what is in the store. */
#include "cli/cli.h"

#include "image/store.h"
#include "lib/cleanup.h"
#include "lib/types.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct images_options {
    bool all, quiet, full;
    const char *format;
};

static const struct option_spec images_specs[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct images_options, all), NULL,
     "also images without a name, which 'ingot run FILE' made"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct images_options, quiet), NULL, "print ids only"},
    {"no-trunc", 0, OPTION_FLAG, offsetof(struct images_options, full), NULL, "print whole ids"},
    {"format", 0, OPTION_TEXT, offsetof(struct images_options, format), "table|json",
     "how to print"},
    {0},
};

/* A row of the table. */
struct images_row {
    const char *name, *created;
    struct image image;
    const char *damage; /* NULL, or why it cannot be loaded */
};

/* "2 hours ago", from RFC 3339 in UTC. */
static char *images_age(const char *created)
{
    static const struct {
        const char *name;
        long seconds;
    } units[] = {{"year", 31536000}, {"month", 2592000}, {"week", 604800}, {"day", 86400},
                 {"hour", 3600},     {"minute", 60},     {"second", 1}};
    struct tm tm = {0};

    if (!created || !strptime(created, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return str_dup("");
    long age = (long)(time(NULL) - timegm(&tm));
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (age >= units[i].seconds)
            return str_printf("%ld %s%s ago", age / units[i].seconds, units[i].name,
                              age / units[i].seconds == 1 ? "" : "s");
    return str_dup("just now");
}

static void images_print_row(const struct images_row *row, const struct images_options *options)
{
    const char *tag = row->name ? strrchr(row->name, ':') : NULL;
    char *name CLEANUP(mem_free) = tag ? str_printf("%.*s", (int)(tag - row->name), row->name)
                                       : str_dup(row->name ? row->name : "<none>");
    char *age CLEANUP(mem_free) = images_age(row->created);
    char size[16];

    if (options->quiet) {
        printf("%.*s\n", options->full ? 64 : 12, row->image.id);
        return;
    }
    printf("%-24s %-12s %-*.*s %-16s %s\n", name, tag ? tag + 1 : "<none>", options->full ? 64 : 12,
           options->full ? 64 : 12, row->image.id, age,
           row->damage ? "damaged" : cli_size(row->image.size, size));
}

static json_t *images_json_row(const struct images_row *row)
{
    json_t *object = json_pack("{s:s, s:I, s:s*}", "Id", row->image.id, "Size",
                               (json_int_t)row->image.size, "Created", row->created);

    if (row->name)
        json_object_set_new(object, "Name", json_string(row->name));
    if (row->damage)
        json_object_set_new(object, "Damage", json_string(row->damage));
    return object;
}

/* One image of the index: printed, or appended to @list. */
static void images_entry(const struct store *store, const struct store_entry *entry,
                         const struct images_options *options, json_t *list)
{
    struct images_row row = {.name = entry->name, .created = entry->created};
    struct err why = {0};

    if (store_load(store, entry, &row.image, &why) < 0) {
        row.damage = why.text;
        memcpy(row.image.id, entry->digest, sizeof(row.image.id));
        if (!options->quiet)
            fprintf(stderr, "ingot images: %s\n", why.text);
    }
    if (list)
        json_array_append_new(list, images_json_row(&row));
    else
        images_print_row(&row, options);
    image_free(&row.image);
}

static int images_list(const struct images_options *options, bool json, const char *only,
                       struct err *err)
{
    struct store store CLEANUP(store_close) = {0};
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    json_t *list CLEANUP(json_put) = json ? json_array() : NULL;

    int failed = store_open(&store, err);
    if (failed)
        return failed;
    if (!json && !options->quiet)
        printf("%-24s %-12s %-*s %-16s %s\n", "NAME", "TAG", options->full ? 64 : 12, "ID",
               "CREATED", "SIZE");
    for (size_t i = 0; store_next(&store, &i, &entry);) {
        if (!entry.name && !options->all)
            continue;
        size_t len = only ? strlen(only) : 0;
        if (only && !(entry.name && strncmp(entry.name, only, len) == 0 &&
                      (!entry.name[len] || entry.name[len] == ':')))
            continue;
        images_entry(&store, &entry, options, list);
    }
    if (list) {
        char *text CLEANUP(mem_free) = json_text(list, 2);
        puts(text);
    }
    return 0;
}

static int images_run(int argc, char **argv, struct err *err)
{
    struct images_options options = {0};
    bool json = false;
    int words;

    int status = cli_options(&command_images, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);
    if (status)
        return status > 0 ? 0 : status;
    if (words > 1)
        return err_set(err, ERR_USAGE, "one NAME at most; '%s' is too many", argv[2]);
    status = cli_format(options.format, &json, err);
    return status ? status : images_list(&options, json, words ? argv[1] : NULL, err);
}

const struct command command_images = {
    .name = "images",
    .summary = "List the images of the store",
    .usage = "[OPTIONS] [NAME]",
    .options = images_specs,
    .run = images_run,
};
