/* Records for the host beside the log: see abi/report.h. */
#pragma once

#include "abi/report.h"
#include "lib/types.h"

/** Has the host asked for them (`ingot.report=1`), and is there a way to it? */
bool report_wanted(void);

/**
 * Send one record.
 * @data: kernel memory of @len bytes, REPORT_DATA_MAX at most
 * 0; -EPIPE: nobody takes them any more; -ENOMEM.  Thread context; may sleep.
 */
int report_send(u32 kind, u32 pid, u64 offset, const void *data, size_t len);

/** How records go out, in order and each whole; set once at start.  NULL: between the lines of the
 * log. */
struct report_port {
    bool (*exists)(void);
    int (*send)(const struct report_head *head, const void *data);
};
extern const struct report_port *report_port;
