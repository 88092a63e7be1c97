/* Shared by store.c (reading) and store_write.c (changing). */
#pragma once

#include "image/store.h"

#define STORE_NOTE_NAME    "org.opencontainers.image.ref.name"
#define STORE_NOTE_CREATED "org.opencontainers.image.created"
#define STORE_NOTE_CACHE   "io.ingot.cache"

/** @root/blobs/sha256/HEX, owned by the caller. */
char *store_blob_path(const char *root, const char *hex);

/** The hex digits of a descriptor's digest; NULL if it is no sha256 digest.  Borrowed. */
const char *store_digest(const json_t *descriptor);

/** An annotation of an index entry, or NULL.  Borrowed. */
const char *store_note(const json_t *descriptor, const char *key);

/** The "manifests" array; NULL for an empty store.  Borrowed. */
json_t *store_manifests(const struct store *store);

/** Read index.json again, as a writer must after it has the lock. */
int store_reload(struct store *store, struct err *err);

/** What tells this index.json from any other; false: there is none. */
bool store_state(const char *root, char *state, size_t size);

/** store_refs.c: the entry of a full name or build cache key as a reader noted it; false: look into
 * the index.  On success the entry is the caller's. */
bool store_recall(const struct store *store, const char *key, struct store_entry *entry);
/** As store_recall(), also as an older index had it: for keys that say themselves what is theirs.
 */
bool store_recall_any(const struct store *store, const char *key, struct store_entry *entry);
/** The name of @key's note in `refs`; owned by the caller. */
char *store_note_name(const char *key);
/** Note what was found in the index that @store holds. */
void store_remember(const struct store *store, const char *key, const struct store_entry *entry);
/** The path of @key's note; owned by the caller. */
char *store_note_path(const struct store *store, const char *key);
/** Write a note, where the store is ours to write. */
void store_write_note(const struct store *store, const char *path, const void *bytes, size_t len);

/** What messages call an image: its name, else its digest.  Borrowed. */
const char *store_label(const struct store_entry *entry);

/* store_write.c */

/** Open the store to change it: alone until @lock is closed, and with the index as it is now. */
int store_lock(struct store *store, int *lock, struct err *err);
/** With the lock: list the manifest @digest under @name, if that is not NULL. */
int store_add(struct store *store, const char *digest, const char *name, struct err *err);
/** Does an entry of the index name the manifest @digest? */
bool store_lists(const struct store *store, const char *digest);
/** With the lock: write the index that @store holds, and remove what it does not need: @now, or
 * blobs only a minute after they were found to be left over, since somebody may have read the list
 * and be about to open them. */
int store_settle(struct store *store, bool now, struct err *err);
/** With the lock: remove what the index does not need, blobs a minute later. */
void store_sweep_left_over(struct store *store);
