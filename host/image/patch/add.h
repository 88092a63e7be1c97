/* Patches for all programs and libraries of a tree. */
#pragma once

#include "lib/err.h"

#include <stdbool.h>

struct strs;
struct tree;

/** Where they are in an image. */
#define PATCH_PATH "/.ingot/patch"

/**
 * Add a patch for each ELF file of @tree that has system calls.
 * @why: what is said where there is no disassembler, and the tree stays as it is; owned by the
 * caller
 */
int patch_add_all(struct tree *tree, char **why, struct err *err);

/** The set of calls that an image makes (struct call_set). */
#define CALLS_PATH "/.ingot/calls"

/**
 * Add the set of calls of @tree, whose patches are in it, of the layers @below, and of those that
 * @allow (may be NULL) names.  ERR_USAGE: no such call.  *@complete: every layer below has a set.
 */
int patch_add_calls(struct tree *tree, const struct strs *below, const struct strs *allow,
                    bool *complete, struct err *err);

/** The program that makes patches (patch/main.c); the string is the caller's. */
char *patch_program(void);
