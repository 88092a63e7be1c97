/* Images of Docker, podman and buildah as targets:
 *   oci:FOLDER[:NAME]             an OCI image layout
 *   oci-archive:FILE[:NAME]       a tar archive of one
 *   docker-archive:FILE[:NAME]    what `docker save` writes
 * and such a folder or file by its path.  The word before the colon only says that it is one: what
 * it is is seen from what it holds. */
#pragma once

#include "lib/err.h"

#include <stdbool.h>

struct builder;
struct target;

/** Does @word begin with one of the words above? */
bool container_prefixed(const char *word);

/**
 * The same; then *@path and *@which (NULL: no NAME) are the
 * rest of it, owned by the caller; a path may hold colons, if it exists.
 */
bool container_word(const char *word, char **path, char **which);

/** Is there such an image at @path, by what it looks like from outside? */
bool container_at(const char *path);

/**
 * Add the image: all its files and its configuration.
 * Errors: EINVAL damaged, hostile, or a digest that is not right; ENOENT no image of that name;
 * EEXIST several, and no name; ENOEXEC none for this machine; EFBIG.
 */
int container_add(struct builder *b, const struct target *target, struct err *err);

/** The name that the image has there, as far as it is one here, else one made of the file's.  Owned
 * by the caller. */
char *container_name(const struct target *target);
