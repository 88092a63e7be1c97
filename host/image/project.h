/* Project folders: built by their own build tool, in a scratch copy. */
#pragma once

#include "lib/err.h"

struct builder;
struct target;

/** Build the folder of @target and add the program that comes of it; errors as source_add(). */
int project_add(struct builder *b, const struct target *target, struct err *err);
