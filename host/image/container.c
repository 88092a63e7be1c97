#include "image/container.h"

#include "image/builder.h"
#include "image/config.h"
#include "image/container_pick.h"
#include "image/reference.h"
#include "image/target.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/sha256.h"

#include <errno.h>
#include <string.h>

/* ---- words ---- */

static const char *word_rest(const char *word)
{
    static const char *const prefixes[] = {"oci:", "oci-archive:", "docker-archive:"};

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(word, prefixes[i]))
            return word + strlen(prefixes[i]);
    return NULL;
}

bool container_prefixed(const char *word)
{
    return word_rest(word) != NULL;
}

bool container_word(const char *word, char **path, char **which)
{
    const char *rest = word_rest(word), *colon = rest;

    if (!rest)
        return false;
    *path = str_dup(rest);
    *which = NULL;
    while (!fs_exists(*path) && (colon = strchr(colon, ':'))) {
        char *before CLEANUP(mem_free) = str_printf("%.*s", (int)(colon - rest), rest);
        colon++;
        if (!fs_exists(before))
            continue;
        free(*path);
        *path = TAKE(before, NULL);
        *which = str_dup(colon);
    }
    return true;
}

bool container_at(const char *path)
{
    char *layout CLEANUP(mem_free) = fs_join(path, "oci-layout");

    return fs_is_dir(path) ? fs_exists(layout) : container_is_archive(path);
}

/* "docker.io/library/alpine:3.19" is "alpine:3.19" here. */
char *container_name(const struct target *target)
{
    struct container_files files CLEANUP(container_files_close) = {0};
    struct container_image image CLEANUP(container_image_free) = {0};
    struct err ignored = {0};
    const char *name = target->which;

    if (!container_files_open(&files, target->path, NULL, &ignored) &&
        !container_pick(&files, target->which, &image, &ignored) && image.name)
        name = image.name;
    char *full = name && *name ? reference_full(fs_name(name), &ignored) : NULL;
    if (full)
        return full;
    char *real CLEANUP(mem_free) = fs_real(target->path, &ignored);
    char *base CLEANUP(mem_free) = str_dup(fs_name(real ? real : target->path));
    char *dot = strchr(base, '.');
    if (dot && dot != base)
        *dot = 0;
    char *plain CLEANUP(mem_free) = reference_from(base);
    return str_printf("%s:latest", plain);
}

/* ---- layers ---- */

static const char *diff_id(const json_t *config, size_t i)
{
    const json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    const char *text = json_string_value(json_array_get(ids, i));

    return text && str_starts(text, "sha256:") ? text + strlen("sha256:") : NULL;
}

static int layer_verify(const struct slice *bytes, const char *hex, struct err *err)
{
    if (strcmp(sha256_bytes(bytes->data, bytes->len).text, hex) == 0)
        return 0;
    return err_set(err, EINVAL, "damaged: its content is not what its digest says");
}

/* What a container image is being unpacked with. */
struct unpacking {
    struct builder *b;
    struct container_files files;
    struct container_image image;
    char *folder; /* for the bytes of files; owned */
    size_t count; /* of files so far */
};

static void unpacking_free(struct unpacking *u)
{
    container_files_close(&u->files);
    container_image_free(&u->image);
    free(u->folder);
}

static int unpack_bytes(struct unpacking *u, size_t i, const struct slice *packed, struct err *err)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    char *unpacked CLEANUP(mem_free) = NULL;
    struct slice bytes = *packed;
    const char *id = diff_id(u->image.config, i);

    int failed = layer_inflate(packed, u->b->scratch, LAYER_BYTES_MAX, &unpacked, err);
    if (!failed && unpacked) {
        failed = elf_map(unpacked, &map, err);
        unlink(unpacked); /* the mapping keeps it */
        bytes = (struct slice){map.data, map.len};
    }
    if (!failed)
        failed = id ? layer_verify(&bytes, id, err)
                    : err_set(err, EINVAL, "the configuration has no sha256 diff_id of it");
    return failed ? failed : layer_apply(&u->b->tree, &bytes, u->folder, &u->count, err);
}

static int unpack_layer(struct unpacking *u, size_t i, struct err *err)
{
    const char *hex = u->image.digests.at[i];
    struct slice packed;

    builder_progress(u->b, "unpacking layer %zu of %zu", i + 1, u->image.layers.len);
    int failed = container_read(&u->files, u->image.layers.at[i], &packed, err);
    if (!failed && *hex)
        failed = layer_verify(&packed, hex, err);
    if (!failed)
        failed = unpack_bytes(u, i, &packed, err);
    return failed ? err_prefix(err, "layer %zu (%.80s)", i + 1, u->image.layers.at[i]) : 0;
}

static int unpack_machine(const json_t *config, struct err *err)
{
    const char *os = json_str(config, "os", "linux");
    const char *machine = json_str(config, "architecture", "amd64");

    if (strcmp(os, "linux") == 0 && strcmp(machine, "amd64") == 0)
        return 0;
    return err_set(err, ENOEXEC, "an image for %.40s/%.40s; this is linux/amd64", os, machine);
}

/* What containers find made by whoever starts them. */
static int unpack_places(struct tree *tree, const struct image_config *config, struct err *err)
{
    static const struct {
        const char *path;
        mode_t mode;
    } places[] = {{"/dev", 0755}, {"/proc", 0555}, {"/sys", 0555},
                  {"/etc", 0755}, {"/run", 0755},  {"/tmp", 01777}};
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(places) && !failed; i++)
        if (!tree_follow(tree, places[i].path))
            failed = tree_add_dir(tree, places[i].path, places[i].mode, err);
    if (!failed && !tree_follow(tree, config->workdir))
        failed = tree_add_dir(tree, config->workdir, 0755, err);
    for (size_t i = 0; i < config->volumes.len && !failed; i++)
        if (config->volumes.at[i][0] == '/' && !tree_follow(tree, config->volumes.at[i]))
            failed = tree_add_dir(tree, config->volumes.at[i], 0755, err);
    return failed;
}

static int unpack_config(struct unpacking *u, struct err *err)
{
    struct builder *b = u->b;

    image_config_free(&b->config);
    int failed = config_parse(u->image.config, &b->config, err);
    if (failed) {
        config_defaults(&b->config);
        return failed;
    }
    /* A container may start whatever it holds. */
    if (!(b->opts->exec && b->opts->exec->len) &&
        !config_getenv(&b->config.labels, "org.ingot.exec"))
        builder_allow_exec(b, "@image");
    return 0;
}

static int unpack_image(struct unpacking *u, const struct target *target, struct err *err)
{
    int failed = container_files_open(&u->files, target->path, u->b->scratch, err);

    if (!failed)
        failed = container_pick(&u->files, target->which, &u->image, err);
    if (!failed)
        failed = unpack_machine(u->image.config, err);
    if (!failed)
        failed = unpack_config(u, err);
    for (size_t i = 0; i < u->image.layers.len && !failed; i++)
        failed = unpack_layer(u, i, err);
    return failed ? failed : unpack_places(&u->b->tree, &u->b->config, err);
}

static void unpack_depend(struct tree *tree, const char *path)
{
    char *index CLEANUP(mem_free) = fs_is_dir(path) ? fs_join(path, "index.json") : str_dup(path);
    char *real CLEANUP(mem_free) = fs_real(index, NULL);

    if (real)
        tree_depend(tree, real);
}

int container_add(struct builder *b, const struct target *target, struct err *err)
{
    struct unpacking u CLEANUP(unpacking_free) = {.b = b, .folder = fs_join(b->scratch, "files")};

    if (!fs_exists(target->path))
        return err_errno(err, ENOENT, "%s", target->path);
    b->scratch_base = false; /* it has all it needs */
    unpack_depend(&b->tree, target->path);
    int failed = fs_mkdirs(u.folder, err);
    if (!failed)
        failed = unpack_image(&u, target, err);
    return failed ? err_prefix(err, "%s", target->path) : 0;
}
