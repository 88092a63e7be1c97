/* Words for the guest's kernel command line.
 *
 * Linux's syntax: words are separated by spaces and double quotes group.  Between quotes, and only
 * there, a backslash escapes: \" \\ \n and \xHH for any byte.  So every string but one with a NUL
 * survives the trip, the empty one included. */
#pragma once

#include "lib/types.h"

struct buf;

enum {
    /* What PVH loaders and firmware pass on without loss; Linux's own limit is the same. */
    CMDLINE_MAX = 2047,
};

/** Append a space, unless @line is empty, and @word, quoted where that is needed. */
void cmdline_add(struct buf *line, const char *word);

/** As cmdline_add() for "@key=@value"; only the value is ever quoted, @key is of plain letters. */
void cmdline_add_pair(struct buf *line, const char *key, const char *value);

/**
 * May an environment variable of this name (@len bytes) be a word of its own?  Not if the kernel
 * would take it for one of its own words: a name with a dot, or one that Linux knows.
 */
bool cmdline_env_fits(const char *name, size_t len);
