/* What happened to instances: lines of JSON in the file `events` of the state directory, for
 * `ingot events`.  Two files of a mebibyte at most. */
#pragma once

#include "lib/err.h"
#include "lib/json.h"
#include "lib/types.h"

/**
 * Note that something happened.  What cannot be written is not worth a failure.
 * @more: further members, a reference that is taken; NULL for none
 */
void event_write(const char *name, const char *action, json_t *more);

struct event_query {
    s64 since, until; /* nanoseconds since 1970; 0: no bound */
    bool follow;      /* go on until @until, or without end */
    void (*show)(const json_t *event, void *context);
    void *context;
};

/** Show events.  Returns 0, or a negative code with @err set. */
int event_read(const struct event_query *query, struct err *err);
