/* Functions that only their callers know: a library without unwind tables and without a symbol
 * table (musl's) still has local functions.  What certain code calls, or jumps to, is code. */
#include "image/patch/disasm.h"
#include "image/patch/ranges.h"

#include <stdlib.h>
#include <string.h>

struct calls {
    const struct object *o;
    u8 *covered; /* a byte for each of [o->low, o->high): known to be code */
    u64 *todo;
    size_t len, cap;
};

static bool calls_covers(const struct calls *c, u64 addr)
{
    return addr < c->o->low || addr >= c->o->high || c->covered[addr - c->o->low];
}

static void calls_cover(struct calls *c, u64 start, u64 end)
{
    memset(c->covered + (start - c->o->low), 1, end - start);
}

static void calls_want(struct calls *c, u64 target)
{
    if (calls_covers(c, target) || !object_code(c->o, target))
        return;
    if (c->len == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 256;
        c->todo = mem_resize(c->todo, c->cap, sizeof(*c->todo));
    }
    c->todo[c->len++] = target;
}

static void calls_of_range(struct calls *c, const struct code_range *range)
{
    u64 left, at = range->start;
    const u8 *bytes = object_at(c->o, at, &left);
    struct insn insn;

    for (; bytes && at < range->end; at += insn.len) {
        if (!disasm(bytes + (at - range->start), range->end - at, at, &insn))
            return;
        if (insn.has_target)
            calls_want(c, insn.target);
    }
}

/* A function goes on until a way ends that no jump inside it leads past.  Returns its end; @start
 * if what is there does not look like one. */
static u64 function_end(const struct calls *c, u64 start)
{
    enum { NEAR = 1 << 16 }; /* farther jumps leave the function */
    u64 left, at = start, reached = start;
    const u8 *bytes = object_at(c->o, start, &left);
    struct insn insn;

    while (bytes && !calls_covers(c, at)) {
        if (!disasm(bytes + (at - start), left - (at - start), at, &insn) || insn.odd)
            return start;
        at += insn.len;
        bool call = insn.eax == EAX_CLOBBER;
        if (insn.has_target && !call && insn.target > reached && insn.target - start < NEAR &&
            (insn.flow != FLOW_END || insn.len == 2)) /* long jumps are calls at the end */
            reached = insn.target;
        if (insn.flow == FLOW_END && at > reached)
            return at;
    }
    return at;
}

void ranges_follow_calls(const struct object *o, struct code_ranges *ranges)
{
    struct calls c = {.o = o, .covered = mem_new(o->high - o->low)};

    for (size_t i = 0; i < ranges->len; i++)
        calls_cover(&c, ranges->at[i].start, ranges->at[i].end);
    for (size_t i = 0, known = ranges->len; i < known; i++)
        calls_of_range(&c, &ranges->at[i]);
    while (c.len) {
        u64 start = c.todo[--c.len];
        u64 end = calls_covers(&c, start) ? start : function_end(&c, start);
        if (end == start)
            continue;
        calls_cover(&c, start, end);
        ranges_add(o, ranges, start, end - start, false);
        calls_of_range(&c, &(struct code_range){start, end, false});
    }
    free(c.covered);
    free(c.todo);
}
