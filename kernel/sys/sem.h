/* System V semaphores: what sem.c (the operations) and sem_ctl.c (the sets) share.  One lock,
 * sem_sets.lock, for all sets, who waits for them, and what is to be undone. */
#pragma once

#include "sys/ipc.h"

struct process;

enum {
    SETS_MAX = 32000,
    SET_SIZE_MAX = 32000,
    STEPS_MAX = 500,
    VALUE_MAX = 32767,
};

struct semaphore {
    u16 value;
    int pid; /* who has changed it last */
};

/* All [L] but .obj's own. */
struct sem_set {
    struct ipc_object obj;    /* the first; .size: semaphores */
    struct list_head waiting; /* struct sem_wait, in order of arrival */
    struct sem_undo *undo;    /* what processes will have undone, by .next_of_set */
    s64 otime;                /* seconds */
    struct semaphore sems[];
};
static_assert(offsetof(struct sem_set, obj) == 0, "cast back");

/* What the end of a process adds to the semaphores of a set. All [L]. */
struct sem_undo {
    struct sem_undo *next_of_set, *next_of_process;
    struct sem_set *set;
    struct process *process;
    u32 nr;       /* [I] */
    s16 adjust[]; /* a semaphore each */
};

extern struct ipc_table sem_sets;

/** Let those go on who can now. Lock held. */
void sem_changed(struct sem_set *set);
/** Forget what is to be undone of semaphore @num, or (-1) all of the set. Lock held. */
void sem_forget_undo(struct sem_set *set, int num);
/** Free what is to be undone of a set that is going. Lock held. */
void sem_drop_undo(struct sem_set *set);
/** How many wait for semaphore @num: until it is zero, or until it has grown. Lock held. */
int sem_count_waiting(const struct sem_set *set, u16 num, bool for_zero);
/** A process has ended: undo what it has left to be undone. May not sleep. */
void sem_process_gone(struct process *process);
