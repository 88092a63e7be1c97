/* What the files of the QEMU back end share. */
#pragma once

#include "vm/vmm.h"

struct strs;

/* Descriptors as QEMU sees them: fixed, so that the command line is known before there is a
 * process, and the same in every run. */
enum qemu_fd {
    QEMU_FD_IN = 10,
    QEMU_FD_OUT,
    QEMU_FD_ERR,
    QEMU_FD_TTY,
    QEMU_FD_LOG,
    QEMU_FD_CONTROL,
    QEMU_FD_INITRD,
    QEMU_FD_DISK, /* the first layer's; the others follow */
};

enum {
    QEMU_MAX_DISKS = 7, /* microvm has eight virtio-mmio slots, one is for the console */
};

/** A machine type, and what each device is called on it. */
struct qemu_machine {
    const char *name, *options;
    bool mmio; /* virtio devices sit in numbered slots that the command line tells of */
};

/** The decisions that the command line is made from. */
struct qemu_plan {
    const struct vm_config *config;
    const struct qemu_machine *machine;
    char *program; /* owned: QEMU's path */
    bool disks;    /* layers on virtio-blk rather than in an initrd */
};

/**
 * Decide, checking what can be checked: the machine type, QEMU's presence, room for the layers.
 * @layer_bytes: size of all layers
 */
int qemu_plan_init(struct qemu_plan *plan, const struct vm_config *config, u64 layer_bytes,
                   struct err *err);

/** Free what the plan owns. */
void qemu_plan_fini(struct qemu_plan *plan);

/** Append QEMU's whole command line to @argv. */
void qemu_argv(const struct qemu_plan *plan, struct strs *argv);
