/* What the files of `ingot inspect` share. */
#pragma once

#include "image/image.h"
#include "lib/json.h"

/** Append what is known of the system calls of @image: sites by object, numbers by name. */
int inspect_syscalls(const struct image *image, json_t *list, struct err *err);
