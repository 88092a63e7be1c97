/* The user's terminal while a guest has it: every key goes to the guest, and the terminal is as it
 * was on every way out, a crash of ours and a stop signal included.  One per process. */
#pragma once

#include "lib/types.h"

/**
 * Hand the terminal @fd to the guest: raw input, no echo, no signals from keys; output too (the
 * guest writes its own carriage returns). Returns 0 or a negative errno; ENOTTY for what is no
 * terminal.
 */
int terminal_raw(int fd);

/** Give it back.  Harmless if it was not taken; async-signal-safe. */
void terminal_restore(void);

/** Its size in characters; false if it has none. */
bool terminal_size(int fd, unsigned *columns, unsigned *rows);
