/* What the files of `ingot run` share: the options, and the steps from them to an exit status. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"
#include "vm/net.h"
#include "vm/vmm.h"

struct err;
struct guest_log;
struct image;
struct instance;

/** What a guest goes on from; all zero: it starts. */
struct run_state {
    const char *file; /* state of a snapshot; borrowed */
    bool moving;      /* another VMM, over the instance's socket `incoming` */
    bool postcopy;    /* which may switch over before it has sent all memory */
    bool copy;        /* of another guest, on whose network it is not seen before it has changed */
};

/** What the user said. Zero, or -1 for a switch, where nothing was said. */
struct run_options {
    struct strs env, env_files, files, append, with, publish, exec, volumes, tmpfs, log_opts,
        labels, imports;
    const char *memory, *workdir, *hostname, *entrypoint, *stop_signal, *name, *user;
    const char *kernel, *machine, *isolation, *accel, *trace, *program, *net, *pcap;
    const char *restart, *log_driver;
    const char *crash_dir, *profile, *boot_chart;
    const char *health_cmd, *health_interval, *health_timeout, *health_start;
    long health_retries;
    long cpus, loglevel, stop_timeout, timeout;
    int interactive, tty;
    int crash_fd; /* the folder for crash reports; 0 for none; borrowed */
    struct run_state state;
    bool rm, missing, verbose, dry_run, quiet, rebuild, no_patch, seal, single, detach, no_health;
    bool of_this_machine; /* the target is a program or a project here, no stored image */
};

/** A guest about to start: the VMM's configuration and what it borrows. */
struct run_guest {
    struct vm_config config;
    const struct vmm *vmm;
    char *title;       /* what it runs, for people; owned */
    char image_id[65]; /* as struct image has it */
    char *kernel;      /* owned */
    struct buf params; /* kernel words */
    struct buf args;   /* the program's */
    struct vm_net net;
    struct vm_layer *layers;
    struct vm_volume *volumes; /* owned, with their descriptors and their .mount */
    struct vm_share *shares;   /* owned, with their strings */
    int started;               /* gets a zero byte once the VMM runs; 0 for none */
    int crash_fd;              /* the folder for crash reports, owned; -1 for none */
    int extra_layers[2];       /* descriptors of layers of this run: its files, its config */
    size_t nr_extra;
};

enum {
    RUN_STATUS_LOST = 1,      /* the program did well, but its output could not be written */
    RUN_STATUS_TIMEOUT = 124, /* as timeout(1) */
    RUN_STATUS_FAILED = 125,  /* as Docker: the engine failed, not the program */
    RUN_STATUS_KILLED = 137,
};

/** A VM or a process: --isolation, INGOT_ISOLATION, or what suits this machine.  Says once when
 * that is not a VM.  Returns 0 or ERR_USAGE. */
int run_choose_ground(const struct run_options *options, const struct image *image,
                      const struct vmm **vmm, struct err *err);

/** Was the ground left to run_choose_ground()? */
bool run_ground_is_auto(const struct run_options *options);

/** The image wanted a second process where there was none: from now on, until this machine boots
 * again, `auto` takes a VM for it. */
void run_ground_learn(const char *image_id);

/** Does a program that fails get a word on files which it looked for in vain and this machine has?
 * It does where the image was made of a program of this machine for this run. */
bool run_hints(const struct run_options *options);

/** Say that word on standard error.  @missed: paths that were not found, the newest first. */
void run_hint(const struct strs *missed);

/** Add to the files of this run those that @args (NULL-terminated) name, where @target is a program
 * of this machine. */
void run_bring_named(struct run_options *options, const char *target, char *const *args);

/**
 * Make everything ready for @image with the words @args (NULL-terminated) for its program.
 * @guest: to be given to run_guest_fini() whatever happens; borrows @options, @image and @args
 */
int run_guest_init(struct run_guest *guest, const struct run_options *options,
                   const struct image *image, char *const *args, struct err *err);

/** Free what the guest owns. */
void run_guest_fini(struct run_guest *guest);

/** Open and lock the volumes of @options for the guest alone. 0; EBUSY names one that another guest
 * has. */
int run_open_volumes(struct run_guest *guest, const struct run_options *options, struct err *err);
/** Kernel words for --tmpfs. */
int run_add_tmpfs(struct run_guest *guest, const struct run_options *options, struct err *err);
/** Lock the volumes of a guest that has moved here, as soon as the other one lets go of them. */
int run_lock_volumes(const struct run_guest *guest, struct err *err);
void run_close_volumes(struct run_guest *guest);

/** Find the kernel file: --kernel, INGOT_KERNEL, beside this program, or where it was installed.
 * Returns a path the caller frees, or NULL. */
char *run_find_kernel(const char *wish, struct err *err);

/** Start the guest, pass everything on, and say what went wrong.  Returns the exit status, or a
 * negative code when there was no guest to speak of. */
int run_guest(const struct run_guest *guest, const struct run_options *options, struct err *err);

/**
 * All environment words of @options, "NAME=VALUE", in order: files first, then --env; a bare NAME
 * takes our own value or is left out.
 */
int run_environment(const struct run_options *options, struct strs *env, struct err *err);

/**
 * Run @image as an instance of its own, which goes on when we have ended; print its name.
 * @args: the program's words, NULL-terminated
 * @words: the command line from "run" on, as the user wrote it, so that the instance can be started
 * again
 * @again: the instance to start once more, with its lock, closed in any case; NULL: a new one
 */
int run_detached(struct run_options *options, const struct image *image, char *const *args,
                 const struct strs *words, struct instance *again, struct err *err);

/** The ports of @net as config.json has them: a new reference. */
json_t *run_config_ports(const struct vm_net *net);

/** Bring the state that @options name into a guest that waits for it; it runs then. */
int run_go_on(const struct run_guest *guest, const struct run_options *options, struct vm *vm,
              struct err *err);

/** The VMM that it came from lets go of ports and locks now: take them.  What cannot be had is
 * said. */
void run_settle_in(const struct run_guest *guest, struct vm *vm);

/** An instance for a run in the foreground that has a name: others see it until it ends. */
int run_register(const struct run_options *options, const struct image *image, char *const *args,
                 struct instance *instance, struct err *err);

/** Start an instance again.  Takes its lock, which nobody may hold, and closes it in any
 * case.  supervisor_note_inherited() was called before the instance was opened. */
int run_again(struct instance *instance, struct err *err);

/**
 * As run_again(), of an instance whose lock is held already, and closed in any case.
 */
int run_from(struct instance *instance, const struct run_state *state, struct err *err);

/**
 * The file of one --volume.
 * @word: VOLUME:PATH[:ro]
 * @path: the caller frees it
 * Returns 0; ERR_USAGE it is no such word.
 */
int run_volume_file(const char *word, char **path, bool *readonly, struct err *err);

enum {
    RUN_LEAST_IN_VM = 3 << 20, /* bytes of memory: below this not even firmware and kernel fit */
};

/** "64M", "1g", "4096k" or bytes.  Returns false if it is no size. */
bool run_parse_size(const char *text, u64 *bytes);
