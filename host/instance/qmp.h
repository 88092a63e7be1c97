/* QEMU's monitor, as a client of the socket `qmp` in an instance's folder (QEMU Machine Protocol:
 * lines of JSON; a greeting, capabilities, then commands and their answers, events between). */
#pragma once

#include "instance/instance.h"

struct qmp {
    int fd;
    struct buf in;
    u64 deadline; /* ticks: when patience ends */
};

/**
 * Connect and agree on capabilities.  Only one client at a time is served: others wait.
 * @patience_ms: for this and for each command
 */
int qmp_open(struct qmp *qmp, const struct instance *instance, u64 patience_ms, struct err *err);

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
