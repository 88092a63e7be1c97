/* Snapshots: the state of a guest in a VM at one moment, from which it, or any number of copies, go
 * on.  They lie in `snapshots` of the state directory, and outlive their instance:
 *   TAG/snapshot.json   what it is; written last
 *   TAG/config.json     the instance's own, as it was
 *   TAG/state           memory and devices, a migration stream of QEMU's
 *   TAG/volume.N        its writable volumes at that moment
 * Folders that begin with a dot are being made. */
#pragma once

#include "instance/instance.h"

struct snapshot {
    char *name, *path; /* owned */
    json_t *about;     /* owned: snapshot.json */
    json_t *config;    /* owned: config.json of the instance */
};

/** One writable volume of an instance. */
struct snapshot_volume {
    const char *word; /* as the user named it, VOLUME:PATH; borrowed */
    char *path;       /* owned: its file */
};

/** Fit for CLEANUP. */
void snapshot_close(struct snapshot *snapshot);

/**
 * Take one.  The guest's time stands still meanwhile, however this ends.
 * @volumes: its writable volumes, which nobody but the guest writes to
 * Errors: EEXIST, ESRCH it does not run, or QEMU's words.  Nothing is left behind then.
 */
int snapshot_make(const struct instance *instance, const char *tag,
                  const struct snapshot_volume *volumes, size_t nr_volumes, struct err *err);

/** Open one by name, and look whether it is whole.  Errors: ENOENT names the nearest; EINVAL it is
 * damaged, or of another version. */
int snapshot_open(struct snapshot *snapshot, const char *tag, struct err *err);

/** Look whether its state is what was written, and return the file's path, which the caller frees;
 * NULL: it is not. */
char *snapshot_state(const struct snapshot *snapshot, struct err *err);

/** What volume @index of it was called, and its file there (the caller frees it); false: no more.
 */
bool snapshot_get_volume(const struct snapshot *snapshot, size_t index, const char **word,
                         char **file);

/** All names, sorted. */
int snapshot_list(struct strs *names, struct err *err);

/** Remove one, whatever state it is in. */
int snapshot_remove(const char *tag, struct err *err);
