/* What the files of `ingot debug` share. */
#pragma once

#include "lib/buf.h"

struct image;
struct instance;

/**
 * Have gdb know the files that the first program of @instance has mapped.  What cannot be found is
 * left out; a guest that does not answer has no symbols but its kernel's.
 * @argv: gdb's words, which are added to; @folder: for copies of the files, there until gdb ends
 */
void debug_add_program(struct strs *argv, const struct instance *instance,
                       const struct image *image, const char *folder);
