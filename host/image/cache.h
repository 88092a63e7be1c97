/* The build cache: was this target built already, and are the files it was made from unchanged?
 * One small text file a target, named by its key, lists every host path with its inode, size and
 * times; a look costs one lstat() a path and reads no content. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/types.h"

#include <time.h>

struct image;
struct store;

/** The key of a build: a digest over these words, in this order. 65 bytes. */
void cache_key(const struct strs *words, char key[65]);

/** Load the image that was built under @key, if nothing changed since.  False: build it. */
bool cache_load(const struct store *store, const char *key, struct image *image);

/**
 * Write down what the build under @key, begun at @began, was made from.  If one of it changed
 * since, what was built is not known to be of the new state, and nothing is written: so the next
 * time builds again, as it does after any failure here.
 */
void cache_store(const char *key, const struct strs *deps, const struct timespec *began);
