/* Locals that free themselves when their scope ends: `int fd CLEANUP(fd_close) = -1;`.
 * Each function takes a pointer to the variable and does nothing for its empty value. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function), unused))

/** Free a heap string or array: `char *s CLEANUP(mem_free) = NULL;`. */
static inline void mem_free(void *pointer)
{
    free(*(void **)pointer);
}

/** Close a descriptor unless it is negative; errno stays as it was. */
void fd_close(int *fd);

/** Close a stdio stream unless it is NULL; for streams that were read, or whose loss is no loss. */
void file_close(FILE **file);

/**
 * Give a local away: yields its value and leaves the empty one behind, so nothing is freed.
 * `return TAKE(path, NULL);`
 */
#define TAKE(variable, empty)                                                                      \
    ({                                                                                             \
        typeof(variable) take_ = (variable);                                                       \
        (variable) = (empty);                                                                      \
        take_;                                                                                     \
    })
