/* What the files of `ingot debug` share. */
#pragma once

#include "lib/buf.h"

struct err;
struct image;
struct instance;

/**
 * Have gdb know the files that the first program of @instance has mapped.  What cannot be found is
 * left out; a guest that does not answer has no symbols but its kernel's.
 * @argv: gdb's words, which are added to; @folder: for copies of the files, there until gdb ends
 */
void debug_add_program(struct strs *argv, const struct instance *instance,
                       const struct image *image, const char *folder);

/**
 * gdb's words for the core file of a crash report.
 * @path: of either; @words: the user's, NULL-terminated
 * Errors: EINVAL another name, ENOENT one of them is not there.
 */
int debug_core(const char *path, const char *gdb, char *const *words, struct strs *argv,
               struct err *err);
