/* What the files of the supervisor share. */
#pragma once

#include "instance/input.h"
#include "instance/supervisor.h"

#include <poll.h>

enum {
    MAX_CLIENTS = 16,
    ORDER_MAX = 64,
    BEHIND_MAX = 1 << 20, /* bytes that somebody who is attached may lag behind */
    BEHIND_MS = 10000,    /* and how long: nobody else hears anything meanwhile */
};

/* Who is connected to `control`. */
struct client {
    int fd;            /* -1: free */
    bool attached;     /* it gets what the guest says */
    bool speaks;       /* what it says is the guest's input, and no orders */
    struct buf behind; /* of what it gets: not taken yet */
    u64 drop_at;       /* ticks: when it is too late for that; 0: nothing is left */
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
    struct input input;    /* to the runner, where it takes any */
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

/** What to wait for. */
void control_poll(const struct supervisor *s, const struct client *client, struct pollfd *entry);

/** Somebody may take more. */
void control_catch_up(struct client *client);

/** Who is attached has not taken all: what comes next waits.  @at: until when; 0: nobody. */
bool control_is_behind(const struct supervisor *s, u64 *at);

/** Let go of who is too late. */
void control_drop_late(struct supervisor *s, u64 now);

/** The last words reach who takes them within a moment. */
void control_end(struct supervisor *s);

/** Ask the guest to stop within @ms, and do not start it again. */
void supervisor_stop(struct supervisor *s, u64 ms, bool by_user);

/** Stop the guest's time, or let it go on.  0, or a negative code with @err set. */
int supervisor_pause(struct supervisor *s, bool pause, struct err *err);
