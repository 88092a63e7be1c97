/* Signals that end a command, held back while it is in the middle of what must be undone. */
#pragma once

#include <stdbool.h>

/** From now on INT, TERM and HUP wait, unless they are ignored.  A child inherits that: it calls
 * signals_release() before it becomes another program. */
void signals_hold(void);

/** Did one come? */
bool signals_came(void);

/** They end this process again; if one came, at once. */
void signals_release(void);
