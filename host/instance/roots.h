/* Which state directories have had instances made of images of a store: noted in the store, so that
 * who tidies it up looks into all of them.
 *   STORE/states/HASH   the path of one */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"

/** An instance is made of @config: note this state directory in its store, if that can be. */
void roots_note(const json_t *config);

/**
 * The state directories that are noted in @store, and this one; real paths, of folders that are
 * there, appended to @roots.
 */
int roots_list(const char *store, struct strs *roots, struct err *err);
