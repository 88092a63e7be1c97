/* What a guest's kernel reports besides its log (abi/report.h), kept as files of a folder:
 * crash-N.txt, which is there once all is told, and crash-N.core.  A guest is not trusted: it gets
 * REPORT_CORE_MAX bytes and REPORT_KEEP reports, the oldest of which go.  A file that cannot be
 * written whole says so; nothing waits for a disk that is full. */
#pragma once

#include "abi/report.h"
#include "lib/types.h"

#include <stdio.h>

struct guest_log;
struct profile;

#define REPORT_CORE_MAX (1ull << 30)
enum { REPORT_KEEP = 5 };

struct report {
    int dir;                     /* the folder; borrowed; -1: nobody wants any */
    const char *title;           /* what the guest is; borrowed */
    const struct guest_log *log; /* whose last lines go into each; borrowed */
    /** Rewrites a line of the log, as guest_log_print_tail() has it; NULL for none. */
    void (*symbolize)(void *context, const char *line, char *out, size_t size);
    void *context;

    struct profile *profile; /* gets samples, by the next; borrowed; NULL: nothing does */
    void (*take_sample)(struct profile *profile, const char *line, size_t len);
    char *sample; /* one that comes in pieces; owned */

    struct report_head head;
    size_t head_len;       /* how much of .head there is */
    u32 left;              /* bytes of the record's that are still to come */
    u64 at;                /* where the next of them belongs in the core file */
    char name[32];         /* of the process, as far as it has come */
    unsigned number;       /* of the report that is being written; 0 for none */
    FILE *text;            /* likewise; owned */
    int core;              /* likewise; -1 until there are bytes of it */
    u64 room;              /* bytes that it may still get */
    char why[128];         /* what its core file lacks; "" for nothing */
    unsigned last_written; /* the newest report that is whole; 0 for none */
};

/** @dir: -1 to take nothing. */
void report_init(struct report *report, int dir);

/** Finish what the guest did not, and let go. */
void report_fini(struct report *report);

/** Is a record under way, whose rest must follow? */
bool report_is_inside(const struct report *report);

/** Take bytes up to the end of a record.  Returns how many were taken. */
size_t report_feed(struct report *report, const char *bytes, size_t len);

/** Begin one, of the host's own making.  False: it cannot be. */
bool report_begin(struct report *report, const char *program, u32 pid, int sig);

/** The descriptor of its core file, open for writing; negative where it cannot be. */
int report_core(struct report *report);

/** Say what its core file lacks; what was said first stays. */
void report_lack(struct report *report, const char *why);

/** End the one that is being written.  @size: of its core file as it should be; 0 for none. */
void report_end(struct report *report, u64 size);
