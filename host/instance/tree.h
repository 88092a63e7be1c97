/* The processes of an instance, and what they use of the host, from /proc. */
#pragma once

#include "lib/types.h"

#include <sys/types.h>

struct tree_process {
    pid_t pid;
    char name[64]; /* its first word, or what the kernel calls it */
    u64 cpu_ticks; /* user and system, in units of sysconf(_SC_CLK_TCK) */
    u64 rss_bytes, pss_bytes;
    u64 read_bytes, written_bytes; /* of disks */
    char state;
};

struct tree {
    struct tree_process *at; /* owned */
    size_t len;
};

/** All processes below @root, and itself.  Free with tree_fini(). */
void tree_read(pid_t root, struct tree *tree);

/** Free it. */
void tree_fini(struct tree *tree);

/** Add what memory and disks say, which costs more: before this they are 0. */
void tree_measure(struct tree *tree);
