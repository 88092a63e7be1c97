/* Targets that have to be built first: source files, project folders, Ingotfiles. */
#pragma once

#include "lib/err.h"

struct builder;
struct target;

/**
 * Build @target in a scratch copy and add the program that comes of it.
 * What a compiler or a build tool says when it fails goes to standard error as it is.
 * Errors: EINVAL the build failed; ENOENT it made no program, or several (--program chooses;
 * the candidates are listed); a missing tool with the package that has it.
 */
int source_add(struct builder *b, const struct target *target, struct err *err);
