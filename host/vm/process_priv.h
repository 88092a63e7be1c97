/* What the files of the process ground share: the sandbox (process.c) and the process that plays
 * its devices (process_device.c) are both children of ours, each with its own descriptors. */
#pragma once

#include "lib/buf.h"
#include "vm/vmm.h"

enum {
    CHILD_MAX_FDS = 96,
    CHILD_FD_HIGH = 128, /* where descriptors wait to be moved into place */
};

struct child_plan {
    char *program; /* owned */
    struct strs argv;
    int ours[CHILD_MAX_FDS]; /* which of our descriptors becomes which of the child's; owned; -1 for
                                none */
    bool no_input;
};

/** An empty plan; and close what it holds. */
void child_init(struct child_plan *plan);
void child_fini(struct child_plan *plan);

/** A program of ours: where the kernel file lies, or where it was installed.  The caller frees it.
 * NULL: not there. */
char *child_find(const char *name, const char *kernel, struct err *err);

/** A copy of a descriptor that is fit for a plan, or -1. */
int child_fd(int fd);

/** Start it; it dies with us.  0 or a negative errno. */
int child_spawn(const struct child_plan *plan, pid_t *pid);

/** struct vmm's dump(). */
int process_dump(struct vm *vm, int fd, u64 room, struct err *err);

/** How many devices the guest has that need a device process. */
size_t process_count_devices(const struct vm_config *config);

/**
 * Make ready what both sides share: memory with its window, interrupts, doorbells; open tap and
 * capture.
 * @sandbox: where the sandbox's descriptors for it go, right behind those of the layers
 */
int process_plan_device(struct child_plan *device, int *sandbox, const struct vm_config *config,
                        struct err *err);

/** Once the sandbox is there. */
int process_start_device(struct child_plan *device, struct vm *vm, struct err *err);

/** Only once it rings, if nothing but a network that nobody asked for needs it.  Takes @device. */
int process_delay_device(struct child_plan *device, struct vm *vm, struct err *err);
bool process_may_delay(const struct vm_config *config);
/** It has rung. */
void process_device_rang(struct vm *vm);

/** Its command, behind the sandbox's. */
int process_describe_device(const struct vm_config *config, struct buf *line, struct err *err);
