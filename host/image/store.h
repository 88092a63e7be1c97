/* The image store: an OCI image layout (image-spec v1.1, image-layout.md) that other tools read.
 *   oci-layout, index.json, blobs/sha256/HEX   as the specification has them
 *   cache/KEY                                  what a built target was made from (build cache)
 *   refs/HASH                                  where the index has a name: only to be quick
 *   tmp/, lock                                 scratch, and who may write
 * Everything written appears whole or not at all; blobs come before the index that names them.
 * Writers hold the lock from their first blob to the index; readers need none. */
#pragma once

#include "image/image.h"
#include "lib/json.h"
#include "lib/sha256.h"
#include "lib/types.h"

#include <time.h>

#define STORE_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define STORE_CONFIG_TYPE   "application/vnd.oci.image.config.v1+json"
#define STORE_LAYER_TYPE    "application/vnd.erofs.layer.v1"

enum { STORE_STATE = 160 };

struct store {
    char *root;              /* absolute path */
    json_t *index;           /* index.json as it was read; NULL: an empty store, or not read yet */
    char state[STORE_STATE]; /* which index.json that was; empty: none */
};

/** One image as the index lists it.  Strings are owned by the entry. */
struct store_entry {
    char *name;    /* "hello:1"; NULL if untagged */
    char *cache;   /* build cache key; NULL for images that a user named */
    char *digest;  /* hex digest of the manifest */
    char *created; /* RFC 3339, UTC */
};

/** Open the store of this user for reading; one that does not exist yet is empty. */
int store_open(struct store *store, struct err *err);

/** The same without the index: until store_read() only what was found before is found. */
void store_open_unread(struct store *store);
int store_read(struct store *store, struct err *err);

/** Let go; fit for CLEANUP. */
void store_close(struct store *store);

/** Free one entry; fit for CLEANUP. */
void store_entry_free(struct store_entry *entry);

/** How many images the index lists. */
size_t store_count(const struct store *store);

/** Entry number @i; false if it is damaged. On success the entry is the caller's. */
bool store_entry_at(const struct store *store, size_t i, struct store_entry *entry);

/** The next entry that is not damaged, from number *@i on; false at the end.  Frees what @entry
 * held: `for (size_t i = 0; store_next(store, &i, &entry);)` with an entry that is all zero. */
bool store_next(const struct store *store, size_t *i, struct store_entry *entry);

/**
 * The image that @target names: name, name:tag, or at least 4 digits of an image id.
 * Returns 0, -ENOENT, -EEXIST when several ids begin so; a damaged manifest is EINVAL.
 */
int store_find(const struct store *store, const char *target, struct store_entry *entry,
               struct err *err);

/** The entry of a build cache key; false if there is none. */
bool store_find_cached(const struct store *store, const char *key, struct store_entry *entry);

/**
 * Read manifest and config of an entry into @image.  Both are checked against their digests, the
 * layers by presence and size only.  EINVAL or ENOENT name the blob, and what to do.
 */
int store_load(const struct store *store, const struct store_entry *entry, struct image *image,
               struct err *err);

/**
 * As store_load(), for a run: what was read before is not read and hashed again while manifest and
 * config are the same files.
 */
int store_load_known(const struct store *store, const struct store_entry *entry,
                     struct image *image, struct err *err);

/** Compare every layer of @image with the digest that it is named by: reads all of it. */
int store_verify(const struct image *image, struct err *err);

/** The manifest of an entry, checked; a new reference or NULL. */
json_t *store_manifest(const struct store *store, const struct store_entry *entry, struct err *err);

/** The config blob that a manifest names, checked; a new reference or NULL. */
json_t *store_config(const struct store *store, const json_t *manifest, struct err *err);

/** A new image for the store. */
struct store_image {
    const char *name;         /* full reference, or NULL */
    const char *cache;        /* build cache key, or NULL */
    const struct strs *base;  /* paths of blobs that lie below; NULL: none */
    const char *layer;        /* path of the new EROFS layer; moved into the store */
    const struct strs *links; /* as in struct image; NULL: none */
    const struct image_config *config;
};

/**
 * Make a scratch folder inside the store, creating the store if need be.
 * Returns it as fs_tmpdir() does; NULL with the remedy in @err if the store cannot be written.
 */
char *store_scratch(struct err *err);

/**
 * Put an image into the store and give it its name, which another image may lose by that.
 * Blobs that nobody needs any more are removed.  @id (65 bytes) gets the image id.
 */
int store_put(const struct store_image *new, char id[65], struct err *err);

/** Name the image that @target finds @name (a full reference), too. */
int store_tag(const char *target, const char *name, struct err *err);

/**
 * Remove what each of @targets names: one name of an image, or all its names if given by id.
 * Names removed are appended to @untagged, the id to @deleted if that was the last one.
 * @missing_ok: one that is not there is no failure
 * What can be removed goes; the first failure is what is returned.
 */
int store_remove(const struct strs *targets, bool missing_ok, struct strs *untagged,
                 struct strs *deleted, struct err *err);

/** What the store has. */
struct store_usage {
    size_t named, unnamed; /* entries of the index */
    size_t unused;         /* of those without a name: no instance goes on from them either */
    u64 bytes;             /* of all blobs of images */
    u64 reclaimable;       /* of those that only unused images need */
};

/** Measure it. @used: ids of images that instances were made of. */
int store_measure(const struct strs *used, struct store_usage *usage, struct err *err);

/**
 * Remove images that have no name, the oldest first, until @keep of them are left; those in @used
 * (ids) stay, and those that somebody ran in the last @age seconds.
 * @deleted: gets the ids
 */
int store_prune(const struct strs *used, size_t keep, time_t age, struct strs *deleted,
                struct err *err);

/** Path of the store, owned by the caller: INGOT_HOME, or below XDG_DATA_HOME; never NULL. */
char *store_path(void);

/** Path of the build cache's file for @key, owned by the caller. */
char *store_cache_path(const char *key);
