/* Run another program and wait for it.
 * A program that is not installed is named together with the Debian package that has it. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

#include <stdint.h>
#include <sys/types.h>

struct proc {
    const char *const *argv; /* argv[0] is looked up in PATH; NULL-terminated; borrowed */
    const char *cwd;         /* NULL: ours */
    struct buf *out;         /* gets its standard output; NULL: discarded */
    const char *out_path;    /* a new file that gets it instead; NULL: none */
    uint64_t out_limit;      /* bytes that a file may have which it writes; 0: any */
    struct buf *errors;      /* gets its standard error; may equal out; NULL: ours */
    const char *const *env;  /* NULL: ours; else a whole environment */
};

/**
 * Run to the end.  Returns the exit status (128+n for signal n), or a negative code with @err set
 * when the program could not be started.  Interrupted by Ctrl-C, the child is ended first.
 */
int proc_run(const struct proc *proc, struct err *err);

/**
 * As proc_run(), where anything but status 0 is a failure: @err then holds the program's name, its
 * status and its own words.  Returns 0 or a negative code: -EIO, or -ENOSPC if it said so.
 */
int proc_check(const struct proc *proc, struct err *err);

/**
 * Where PATH has @name (which may also be a path already).
 * Returns a string owned by the caller, or NULL with @err naming the Debian package to install.
 */
char *proc_find(const char *name, struct err *err);

/** The child that runs now, for a signal handler that ends us; 0 when there is none. */
pid_t proc_current(void);
