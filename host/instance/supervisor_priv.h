/* What the files of the supervisor share. */
#pragma once

#include "instance/supervisor.h"

#include <poll.h>

enum {
    MAX_CLIENTS = 16,
    ORDER_MAX = 64,
};

/* Who is connected to `control`. */
struct client {
    int fd; /* -1: free */
    bool attached;
    char order[ORDER_MAX];
    size_t len;
};

struct supervisor {
    const struct supervisor_plan *plan;
    struct instance *instance;
    struct instance_state state;
    struct log_writer log;
    struct health health;
    struct client clients[MAX_CLIENTS];
    int signals, control, monitor, guest;
    int out, err, started; /* from the runner; -1 once closed */
    int ready;             /* to who started us; -1 once told */
    pid_t runner;          /* 0: none runs */
    bool up;               /* the VMM of this runner was started */
    bool was_up;           /* one of any runner was */
    char why[1024];        /* what the runner said of a VMM that does not start */
    u64 kill_at, start_at; /* ticks; 0: not set */
    u64 up_since;
    u64 pause_ms; /* how long to wait before the next start */
    bool killed;
    bool over;
};

/** Write its state; a full disk is no reason to end. */
void supervisor_save(struct supervisor *s);

/** Bytes of a stream go to the log and to who is attached. */
void supervisor_output(struct supervisor *s, enum log_stream stream, const char *bytes, size_t len);

/** Somebody connects. */
void control_accept(struct supervisor *s);

/** A client says something, or leaves. */
void control_input(struct supervisor *s, struct client *client);

/** To who is attached. */
void control_output(struct supervisor *s, enum log_stream stream, const char *bytes, size_t len);

/** Ask the guest to stop within @ms, and do not start it again. */
void supervisor_stop(struct supervisor *s, u64 ms, bool by_user);

/** Stop the guest's time, or let it go on.  0, or a negative code with @err set. */
int supervisor_pause(struct supervisor *s, bool pause, struct err *err);
