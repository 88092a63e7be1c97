/* A core file on its way to the host: what core_dump.c and core_notes.c share. */
#pragma once

#include "core/report.h"
#include "sched/sched_priv.h"

struct siginfo64;

/* An area of the program's, as it was when its threads had come to rest. */
struct core_area {
    u64 start, end, offset; /* the last in its file */
    u32 prot;
    u32 name;      /* in core.names; CORE_UNNAMED */
    bool of_file;  /* has a file that a debugger finds again */
    bool sparse;   /* anonymous: what was never touched is left out */
    bool shared;   /* for the map only */
    u64 file_size; /* how much of it goes into the core file */
};
#define CORE_UNNAMED (~0u)

/* All is the dying thread's. */
struct core {
    int sig;
    const struct siginfo64 *info;
    const struct trap_frame *frame;
    struct process *process;
    struct core_area *areas; /* owns */
    u32 nr_areas, max_areas;
    char *names; /* NUL between; owns */
    u32 names_len;

    u64 limit; /* bytes of the file, from RLIMIT_CORE */
    u32 kind;  /* of the record that is being filled */
    u64 at;    /* where its first byte belongs */
    u32 len;
    u8 *bytes; /* REPORT_DATA_MAX of it; owns */
    int err;   /* of the first record that was not taken */
};

/** Add to the record that is being filled, and send what is full. */
void core_add(struct core *core, const void *bytes, size_t len);
/** Send it, and begin one of @kind for @offset. */
void core_begin(struct core *core, u32 kind, u64 offset);

/** The notes, threads and all, from where the core is on. */
void core_add_notes(struct core *core);
/** A line a thread, for people. */
void core_add_threads_text(struct core *core);
