/* Instances: guests that go on without a terminal, and are found again by name.
 *
 * There is no daemon.  Each instance is a folder of the state directory, and a supervisor (see
 * supervisor.h) while it runs.  The folder's name is the instance's name, so names are unique by
 * the file system's own word; a lock that the supervisor holds on the file `lock` says whether it
 * lives, and nobody can hold it beyond his death, whatever he died of.
 *   config.json   what to run, written once
 *   state.json    how it goes, replaced whole by whoever holds the lock
 *   lock          held by the supervisor, or by who starts or removes it
 *   control       socket of the supervisor; qmp: of its VMM
 *   log, log.1... what it said
 * Folders that begin with a dot are being made or removed. */
#pragma once

#include "lib/buf.h"
#include "lib/duration.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/types.h"

#include <time.h>

/** An instance at hand. */
struct instance {
    char *name; /* owned */
    int dir;    /* its folder, which may be renamed meanwhile; -1 for none */
    int lock;   /* its lock file with the lock held by us, or -1 */
};

enum instance_status {
    INSTANCE_CREATED,
    INSTANCE_RUNNING,
    INSTANCE_PAUSED,
    INSTANCE_RESTARTING, /* between two runs, waiting */
    INSTANCE_EXITED,
    INSTANCE_DEAD, /* its supervisor, or the whole machine, ended before it could say so */
    NR_INSTANCE_STATUS
};

/** What state.json says.  Times are nanoseconds since 1970, 0 for never. */
struct instance_state {
    enum instance_status status;
    pid_t pid;    /* the supervisor, or a foreground `ingot run`; valid while live */
    pid_t runner; /* the child that runs the VMM; 0 for none */
    s64 started, finished;
    int exit_code;
    unsigned restarts;
    bool stopped;    /* the user said so: policies leave it alone */
    bool foreground; /* there is no supervisor: its terminal is its user's */
    u64 lost;        /* lines that the log driver could not take */
    char health[16]; /* "starting", "healthy", "unhealthy"; "" for no check */
    char error[256]; /* why the last start failed; "" if it did not */
};

/** The state directory, owned by the caller: INGOT_STATE, $XDG_STATE_HOME/ingot or ~/.local/state.
 */
char *instance_root(void);

/** Now, in nanoseconds since 1970. */
s64 instance_clock(void);

/** RFC 3339 with nanoseconds, UTC, as Docker prints; returns @out. */
char *instance_time(s64 ns, char out[40]);

/** Check a name: letters, digits, and "_.-" behind the first.  Returns 0 or ERR_USAGE. */
int instance_check_name(const char *name, struct err *err);

/**
 * Make an instance and hold its lock.
 * @name: EEXIST if it is in use, and by what
 * @config: its config.json; borrowed
 */
int instance_create(struct instance *instance, const char *name, const json_t *config,
                    struct err *err);

/** Find one by name.  ENOENT names the nearest. */
int instance_open(struct instance *instance, const char *name, struct err *err);

/** Let go, of the lock too; fit for CLEANUP. */
void instance_close(struct instance *instance);

/** Take the lock.  EBUSY: it lives, or somebody starts or removes it. */
int instance_lock(struct instance *instance, struct err *err);

/** Does anybody hold its lock? */
bool instance_is_live(const struct instance *instance);

/** All names, sorted.  What somebody who was killed left behind, and never ran, is removed. */
int instance_list(struct strs *names, struct err *err);

/** Give it another name; it may run. */
int instance_rename(struct instance *instance, const char *name, struct err *err);

/** It may have been renamed by another process: take the name that its folder has now. */
void instance_refresh(struct instance *instance);

/** Remove it with its logs.  The lock is held by the caller. */
int instance_remove(struct instance *instance, struct err *err);

/** Its config.json: a new reference, or NULL. */
json_t *instance_config(const struct instance *instance, struct err *err);

/** How it goes.  What cannot be read reads as dead; a state that outlived its writer too. */
void instance_get_state(const struct instance *instance, struct instance_state *state);

/** Replace its state; by the holder of the lock only. */
int instance_put_state(const struct instance *instance, const struct instance_state *state,
                       struct err *err);

/** The word for a status: "running". */
const char *instance_status_name(enum instance_status status);

/** A listening Unix socket in the instance's folder, or a negative errno.  The path may be of any
 * length: it is bound through the folder's descriptor. */
int instance_listen(const struct instance *instance, const char *name);

/** A folder in the instance's folder, made where it is missing: a descriptor, or a negative errno.
 */
int instance_subfolder(const struct instance *instance, const char *name);

/** A connection to such a socket, or a negative errno. */
int instance_connect(const struct instance *instance, const char *name);
