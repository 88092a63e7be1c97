/* Which image of a container's files is meant, and the parts that it is made of. */
#pragma once

#include "image/container_files.h"
#include "lib/json.h"

struct container_image {
    json_t *config;      /* OCI image-config, its digest checked; owned */
    struct strs layers;  /* names of files, lowest first */
    struct strs digests; /* of those, hex, as their manifest has them; "" where it has none */
    char *name;          /* "alpine:3.19"; NULL: it has none */
};

/**
 * Find the image @which (NULL: the only one).
 * Errors: as container_add() has them.
 */
int container_pick(struct container_files *c, const char *which, struct container_image *out,
                   struct err *err);

/** Fit for CLEANUP. */
void container_image_free(struct container_image *image);
