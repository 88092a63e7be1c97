/* Between the user's descriptors and a running guest's channels, until the guest has ended.
 *
 * Nothing is kept longer than the other side needs to take it, nothing is lost at the end, and a
 * side that closes is felt by the other: end of file on our input reaches the program's, and a
 * reader of our output that leaves makes the program's writes fail, as a pipe's would. */
#pragma once

#include "lib/types.h"

struct buf;
struct guest_log;
struct report;
struct vm;

struct relay {
    struct vm *vm;
    struct guest_log *log; /* gets the kernel's console */
    struct report *report; /* gets what the kernel reports; NULL: nothing */
    /** Its kernel has panicked and is still there; then it is ended.  NULL: ended at once. */
    void (*panicked)(void *context);
    void *context;
    struct buf *diag; /* gets what the VMM complains about, 64 KiB at most */
    int in, out, err; /* the user's; @in is -1 for an input that is empty */
    int line;         /* a listening socket for the operator's line, used where vm.ch.line is;
                       * VM_LINE_OURS: it is told when the size of the terminal @in changes */
    u64 grace_ms;     /* from the first stop signal to the end of the VM */
    u64 timeout_ms;   /* from now to the end of the VM; 0 for never */
};

enum relay_cause {
    RELAY_GUEST,  /* the guest ended, or the VMM did */
    RELAY_KILLED, /* asked twice, or longer ago than the grace time */
    RELAY_TIMEOUT,
    RELAY_DEVICE, /* the device process ended, and so the guest was made to; vm.device_status */
    RELAY_LOST,   /* the guest ended, but not all of its output could be written; that was said */
};

/**
 * From here on the signals that stop us (INT, TERM, HUP, QUIT, TSTP, USR1, WINCH) wait for
 * relay_run(), and a broken pipe is an error instead of a signal.  Call it before the guest starts.
 */
void relay_hold_signals(void);

/** Let signals through again; those that came meanwhile act at once. */
void relay_release_signals(void);

/**
 * Pass everything on until the guest is gone and its last byte delivered.  The VMM is then dead or
 * dying; vm_wait() or vm_fini() is still the caller's.
 * A first INT, TERM or HUP asks the guest to stop, USR1 does so without a deadline; a second one
 * that does not come at once, QUIT, or Ctrl-] three times on a guest's terminal end the VM.
 */
enum relay_cause relay_run(const struct relay *relay);
