/* Facts about this machine that cost time to find and hold until it boots again.
 * One small file a fact, below XDG_RUNTIME_DIR or /tmp, ours alone and named for the boot;
 * a cache only: whatever goes wrong with it, the fact is found anew. */
#pragma once

#include "lib/types.h"

/** Read fact @name into @text of @size bytes.  Returns false if it is not known. */
bool boot_cache_get(const char *name, char *text, size_t size);

/** Remember a fact. */
void boot_cache_put(const char *name, const char *text);

/** The file of fact @name, open for reading; -1: there is none. */
int boot_cache_open(const char *name);

/** Remember one of @len bytes. */
void boot_cache_put_bytes(const char *name, const void *bytes, size_t len);

/** Forget all whose names begin with @prefix, of this boot or another.  Who has one open keeps it.
 */
void boot_cache_forget(const char *prefix);
