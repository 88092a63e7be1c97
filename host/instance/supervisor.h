/* The one process that stays with an instance: it starts the runner (a child, which starts the VMM
 * and speaks with the guest), keeps its words, starts it again as the policy says, looks after its
 * health, and takes orders over the socket `control` of the instance's folder.
 *
 * When it dies, whatever of, the kernel kills the runner, and then the VMM: nothing is left over.
 *
 * The protocol is one line a request: "stop MS", "kill", "signal", "pause", "unpause", "attach",
 * "attach input" (what is said from then on is the program's standard input).
 * The answer is "ok" or "error WHY"; the socket then stays open until the supervisor ends, so that
 * its end of file tells of that.  After "attach" come frames: u8 stream (1 output, 2 errors), three
 * zero bytes, u32 length (big-endian), and as many bytes. */
#pragma once

#include "instance/health.h"
#include "instance/instance.h"
#include "instance/log.h"

enum restart_kind {
    RESTART_NO,
    RESTART_ON_FAILURE,
    RESTART_ALWAYS,
    RESTART_UNLESS_STOPPED, /* as always, but a boot of the machine leaves a stopped one alone */
};

struct restart_policy {
    enum restart_kind kind;
    unsigned max; /* of on-failure: how often; 0: without end */
};

/** "no", "on-failure", "on-failure:3", "always", "unless-stopped".  Errors: ERR_USAGE. */
int restart_parse(const char *text, struct restart_policy *policy, struct err *err);

/** What the runner finds in its process besides its standard streams. */
struct runner_wires {
    int started; /* one byte is written once the VMM runs; else words of why it does not */
    int monitor; /* a listening socket for the VMM's monitor; 0 where there is none */
    int guest;   /* likewise for the operator's line to the guest's kernel */
    int crash;   /* the folder for crash reports; 0 where there is none */
    bool again;  /* it ran before, and is started anew */
};

struct supervisor_plan {
    struct instance *instance; /* with its lock; borrowed, and closed in both processes */
    struct restart_policy restart;
    struct log_options log;
    struct health_plan health;
    u64 grace_ms;   /* for a stop that nobody gave a time */
    bool vm;        /* a VM: it has a monitor; else a sandboxed process */
    bool remove;    /* remove the instance once it has ended */
    bool start_new; /* a first start that fails removes it too */
    bool input;     /* its standard input is what those say who are attached; else it is empty */
    /** In the runner: run the guest, and return its exit status. */
    int (*run)(void *context, const struct runner_wires *wires);
    void *context;
};

/** Remember the descriptors that whoever started us left open: supervisors close them.  To be
 * called before anything else is opened. */
void supervisor_note_inherited(void);

/**
 * Start a supervisor, and wait until the VMM runs.
 * Returns 0, or why it does not run; the instance is closed either way.
 */
int supervisor_start(const struct supervisor_plan *plan, struct err *err);

enum {
    ORDER_PATIENCE_MS = 5000, /* for the answer to an order */
};

/**
 * Give an order to a supervisor: a line of the protocol without its end.
 * @wait: also wait until the supervisor has ended
 * ESRCH: it does not run; ETIMEDOUT: it does not answer; EINVAL: its own words.
 */
int supervisor_order(const struct instance *instance, const char *order, bool wait,
                     struct err *err);

/** As supervisor_order(), and return the connection (or a negative code). */
int supervisor_connect(const struct instance *instance, const char *order, struct err *err);
