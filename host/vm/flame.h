/* A flame graph: a box a function, as wide as the share of the samples that it was on the stack of,
 * on top of its caller. */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

struct flame_stack {
    const char *text; /* places with ";" between, the outermost first; borrowed */
    u64 count;
};

/** Draw @n stacks, sorted by their text, as an SVG. */
void flame_draw(struct buf *out, const struct flame_stack *stacks, size_t n);
