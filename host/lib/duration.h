/* Lengths of time as people write them. */
#pragma once

#include "lib/types.h"

/** "500ms", "30s", "1m30s", "2h", "1d", or plain seconds, into milliseconds.  False: none. */
bool duration_parse(const char *text, u64 *ms);

/** Now, in milliseconds of a clock that nobody sets. */
u64 ticks_ms(void);
