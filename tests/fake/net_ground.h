/* What the network's worlds stand on: one CPU, a clock that only they move, its timers, and pages
 * of an arena that are poison to ASan while they are free. */
#pragma once

#include "lib/types.h"

/** The virtual time. */
extern u64 world_ns;
/** Pages that somebody holds, in units of 4 KiB. */
extern u64 world_pages;
/** NULL, or whether there is no page to be had now. */
extern bool (*world_page_fails)(void);

/** Before anything else. Once a process. */
void world_ground(void);
/** When the next timer fires; TIME_NEVER: none is set. */
u64 world_next_timer_ns(void);
/** Fire the next timer, at its own time, if that is not after @until_ns. Was there one? */
bool world_run_timer(u64 until_ns);
