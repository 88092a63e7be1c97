/* Where an object has code for certain: what its unwind tables, its symbols and Go's tables call a
 * function.  Everything else in an executable segment may be data. */
#pragma once

#include "image/patch/object.h"

struct code_range {
    u64 start, end;
    bool pads; /* has landing pads: the unwinder may enter it in the middle */
};

struct code_ranges {
    struct code_range *at; /* by .start, then the shorter one first; owned */
    size_t len, cap;
};

/** All ranges of @o.  disasm_open() has been called. */
void ranges_find(const struct object *o, struct code_ranges *out);

/** Free it; fit for CLEANUP. */
void ranges_free(struct code_ranges *ranges);

/** Add one that lies in a single executable segment; others are left out. */
void ranges_add(const struct object *o, struct code_ranges *ranges, u64 start, u64 len, bool pads);

/** The innermost range of @addr, or NULL. */
const struct code_range *ranges_at(const struct code_ranges *ranges, u64 addr);

/** eh_frame.c: functions by the unwind tables. */
void ranges_from_eh_frame(const struct object *o, struct code_ranges *out);

/** calls.c: functions by who calls them, for objects that have no unwind tables. */
void ranges_follow_calls(const struct object *o, struct code_ranges *ranges);
