/* The operator's line (docs/architecture.md) of a guest whose VMM does not listen for callers
 * itself: they come one after the other, as at QEMU's sockets; who waits for his turn is in the
 * listening socket's queue.  What the guest says while nobody listens is lost. */
#pragma once

#include "lib/types.h"

#include <poll.h>

struct relay_line {
    int listening;     /* borrowed; -1: there is no such line */
    int guest;         /* our end of it, which never blocks; borrowed; -1 once the guest has gone */
    int caller;        /* who speaks with it now; owned; -1 for nobody */
    size_t start, len; /* of .bytes: for the caller, and not taken yet */
    char bytes[4096];
};

enum { RELAY_LINE_SLOTS = 2 };

/** What to wait for. */
void relay_line_poll(const struct relay_line *line, struct pollfd set[RELAY_LINE_SLOTS]);

/** Do what poll() found in @set.  Never blocks. */
void relay_line_take(struct relay_line *line, const struct pollfd set[RELAY_LINE_SLOTS]);

/** Ask something whose answer nobody wants, where nobody else asks.  It may be lost. */
void relay_line_say(const struct relay_line *line, const char *request);

/** Hang up. */
void relay_line_end(struct relay_line *line);
