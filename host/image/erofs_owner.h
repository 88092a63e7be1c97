/* Owners in an EROFS layer that was just written: mkfs.erofs takes them from the files that it
 * reads, which only root could give away, or makes all of them root's. */
#pragma once

#include "lib/err.h"

struct tree;

/** Write the owners that @tree has, where they are not root, into the layer in file @path, and
 * modes by which this program could not have read what it made the layer of. */
int erofs_set_owners(const struct tree *tree, const char *path, struct err *err);
