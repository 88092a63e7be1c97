/* One guest, as the rest of the tool sees it: started, steered and waited for through a table of
 * operations, so that another VMM is another file.  docs/architecture.md, "Host side to guest
 * side", says what passes between runner and guest; nothing here invents anything beyond it.
 *
 * A VMM owns no terminal and no files: it gets descriptors and gives descriptors.  Whoever starts
 * a guest must end it with vm_fini() on every way out; should this process die first, the kernel
 * kills the VMM in its place. */
#pragma once

#include <sys/types.h>

#include "lib/types.h"

struct child_plan;
struct err;
struct vm_net;

enum vm_accel {
    VM_ACCEL_AUTO, /* KVM where it is usable and quick, else emulation */
    VM_ACCEL_TCG,
    VM_ACCEL_KVM,
};

/** A disk of the guest's: /dev/vda and so on, in order. */
struct vm_disk {
    const char *path; /* borrowed; for messages */
    int fd;           /* open for reading, and for writing unless @readonly; borrowed */
    u64 bytes;
    bool readonly;
};

/** One EROFS file of an image. */
struct vm_layer {
    const char *path; /* borrowed */
    int fd;           /* open for reading, borrowed; or -1: @path is opened */
};

/** A disk with a file system of its own, mounted in the guest. */
struct vm_volume {
    const char *path;  /* of the image, for messages; borrowed */
    const char *mount; /* where in the guest; borrowed */
    bool readonly;
    int fd; /* open, and locked for this guest alone; borrowed */
};

/** A folder of the host, live in the guest. */
struct vm_share {
    const char *path;  /* absolute; borrowed */
    const char *mount; /* where in the guest; borrowed */
    bool readonly;
};

enum { VM_LINE_OURS = -1 };

/** What to run.  All strings and arrays are borrowed until the guest has started. */
struct vm_config {
    const char *name;   /* shown in the process list; NULL for none */
    const char *kernel; /* path of the kernel's ELF file */
    const char *params; /* kernel words, quoted; the VMM adds words for its own devices */
    const char *args;   /* what follows "--", quoted; NULL for nothing */
    const struct vm_layer *layers; /* the lowest first */
    size_t nr_layers;
    const struct vm_volume *volumes;
    size_t nr_volumes;
    const struct vm_share *shares;
    size_t nr_shares;
    u64 memory_bytes;
    unsigned cpus;
    const char *machine;      /* "microvm", "q35", "pc"; NULL for the quickest */
    enum vm_accel accel;      /* never AUTO: vm_choose_accel() decides */
    bool tty;                 /* one terminal port instead of three one-way ports */
    const struct vm_net *net; /* NULL for none */
    const struct vm_disk *disks;
    size_t nr_disks;
    int monitor; /* a listening socket where who operates the VM finds its VMM; 0 for none */
    /** A listening socket where he finds the guest's kernel; 0 for none, VM_LINE_OURS: vm.ch.line
     * alone. */
    int operator_line;
    bool report;   /* its kernel shall report (abi/report.h) */
    bool incoming; /* it goes on from a state, which arrive() gets */
    bool moving;   /* from another VMM, which still has the ports and volumes: settle() follows */
    bool postcopy; /* it may switch over before it has sent all memory */
    bool unlinked; /* it goes on without a link, until who operates it gives it one */
    bool no_input; /* standard input is empty; for a VMM that takes the user's own streams */
};

/** The host's ends of a guest's channels; -1 where there is none, because the guest has the user's
 * own descriptors.  Non-blocking stream sockets, or pipes. */
struct vm_channels {
    int in;     /* program's standard input; shut down for writing to give it an end of file */
    int out;    /* program's standard output */
    int err;    /* program's standard error */
    int tty;    /* all three of a program on a terminal */
    int report; /* what its kernel reports; -1 also where that comes between the lines of the log */
    int line;   /* the operator's line, where we speak there or pass it on; else the VMM does */
    int log;    /* kernel log; closed by the VMM's end, whatever its cause */
    int diag;   /* what the VMM itself complains about */
};

/** A guest; the owner passes it to vm_fini() however starting went. */
struct vm {
    const struct vmm *vmm;
    struct vm_channels ch;
    pid_t pid;    /* 0 once reaped or never started */
    pid_t device; /* the process that plays its devices; 0 where there is none, or no more */
    struct child_plan *late; /* the same, not started before the guest uses it; owned, or NULL */
    bool late_started;       /* just now, so that .ch.diag is new */
    int device_status;       /* how it ended before the guest did, as waitpid() gives it */
    int control;             /* VMM's own control channel, -1 where there is none */
    bool wants_up; /* the VMM's up() is to be called once .control has something to read */
};

/** What is known of a VMM on this machine. */
struct vmm_info {
    char path[256];    /* its executable; "" where it is not installed */
    char version[64];  /* as it prints it; "" where it does not start */
    char package[64];  /* the Debian package that has it */
    char machines[64]; /* usable machine types, spaces between, the best first */
};

/** A VMM: the operations the runner needs.  Every function is called from one thread. */
struct vmm {
    const char *name;
    const char *title; /* in a sentence */

    /** Tell what is installed; a missing VMM is an empty path, not an error. */
    void (*probe)(struct vmm_info *info);

    /**
     * The command that start() would run, quoted for a shell; the caller frees *@text.
     * Returns 0 or an error as start() would.
     */
    int (*describe)(const struct vm_config *config, char **text, struct err *err);

    /**
     * Start a guest and return without waiting for it to come up.
     * @vm: filled on success, to be given to vm_fini(); left empty on failure.
     * Errors: ENOENT the VMM is missing (its package is named), EINVAL the machine type or a
     * combination is not possible, ENOMEM, or what the system said.
     */
    int (*start)(const struct vm_config *config, struct vm *vm, struct err *err);

    /** Ask the guest to end: its program gets StopSignal.  Never blocks; may do nothing. */
    void (*stop)(struct vm *vm);

    /** Wait until a VMM that waits for a state does so.  NULL: there are no such guests. */
    int (*ready)(struct vm *vm, struct err *err);

    /**
     * Take in a state, and wait until the guest goes on.
     * @fd: a file at its beginning, or a connection to another VMM; borrowed
     * Errors: EINVAL with the VMM's words, ETIMEDOUT.
     */
    int (*arrive)(const struct vm_config *config, struct vm *vm, int fd, struct err *err);

    /** Publish the ports of a guest that has moved; as soon as the other VMM lets go of them. */
    int (*settle)(const struct vm_config *config, struct vm *vm, struct err *err);

    /**
     * Its kernel has panicked and waits: write memory and registers to @fd as a core file.
     * @room: how many bytes that may be
     * Errors: EFBIG, ENOSPC, ETIMEDOUT, or the VMM's words.
     */
    int (*dump)(struct vm *vm, int fd, u64 room, struct err *err);

    /** The VMM has set itself up: what can only be mended from outside. NULL where nothing is. */
    void (*up)(struct vm *vm);
};

/** QEMU. */
extern const struct vmm qemu_vmm;
extern const struct vmm process_vmm; /* no VM: a sandboxed process of this machine */

/** Does this host let a process filter its own system calls?  The process ground must, QEMU should.
 */
bool vmm_host_filters(void);

/** AUTO made concrete for this machine; others stay as they are. */
enum vm_accel vm_choose_accel(enum vm_accel wish);

/** A guest that is not there: all descriptors -1. */
void vm_init(struct vm *vm);

/** End the VMM at once, if it still runs.  The guest gets no notice. */
void vm_kill(struct vm *vm);

/**
 * Wait for the VMM to end.
 * Returns its status as waitpid() gives it, or 0 if there is none.  Blocks.
 */
int vm_wait(struct vm *vm);

/**
 * The device process has closed its words: reap it.
 * Returns its status as waitpid() gives it; 0 if it ended with its guest, or there is none.
 */
int vm_wait_device(struct vm *vm);

/** Kill what still runs, reap it and close every channel.  Harmless if repeated. */
void vm_fini(struct vm *vm);
