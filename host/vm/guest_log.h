/* The guest's serial console, as the runner reads it: lines "[    0.001234] text" of its kernel,
 * the last of which says how it all ended.  docs/architecture.md has the convention. */
#pragma once

#include "lib/types.h"

#include <stdio.h>

enum {
    GUEST_LOG_TAIL = 100,  /* lines kept for the report of a panic */
    GUEST_LOG_LINE = 4096, /* bytes; what is longer is cut */
};

struct report;

enum guest_end {
    GUEST_RUNNING, /* no final line so far */
    GUEST_EXIT,    /* the program left with a status */
    GUEST_SIGNAL,  /* the program died of a signal */
    GUEST_PANIC,
    GUEST_ERROR, /* the program could not be started */
};

enum guest_line {
    GUEST_LINE_KERNEL,
    GUEST_LINE_TRACE,
    GUEST_LINE_MISSING,
    GUEST_LINE_FINAL,
};

struct guest_log {
    void (*line)(void *context, enum guest_line kind, const char *text); /* NULL: nobody listens */
    void *context;
    struct report *report; /* gets what lies between the lines; borrowed; NULL: nothing does */

    enum guest_end end;
    int number; /* exit status or signal number */
    char *why;  /* words of a panic or an error; owned */

    char *tail[GUEST_LOG_TAIL]; /* a ring; owned */
    size_t nr_lines;            /* ever seen */
    char partial[GUEST_LOG_LINE];
    size_t partial_len;
};

/** Start with nothing seen; @line is called for each whole line, without its time stamp. */
void guest_log_init(struct guest_log *log,
                    void (*line)(void *context, enum guest_line kind, const char *text),
                    void *context);

/** Free what is kept. */
void guest_log_fini(struct guest_log *log);

/** Take the next bytes of the console, in pieces of any size. */
void guest_log_feed(struct guest_log *log, const char *bytes, size_t len);

/** The console has ended: what is left of an unfinished line counts as a line. */
void guest_log_flush(struct guest_log *log);

/**
 * Print the kept lines, each after @prefix.
 * @symbolize: may rewrite a line into @out of @size bytes; NULL to print lines as they came
 */
void guest_log_print_tail(const struct guest_log *log, FILE *to, const char *prefix,
                          void (*symbolize)(void *context, const char *line, char *out,
                                            size_t size),
                          void *context);

/** The exit status that `ingot run` gives for this end: Docker's numbers. */
int guest_log_status(const struct guest_log *log);
