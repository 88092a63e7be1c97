/* Sources: OCI image-spec 1.1 (image-layout.md, image-index.md, manifest.md); Docker image
 * specification 1.3, "Combined Image JSON + Filesystem Changeset Format". */
#include "image/container_pick.h"

#include "image/store_priv.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/sha256.h"

#include <errno.h>
#include <string.h>

enum {
    INDEX_DEPTH_MAX = 4,    /* indexes in each other */
    PICK_LAYERS_MAX = 1024, /* Docker has 127 */
};

#define PICK_JSON_MAX MIB(16)

void container_image_free(struct container_image *image)
{
    json_decref(image->config);
    strs_free(&image->layers);
    strs_free(&image->digests);
    free(image->name);
    *image = (struct container_image){0};
}

/* A file of JSON, of this digest if @hex is not NULL; a new reference or NULL. */
static json_t *pick_json(struct container_files *c, const char *name, const char *hex,
                         struct err *err)
{
    struct slice bytes;
    json_error_t why;

    if (container_read(c, name, &bytes, err))
        return NULL;
    if (bytes.len > PICK_JSON_MAX) {
        err_set(err, EFBIG, "%s: more than 16 MiB", name);
        return NULL;
    }
    if (hex && strcmp(sha256_bytes(bytes.data, bytes.len).text, hex) != 0) {
        err_set(err, EINVAL, "%s: damaged: its content is not what its digest says", name);
        return NULL;
    }
    json_t *json = json_loadb((const char *)bytes.data, bytes.len, 0, &why);
    if (!json)
        err_set(err, EINVAL, "%s: line %d: not valid JSON: %s", name, why.line, why.text);
    return json;
}

static char *pick_blob_name(const char *hex)
{
    return str_printf("blobs/sha256/%s", hex);
}

/* The JSON that a descriptor names; a new reference or NULL. */
static json_t *pick_blob_json(struct container_files *c, const json_t *descriptor, struct err *err)
{
    const char *hex = store_digest(descriptor);

    if (!hex) {
        err_set(err, EINVAL, "index or manifest: a digest that is none of sha256: '%.80s'",
                json_str(descriptor, "digest", ""));
        return NULL;
    }
    char *name CLEANUP(mem_free) = pick_blob_name(hex);
    return pick_json(c, name, hex, err);
}

/* ---- names ---- */

/* "docker.io/library/alpine:3.19" is asked for by any tail of it that a slash or colon ends. */
static bool pick_named(const char *name, const char *which)
{
    size_t len = name ? strlen(name) : 0, wanted = strlen(which);

    if (!name || len < wanted)
        return false;
    const char *tail = name + len - wanted;
    if (strcmp(tail, which) == 0 && (tail == name || tail[-1] == '/' || tail[-1] == ':'))
        return true;
    char *latest CLEANUP(mem_free) = str_printf("%s:latest", which);
    return !strchr(which, ':') && strcmp(fs_name(name), latest) == 0;
}

static const char *pick_entry_name(const json_t *entry)
{
    const char *full = store_note(entry, "io.containerd.image.name");

    return full ? full : store_note(entry, STORE_NOTE_NAME);
}

static bool pick_entry_named(const json_t *entry, const char *which)
{
    return pick_named(pick_entry_name(entry), which) ||
           pick_named(store_note(entry, STORE_NOTE_NAME), which);
}

static int pick_none(const struct strs *names, const char *which, struct err *err)
{
    struct buf all CLEANUP(buf_free) = {0};

    for (size_t i = 0; i < names->len && i < 20; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", names->at[i]);
    if (which)
        return err_set(err, ENOENT, "no image '%s'; there are: %s", which,
                       all.len ? buf_text(&all) : "none with a name");
    return err_set(err, EEXIST, "several images; write one of these behind it, after a ':': %s",
                   buf_text(&all));
}

/* ---- OCI ---- */

static bool pick_is_index(const json_t *json)
{
    return json_is_array(json_object_get(json, "manifests"));
}

/* Entries that say nothing may be for this machine. */
static bool pick_fits(const json_t *entry)
{
    const json_t *platform = json_object_get(entry, "platform");

    if (store_note(entry, "vnd.docker.reference.type")) /* an attestation */
        return false;
    return !platform || (strcmp(json_str(platform, "os", ""), "linux") == 0 &&
                         strcmp(json_str(platform, "architecture", ""), "amd64") == 0);
}

static int pick_no_platform(const json_t *entries, struct err *err)
{
    struct buf all CLEANUP(buf_free) = {0};
    const json_t *entry;
    size_t i;

    json_array_foreach(entries, i, entry)
    {
        const json_t *platform = json_object_get(entry, "platform");
        if (i < 20 && platform)
            buf_printf(&all, "%s%s/%s", all.len ? ", " : "", json_str(platform, "os", "?"),
                       json_str(platform, "architecture", "?"));
    }
    return err_set(err, ENOEXEC, "no image for linux/amd64; there are: %s",
                   all.len ? buf_text(&all) : "none");
}

/* The entry of an index that is meant; borrowed. */
static int pick_entry(const json_t *index, const char *which, const json_t **out, struct err *err)
{
    const json_t *entries = json_object_get(index, "manifests"), *entry;
    struct strs names CLEANUP(strs_free) = {0};
    size_t i, named = 0;

    *out = NULL;
    json_array_foreach(entries, i, entry)
    {
        const char *name = pick_entry_name(entry);
        if (name && !strs_has(&names, name))
            strs_add(&names, name);
        if (which && !pick_entry_named(entry, which))
            continue;
        named++;
        if (!pick_fits(entry))
            continue;
        if (*out && !which && strcmp(json_str(*out, "digest", ""), json_str(entry, "digest", "")))
            return names.len > 1 ? pick_none(&names, NULL, err)
                                 : err_set(err, EEXIST, "several images without names");
        *out = *out ? *out : entry;
    }
    if (*out)
        return 0;
    return which && !named ? pick_none(&names, which, err) : pick_no_platform(entries, err);
}

/* From index to manifest: a new reference. */
static int pick_manifest(struct container_files *c, const char *which, json_t **out, char **name,
                         struct err *err)
{
    json_t *json CLEANUP(json_put) = pick_json(c, "index.json", NULL, err);

    for (int depth = 0; json && depth < INDEX_DEPTH_MAX && pick_is_index(json); depth++) {
        const json_t *entry;
        int failed = pick_entry(json, depth ? NULL : which, &entry, err);
        if (failed)
            return failed;
        if (!depth)
            *name = str_dup(pick_entry_name(entry));
        json_t *next = pick_blob_json(c, entry, err);
        json_decref(json);
        json = next;
    }
    if (!json)
        return -err->code;
    if (!json_is_array(json_object_get(json, "layers")))
        return err_set(err, EINVAL, "index.json leads to no image manifest");
    *out = TAKE(json, NULL);
    return 0;
}

static int pick_oci(struct container_files *c, const char *which, struct container_image *out,
                    struct err *err)
{
    json_t *manifest CLEANUP(json_put) = NULL;
    const json_t *layer;
    size_t i;

    int failed = pick_manifest(c, which, &manifest, &out->name, err);
    if (failed)
        return failed;
    out->config = pick_blob_json(c, json_object_get(manifest, "config"), err);
    if (!out->config)
        return -err->code;
    json_array_foreach(json_object_get(manifest, "layers"), i, layer)
    {
        const char *hex = store_digest(layer), *type = json_str(layer, "mediaType", "");
        if (!hex)
            return err_set(err, EINVAL, "manifest: a layer without a sha256 digest");
        if (!strstr(type, ".tar") && !strstr(type, "rootfs.diff"))
            return err_set(err, ENOTSUP, "a layer of type '%.80s', which is no tar archive", type);
        strs_take(&out->layers, pick_blob_name(hex));
        strs_add(&out->digests, hex);
    }
    return 0;
}

/* ---- docker save ---- */

static int pick_docker_entry(const json_t *manifest, const char *which, const json_t **out,
                             char **name, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0}, own CLEANUP(strs_free) = {0};
    const json_t *entry;
    size_t i;

    *out = NULL;
    json_array_foreach(manifest, i, entry)
    {
        strs_free(&own);
        json_strs(entry, "RepoTags", &own);
        strs_add_all(&names, &own);
        bool fits = !which;
        for (size_t k = 0; which && k < own.len; k++)
            fits |= pick_named(own.at[k], which);
        if (!fits || *out)
            continue;
        *out = entry;
        *name = str_dup(own.at ? own.at[0] : NULL);
    }
    if (!*out || (!which && json_array_size(manifest) > 1))
        return pick_none(&names, which, err);
    return 0;
}

/* Names that are digests are checked as such: "HEX.json", "blobs/sha256/HEX". */
static const char *pick_digest_in(const char *name, char hex[65])
{
    const char *base = fs_name(name);

    if (strspn(base, "0123456789abcdef") != 64 || (base[64] && base[64] != '.'))
        return NULL;
    memcpy(hex, base, 64);
    hex[64] = 0;
    return hex;
}

static int pick_docker(struct container_files *c, const char *which, struct container_image *out,
                       struct err *err)
{
    json_t *manifest CLEANUP(json_put) = pick_json(c, "manifest.json", NULL, err);
    const json_t *entry;
    char hex[65];

    if (!manifest)
        return -err->code;
    if (!json_is_array(manifest))
        return err_set(err, EINVAL, "manifest.json: not a list of images");
    int failed = pick_docker_entry(manifest, which, &entry, &out->name, err);
    if (failed)
        return failed;
    const char *config = json_str(entry, "Config", "");
    out->config = pick_json(c, config, pick_digest_in(config, hex), err);
    if (!out->config)
        return -err->code;
    if (!json_strs(entry, "Layers", &out->layers))
        return err_set(err, EINVAL, "manifest.json: 'Layers' is no list of names");
    for (size_t i = 0; i < out->layers.len; i++)
        strs_add(&out->digests, ""); /* the names of older ones are none of the content */
    return 0;
}

int container_pick(struct container_files *c, const char *which, struct container_image *out,
                   struct err *err)
{
    int failed;

    *out = (struct container_image){0};
    if (container_has(c, "manifest.json"))
        failed = pick_docker(c, which, out, err);
    else if (container_has(c, "index.json"))
        failed = pick_oci(c, which, out, err);
    else
        failed = err_set(err, EINVAL, "no container image: neither index.json nor manifest.json");
    if (!failed && out->layers.len > PICK_LAYERS_MAX)
        failed = err_set(err, EFBIG, "more than %d layers", PICK_LAYERS_MAX);
    if (failed)
        container_image_free(out);
    return failed;
}
