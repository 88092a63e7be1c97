/* Health checks from outside: what a guest's image says under Healthcheck, as far as a published
 * port can answer it.  A check connects, and asks for a page where one is named. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/types.h"

#include <poll.h>

enum health_kind {
    HEALTH_NONE,
    HEALTH_TCP,  /* somebody accepts a connection */
    HEALTH_HTTP, /* and answers GET with a status below 400 */
};

struct health_plan {
    enum health_kind kind;
    u16 guest_port;
    char host_ip[48]; /* where the port is published */
    u16 host_port;
    char path[256]; /* "/" and so on */
    u64 interval_ms, timeout_ms, start_ms;
    unsigned retries;
};

enum health_status {
    HEALTH_STARTING,
    HEALTH_HEALTHY,
    HEALTH_UNHEALTHY,
};

struct health {
    const struct health_plan *plan; /* borrowed; NULL or of no kind: never due */
    enum health_status status;
    unsigned failures; /* in a row */
    int fd;            /* of a check that is under way; -1 for none */
    bool sent;
    u64 due, deadline, born; /* ticks */
    char answer[32];
    size_t answer_len;
};

/**
 * A check in words: "tcp:PORT", "http:PORT/PATH", or what images say: ["CMD", "curl", ...,
 * "http://localhost:PORT/PATH"], CMD-SHELL with curl, wget or "nc -z HOST PORT" in it.
 * Fills kind, guest_port and path.  Errors: EINVAL, naming what cannot be asked from outside.
 */
int health_parse(const char *const *test, size_t count, struct health_plan *plan, struct err *err);

/** A guest has started. */
void health_start(struct health *health, const struct health_plan *plan);

/** No guest is there any more. */
void health_end(struct health *health);

/** What poll() should look at, and until when (ticks; 0: never). */
u64 health_poll(const struct health *health, struct pollfd *entry);

/** Go on with what is due.  Returns whether the status changed. */
bool health_step(struct health *health, short ready);

/** The word for a status: "healthy". */
const char *health_name(enum health_status status);
