/* What the files of the QEMU back end share. */
#pragma once

#include "vm/net.h"
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
    QEMU_FD_MONITOR,
    QEMU_FD_GUEST,
    QEMU_FD_REPORT,
    QEMU_FD_TAP,                                    /* its first queue; the others follow */
    QEMU_FD_DISK = QEMU_FD_TAP + VM_NET_MAX_QUEUES, /* the first layer's; the others follow */
};

enum {
    QEMU_MAX_DISKS = 6, /* microvm has eight virtio-mmio slots: console, disks, network */
};

/** A machine type, and what each device is called on it. */
struct qemu_machine {
    const char *name, *options;
    bool mmio; /* virtio devices sit in numbered slots that the command line tells of */
};

/** How the guest gets at the layers. */
enum qemu_layers {
    QEMU_LAYERS_INITRD, /* QEMU copies them into the guest's memory */
    QEMU_LAYERS_MAPPED, /* QEMU maps the files behind the guest's memory, read-only */
    QEMU_LAYERS_DISKS,  /* virtio-blk */
};

/** Bytes of the layers, in order. */
struct qemu_sizes {
    u64 each[QEMU_MAX_DISKS]; /* of the first ones */
    u64 total;                /* of all, each padded to whole pages */
    bool mappable;            /* QEMU can map each: none needs padding */
};

/** The decisions that the command line is made from. */
struct qemu_plan {
    const struct vm_config *config;
    const struct qemu_machine *machine;
    struct qemu_sizes sizes;
    char *program; /* owned: QEMU's path */
    enum qemu_layers layers;
    size_t disks;    /* layers that are disks: the first slots and names are theirs */
    size_t files;    /* layers that QEMU has as QEMU_FD_DISK and following; volumes come behind */
    unsigned queues; /* of the network, each way */
};

/**
 * Decide, checking what can be checked: the machine type, QEMU's presence, room for the layers.
 */
int qemu_plan_init(struct qemu_plan *plan, const struct vm_config *config,
                   const struct qemu_sizes *sizes, struct err *err);

/** Free what the plan owns. */
void qemu_plan_fini(struct qemu_plan *plan);

/** Append the network's options; the device goes to virtio slot @slot. */
void qemu_net_argv(const struct qemu_plan *plan, struct strs *argv, int slot);

/**
 * Let the listening sockets of QEMU's user-mode network queue more than the one connection that
 * it asks for: dozens of clients at once would fall into SYN back-off.
 */
void qemu_net_raise_backlogs(pid_t pid);

/** struct vmm's ready(), arrive() and settle(). */
int qemu_ready(struct vm *vm, struct err *err);
int qemu_arrive(const struct vm_config *config, struct vm *vm, int fd, struct err *err);
int qemu_settle(const struct vm_config *config, struct vm *vm, struct err *err);

/** struct vmm's dump(). */
int qemu_dump(struct vm *vm, int fd, u64 room, struct err *err);

/** Append a virtio device in @slot (where the machine has slots); @options begins with a comma. */
void qemu_add_virtio(const struct qemu_plan *plan, struct strs *argv, const char *type,
                     const char *options, int slot);

/** Append QEMU's whole command line to @argv. */
void qemu_argv(const struct qemu_plan *plan, struct strs *argv);
