/* Doing what an Ingotfile says. */
#pragma once

#include "lib/err.h"

struct builder;

/**
 * Follow the Ingotfile @recipe; COPY and PROGRAM take files from folder @context.
 * Errors begin with the file and the line.
 */
int recipe_apply(struct builder *b, const char *context, const char *recipe, struct err *err);
