/* What the kernel reports to its host besides its log: records, each a head and as many bytes as it
 * says.  In a VM they come through the virtio-serial port "ingot.report"; in a process between the
 * lines of the log, where a record is told by its first byte, which no line begins with.  The host
 * asks for them with `ingot.report=1`.  Both sides are little endian. */
#pragma once

#include "lib/types.h"

enum { REPORT_MAGIC = 0x70724901, REPORT_DATA_MAX = 8192 };

enum report_kind {
    REPORT_CRASH = 1,  /* a process is dying; .offset: the signal, 0 for the kernel itself; its name
                          follows */
    REPORT_TEXT = 2,   /* words about it */
    REPORT_CORE = 3,   /* bytes of its core file, to stand at .offset; holes are zeros */
    REPORT_END = 4,    /* all was told; .offset: how long the core file is, 0: there is none */
    REPORT_SAMPLE = 5, /* where a thread was: "program;outermost place;...;innermost" */
};

struct report_head {
    u32 magic; /* REPORT_MAGIC */
    u32 kind;
    u64 offset;
    u32 len; /* of what follows, REPORT_DATA_MAX at most */
    u32 pid;
};
static_assert(sizeof(struct report_head) == 24, "both sides know it");
