/* What an instance says, line by line: to files of its own, to syslog or to journald.
 *
 * Nothing here ever waits or gives up: a disk that is full and a daemon that is gone cost lines,
 * which are counted, and the next line tries again. */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

enum log_kind {
    LOG_JSON, /* {"log":"text\n","stream":"stdout","time":"..."}: as Docker's json-file */
    LOG_TEXT, /* "TIME stdout F text": as container runtimes write for Kubernetes (CRI) */
    LOG_SYSLOG,
    LOG_JOURNALD,
    LOG_NONE,
};

struct log_options {
    enum log_kind kind;
    u64 max_size;       /* bytes of a file before the next one; 0: no limit */
    unsigned max_files; /* with the one that is written to; at least 1 */
    char address[100];  /* of the daemon's socket; "" for where it usually is */
    char tag[64];
};

enum log_stream { LOG_STDOUT, LOG_STDERR, NR_LOG_STREAMS };

enum {
    LOG_LINE_MAX = 16 << 10, /* bytes; a longer line is cut in pieces */
};

struct log_writer {
    const struct log_options *options; /* borrowed */
    int dir;                           /* folder of the files, borrowed */
    int fd;                            /* the file, or the daemon's socket; -1 for none */
    u64 size;                          /* of the file */
    u64 lost;                          /* lines that could not be written */
    struct buf partial[NR_LOG_STREAMS];
    struct buf out; /* lines that are on their way */
    u64 out_lines;
};

/** Start: files in the folder @dir.  What cannot be opened now is tried again with each line. */
void log_init(struct log_writer *log, const struct log_options *options, int dir);

/** Write what is left of unfinished lines, and close. */
void log_fini(struct log_writer *log);

/** Take the next bytes of a stream, in pieces of any size. */
void log_feed(struct log_writer *log, enum log_stream stream, const char *bytes, size_t len);

/** The program has ended: its unfinished lines are lines. */
void log_flush(struct log_writer *log);

/** Which lines `ingot logs` shows. */
struct log_query {
    s64 since, until; /* nanoseconds since 1970; 0: no bound */
    long tail;        /* the last so many lines; -1: all */
    bool timestamps;
    bool follow;
    bool (*alive)(void *context); /* asked while following: will there be more? */
    int ended;                    /* readable once there will be no more; -1: none */
    void *context;
};

/**
 * Print the lines of the files in the folder @dir to our own standard output and error.
 * Returns 0 or a negative errno of the output.
 */
int log_print(int dir, const struct log_query *query);

/** "2026-01-31T12:00:00Z", with fractions or without, or "10m", "90s", "1h30m" ago.  False:
 * neither. */
bool log_parse_time(const char *text, s64 *ns);
