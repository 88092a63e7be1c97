/* glibc's /etc/ld.so.cache, format 1.1: which path a library name stands for.
 * Read to search as the dynamic linker does, written so that the guest's finds its libraries
 * with one look.  Source: glibc, the file's own layout (sysdeps/generic/dl-cache.h names it). */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

struct ld_cache {
    const u8 *data; /* borrowed */
    size_t len;
    u32 count;
};

/** Check the header. Returns false if these bytes are no cache of this format; then ignore it. */
bool ld_cache_open(const u8 *data, size_t len, struct ld_cache *cache);

/**
 * The path for library @name among the entries for x86-64 without CPU requirements.
 * Borrowed from the cache's bytes; NULL if there is none.  Damaged entries are passed over.
 */
const char *ld_cache_find(const struct ld_cache *cache, const char *name);

/**
 * Append a cache of these libraries to @out.
 * @paths: absolute paths; the name that each is found by is its last component
 */
void ld_cache_write(const struct strs *paths, struct buf *out);
