/* Patches for all programs and libraries of a tree. */
#pragma once

#include "lib/err.h"

struct tree;

/** Where they are in an image. */
#define PATCH_PATH "/.ingot/patch"

/**
 * Add a patch for each ELF file of @tree that has system calls.
 * @why: what is said where there is no disassembler, and the tree stays as it is; owned by the
 * caller
 */
int patch_add_all(struct tree *tree, char **why, struct err *err);
