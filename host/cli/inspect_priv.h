/* What the files of `ingot inspect` share. */
#pragma once

#include "image/image.h"
#include "lib/json.h"

/** Append what is known of the system calls of @image: sites by object, numbers by name. */
int inspect_syscalls(const struct image *image, json_t *list, struct err *err);

/** Append what there is to tell of the instance @name to @list.  1, 0 if there is none of that
 * name, or a negative code. */
int inspect_instance(const char *name, json_t *list, struct err *err);
