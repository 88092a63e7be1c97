/* Extras: what a program opens at run time, by the table in runtimes.txt, which is compiled in. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

struct closure;

/**
 * Add to the closure's tree what the table has for this program.
 * @program: host path of the program, links resolved; NULL if only files are imaged
 * @with:    sections asked for by name, or NULL
 * @above:   there are layers below, which have what [base] adds
 * @env:     gets what sections say about the environment
 * @exec:    gets whom the program may start besides, as builder_add_exec() takes it
 * Errors: ERR_USAGE for a name in @with that the table lacks (the nearest is named).
 */
int extras_add(struct closure *closure, const char *program, const struct strs *with, bool above,
               struct strs *env, struct strs *exec, struct err *err);

/** Does the table have a section for a program of this host path? */
bool extras_know(const char *program);

/** Add libraries of every shared object of the tree that has not been looked at. */
int extras_complete(struct closure *closure, struct err *err);

/** The text of the table, and its digest for the build cache. */
const char *extras_table(size_t *len);
