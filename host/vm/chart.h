/* A drawing of a start: which part took how long, from the kernel's marks ("boot: TSC NAME" lines
 * of the log) and our own clock. */
#pragma once

#include "lib/err.h"
#include "lib/types.h"

enum { CHART_MAX = 40 };

struct chart {
    u64 tsc_khz, start_tsc; /* of this machine, when the VMM was started */
    bool process;           /* the guest's clock is ours; else it began with its machine */
    struct {
        char name[64];
        double ms;   /* of the clock that it is told by */
        double seen; /* since the start, when we heard of it */
        bool guest;
    } marks[CHART_MAX]; /* each begins there, and lasts until the next */
    size_t nr_marks;
};

/** Right before the VMM starts. */
void chart_begin(struct chart *chart, u64 tsc_khz, bool process);

/** A line of the log, without its time.  True: it was a mark. */
bool chart_line(struct chart *chart, const char *line);

/** Something that we see ourselves begins now. */
void chart_now(struct chart *chart, const char *name);

/** Draw it, and set both clocks right first.  Errors: EINVAL there is nothing to draw, or what the
 * system said. */
int chart_write(struct chart *chart, const char *path, struct err *err);
