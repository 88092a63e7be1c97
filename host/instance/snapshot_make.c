/* A snapshot is what QEMU would send to another host, into a file, while the guest's time stands
 * still; its volumes are copied in the same pause. */
#include "instance/snapshot_priv.h"

#include "instance/events.h"
#include "instance/guest.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/qmp.h"
#include "lib/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MONITOR_MS = 10000,
    LOOK_MS = 2,
};

static bool was_running(struct qmp *qmp, bool *running, struct err *err)
{
    json_t *status CLEANUP(json_put) = NULL;

    if (qmp_call(qmp, "query-status", NULL, &status, err))
        return false;
    *running = json_is_true(json_object_get(status, "running"));
    return true;
}

/* Until QEMU has sent everything, or somebody has enough of it. */
static int wait_sent(struct qmp *qmp, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    bool cancelled = false;

    for (;;) {
        json_t *answer CLEANUP(json_put) = NULL;
        int failed = qmp_call(qmp, "query-migrate", NULL, &answer, err);
        if (failed)
            return failed;
        const char *status = json_str(answer, "status", "");
        if (strcmp(status, "completed") == 0)
            return 0;
        if (cancelled && strcmp(status, "cancelled") == 0)
            return err_set(err, EINTR, "interrupted");
        if (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0)
            return err_set(err, EIO, "QEMU cannot save it: %s",
                           json_str(answer, "error-desc", "no room on the disk?"));
        if (!cancelled && signals_came()) {
            cancelled = true;
            (void)qmp_call(qmp, "migrate_cancel", NULL, NULL, NULL);
        }
        nanosleep(&pause, NULL);
    }
}

static int send_state(struct qmp *qmp, int fd, struct err *err)
{
    int failed = qmp_give_fd(qmp, "snapshot", fd, err);

    if (!failed)
        failed = qmp_call(qmp, "migrate-set-parameters",
                          json_pack("{s:I}", "max-bandwidth", (json_int_t)GIB(64)), NULL, err);
    if (!failed)
        failed = qmp_call(qmp, "migrate", json_pack("{s:s}", "uri", "fd:snapshot"), NULL, err);
    return failed ? failed : wait_sent(qmp, err);
}

static int copy_volumes(const char *folder, const struct snapshot_volume *volumes, size_t count,
                        struct err *err)
{
    int failed = 0;

    for (size_t i = 0; i < count && !failed; i++) {
        char *to CLEANUP(mem_free) = str_printf("%s/volume.%zu", folder, i);
        failed = fs_copy(volumes[i].path, to, err);
    }
    return failed;
}

static char *qemu_version(struct qmp *qmp)
{
    json_t *answer CLEANUP(json_put) = NULL;

    if (qmp_call(qmp, "query-version", NULL, &answer, NULL))
        return str_dup("?");
    const json_t *qemu = json_object_get(answer, "qemu");
    return str_printf("%d.%d.%d", (int)json_int(qemu, "major", 0), (int)json_int(qemu, "minor", 0),
                      (int)json_int(qemu, "micro", 0));
}

/* The guest stands still from here to the end of this. */
static int take(const struct instance *instance, int state, const char *folder,
                const struct snapshot_volume *volumes, size_t count, char **version,
                struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = -1};
    bool running;
    int failed = qmp_open(&qmp, instance_connect(instance, "qmp"), MONITOR_MS, err);

    if (failed || !was_running(&qmp, &running, err))
        return -err->code;
    *version = qemu_version(&qmp);
    failed = running ? qmp_call(&qmp, "stop", NULL, NULL, err) : 0;
    if (failed)
        return failed;
    failed = send_state(&qmp, state, err);
    if (!failed)
        failed = copy_volumes(folder, volumes, count, err);
    if (running && qmp_call(&qmp, "cont", NULL, NULL, failed ? NULL : err))
        return -EIO;
    if (running)
        (void)guest_resume(instance, NULL, NULL); /* its clock is late, and it runs */
    return failed;
}

static int write_json(const char *folder, const char *name, const json_t *json, struct err *err)
{
    char *path CLEANUP(mem_free) = fs_join(folder, name);
    char *text CLEANUP(mem_free) = json_text(json, 2);

    return fs_write(path, text, strlen(text), 0600, err);
}

static int describe(const struct instance *instance, const char *tag, const char *folder, int state,
                    const char *qemu, const struct snapshot_volume *volumes, size_t count,
                    struct err *err)
{
    json_t *words = json_array();
    u64 bytes;
    u32 sum;
    int failed = snapshot_checksum(state, &sum, &bytes);

    for (size_t i = 0; i < count; i++)
        json_array_append_new(words, json_string(volumes[i].word));
    json_t *about CLEANUP(json_put) =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "Format", SNAPSHOT_FORMAT,
                  "Version", INGOT_VERSION, "Name", tag, "Instance", instance->name, "Qemu", qemu,
                  "Created", (json_int_t)instance_clock(), "StateBytes", (json_int_t)bytes,
                  "StateCrc32c", (json_int_t)sum, "Volumes", words);
    if (failed || fsync(state) < 0)
        return err_errno(err, failed ? -failed : errno, "its state");
    return write_json(folder, "snapshot.json", about, err);
}

static int fill(const struct instance *instance, const char *tag, const char *folder,
                const struct snapshot_volume *volumes, size_t count, struct err *err)
{
    char *path CLEANUP(mem_free) = fs_join(folder, "state");
    char *qemu CLEANUP(mem_free) = NULL;
    json_t *config CLEANUP(json_put) = instance_config(instance, err);
    int state CLEANUP(fd_close) = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (!config)
        return -err->code;
    if (state < 0)
        return err_errno(err, errno, "%s", path);
    int failed = write_json(folder, "config.json", config, err);
    if (!failed)
        failed = take(instance, state, folder, volumes, count, &qemu, err);
    return failed ? failed : describe(instance, tag, folder, state, qemu, volumes, count, err);
}

static int exists(const char *tag, struct err *err)
{
    return err_set(err, EEXIST, "there is a snapshot '%s'; 'ingot snapshot rm %s' removes it", tag,
                   tag);
}

int snapshot_make(const struct instance *instance, const char *tag,
                  const struct snapshot_volume *volumes, size_t nr_volumes, struct err *err)
{
    char *root CLEANUP(mem_free) = snapshot_folder("");
    char *path CLEANUP(mem_free) = snapshot_folder(tag);
    char *folder CLEANUP(mem_free) = str_printf("%s/.new-XXXXXX", root);

    int failed = instance_check_name(tag, err);
    if (!failed)
        failed = fs_mkdirs(root, err);
    if (failed)
        return failed;
    if (fs_exists(path))
        return exists(tag, err);
    signals_hold(); /* until the guest runs again, and nothing half made is there */
    if (!mkdtemp(folder)) {
        signals_release();
        return err_errno(err, errno, "%s", folder);
    }
    failed = fill(instance, tag, folder, volumes, nr_volumes, err);
    if (!failed && renameat2(AT_FDCWD, folder, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        failed = errno == EEXIST ? exists(tag, err) : err_errno(err, errno, "%s", path);
    if (failed)
        (void)fs_remove_tree(folder);
    signals_release();
    if (!failed)
        event_write(instance->name, "snapshot", json_pack("{s:s}", "Snapshot", tag));
    return failed;
}
