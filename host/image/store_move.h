/* Images on their way from one store to another: blobs under the digests that they are checked by,
 * then the entry of the index. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

/** What an image consists of. Free it with store_parts_free(). */
struct store_parts {
    char *name;          /* as users call it; NULL: they do not; owned */
    char *manifest;      /* hex digest; owned */
    struct strs digests; /* of all blobs, the manifest last */
};

/** Free the list; the files stay. */
void store_parts_free(struct store_parts *parts);

/** The parts of the image @id of this store.  ENOENT: it is not there. */
int store_parts(const char *id, struct store_parts *parts, struct err *err);

/** Is the image @id there, with all its layers? */
bool store_has(const char *id);

/** Where the blob @digest lies, or would; owned by the caller. */
char *store_blob(const char *digest);

/**
 * Take an image in: those of its blobs that the store does not have are in @folder, a scratch of
 * the store, under their digests, which were checked.  It gets its name unless another image has
 * it. Errors: EINVAL it is not the image @id.
 */
int store_adopt(const char *folder, const struct store_parts *parts, const char *id,
                struct err *err);
