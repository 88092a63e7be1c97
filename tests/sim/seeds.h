/* Running a simulation for many seeds, each in a process of its own so that it repeats exactly. */
#pragma once

#include "lib/types.h"

/** Run @fn(@seed) in a child of at most @seconds; false where it dies, exits otherwise than with 0
 * or leaks. Says so with the seed. */
bool seed_passes(u64 seed, void (*fn)(u64), unsigned seconds);
/** End this process as failed, at once. */
_Noreturn void seed_fail(void);
