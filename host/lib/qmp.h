/* QEMU's monitor, as a client (QEMU Machine Protocol: lines of JSON; a greeting, capabilities, then
 * commands and their answers, events between). */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/types.h"

struct qmp {
    int fd;
    struct buf in;
    u64 patience_ms; /* for each answer */
};

/**
 * Agree on capabilities over a connection to a monitor.  Only one client at a time is served:
 * others wait.
 * @fd: the connection, which is taken however this ends; a negative errno: there is none
 * Errors: ETIMEDOUT, EPIPE, or what @fd said.  qmp_close() is the caller's in any case.
 */
int qmp_open(struct qmp *qmp, int fd, u64 patience_ms, struct err *err);

/** Leave; fit for CLEANUP. */
void qmp_close(struct qmp *qmp);

/**
 * One command, and wait for its answer.
 * @arguments: a reference that is taken; NULL for none
 * @answer: what it returned, a new reference; NULL: not wanted
 * Errors: EINVAL with QEMU's words, ETIMEDOUT, EPIPE.
 */
int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, json_t **answer,
             struct err *err);

/** Give QEMU a descriptor under the name @name, for "fd:NAME".  @fd stays the caller's. */
int qmp_give_fd(struct qmp *qmp, const char *name, int fd, struct err *err);
