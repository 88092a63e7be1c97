/* What we need beside jansson itself: lenient getters, reading and writing whole files. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

#include <jansson.h>

/** Drop a reference; fit for CLEANUP: `json_t *root CLEANUP(json_put) = NULL;`. */
static inline void json_put(json_t **json)
{
    json_decref(*json);
}

/** The string at @key, or @otherwise if it is absent or of another type.  Borrowed. */
const char *json_str(const json_t *object, const char *key, const char *otherwise);

/** The integer at @key, or @otherwise. */
json_int_t json_int(const json_t *object, const char *key, json_int_t otherwise);

/** Append the array of strings at @key to @out; an absent or null key adds nothing.
 * Returns false if it is something else. */
bool json_strs(const json_t *object, const char *key, struct strs *out);

/** A new array of strings; a new reference. */
json_t *json_from_strs(const struct strs *list);

/** Parse a file of at most 16 MiB: a new reference, or NULL with file and line in @err. */
json_t *json_read(const char *path, struct err *err);

/** The text of @json with keys sorted, owned by the caller. @indent 0: compact. */
char *json_text(const json_t *json, int indent);
