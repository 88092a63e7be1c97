/* When the parts of the start began, for `ingot run --boot-chart`. */
#pragma once

#include "lib/types.h"

/** The host wants more than the log; see loglevel in docs/architecture.md.  [I] */
extern bool chart_wanted;

/** chart_mark() where the chart is wanted. @name stays. */
void chart_note(const char *name);

/** Here begins @name, which stays. */
static inline void chart_mark(const char *name)
{
    if (unlikely(chart_wanted))
        chart_note(name);
}

/** Tell of all that was noted; later marks are told at once. */
void chart_tell(void);
