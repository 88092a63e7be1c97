/* state.json: how an instance goes.  Read by everybody, at any time; so it is replaced whole. */
#include "instance/instance.h"

#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    STATE_SIZE = 1536, /* always the same, so that a full disk cannot keep a new one out */
};

static const char *const status_names[] = {
    [INSTANCE_CREATED] = "created", [INSTANCE_RUNNING] = "running",
    [INSTANCE_PAUSED] = "paused",   [INSTANCE_RESTARTING] = "restarting",
    [INSTANCE_EXITED] = "exited",   [INSTANCE_DEAD] = "dead",
};
static_assert(ARRAY_LEN(status_names) == NR_INSTANCE_STATUS, "a word a status");

const char *instance_status_name(enum instance_status status)
{
    return status_names[status];
}

static char *file_of(const struct instance *instance, const char *name)
{
    return str_printf("/proc/self/fd/%d/%s", instance->dir, name);
}

json_t *instance_config(const struct instance *instance, struct err *err)
{
    char *path CLEANUP(mem_free) = file_of(instance, "config.json");
    json_t *config = json_read(path, err);

    if (config && json_is_object(config))
        return config;
    json_decref(config);
    err_set(err, EINVAL, "instance '%s': its config.json is damaged; 'ingot rm -f %s' removes it",
            instance->name, instance->name);
    return NULL;
}

static enum instance_status status_of(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(status_names); i++)
        if (strcmp(word, status_names[i]) == 0)
            return (enum instance_status)i;
    return INSTANCE_DEAD;
}

static void read_state(const json_t *json, struct instance_state *state)
{
    *state = (struct instance_state){
        .status = status_of(json_str(json, "Status", "dead")),
        .pid = (pid_t)json_int(json, "Pid", 0),
        .runner = (pid_t)json_int(json, "Runner", 0),
        .started = json_int(json, "Started", 0),
        .finished = json_int(json, "Finished", 0),
        .exit_code = (int)json_int(json, "ExitCode", 0),
        .restarts = (unsigned)json_int(json, "Restarts", 0),
        .stopped = json_is_true(json_object_get(json, "Stopped")),
        .foreground = json_is_true(json_object_get(json, "Foreground")),
        .lost = (u64)json_int(json, "LostLines", 0),
    };
    str_copy(state->health, json_str(json, "Health", ""), sizeof(state->health));
    str_copy(state->error, json_str(json, "Error", ""), sizeof(state->error));
}

static bool needs_somebody(enum instance_status status)
{
    return status == INSTANCE_RUNNING || status == INSTANCE_PAUSED || status == INSTANCE_RESTARTING;
}

void instance_get_state(const struct instance *instance, struct instance_state *state)
{
    char *path CLEANUP(mem_free) = file_of(instance, "state.json");

    /* It may end between two looks: what it wrote last is true then. */
    for (int tries = 0; tries < 2; tries++) {
        json_t *json CLEANUP(json_put) = json_read(path, NULL);
        read_state(json, state);
        if (!needs_somebody(state->status) || instance_is_live(instance))
            return;
    }
    state->status = INSTANCE_DEAD;
    state->health[0] = 0;
    state->exit_code = 137;
}

static int write_whole(int dir, const char *name, int flags, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | flags, 0600);

    if (fd < 0)
        return -errno;
    ssize_t put = write(fd, text, STATE_SIZE);
    int failed = put < 0 ? -errno : put < STATE_SIZE ? -ENOSPC : 0;
    close(fd);
    return failed;
}

static int replace_state(const struct instance *instance, const char *text)
{
    int failed = write_whole(instance->dir, "state.new", O_CREAT | O_TRUNC, text);

    if (!failed && renameat(instance->dir, "state.new", instance->dir, "state.json") < 0)
        failed = -errno;
    if (failed)
        unlinkat(instance->dir, "state.new", 0);
    return failed;
}

/* On a full disk: in one write to blocks that are there already. */
static int overwrite_state(const struct instance *instance, const char *text)
{
    return write_whole(instance->dir, "state.json", 0, text);
}

int instance_put_state(const struct instance *instance, const struct instance_state *state,
                       struct err *err)
{
    json_t *json CLEANUP(json_put) =
        json_pack("{s:s, s:i, s:i, s:I, s:I, s:i, s:i, s:b, s:b, s:I, s:s, s:s}", "Status",
                  status_names[state->status], "Pid", (int)state->pid, "Runner", (int)state->runner,
                  "Started", (json_int_t)state->started, "Finished", (json_int_t)state->finished,
                  "ExitCode", state->exit_code, "Restarts", (int)state->restarts, "Stopped",
                  (int)state->stopped, "Foreground", (int)state->foreground, "LostLines",
                  (json_int_t)state->lost, "Health", state->health, "Error", state->error);

    if (!json) /* bytes that are no text, in the error */
        return err_set(err, EINVAL, "instance '%s': its state cannot be written", instance->name);
    char *text CLEANUP(mem_free) = json_text(json, 0);
    char padded[STATE_SIZE + 1];
    snprintf(padded, sizeof(padded), "%-*s", STATE_SIZE, text);
    int failed = replace_state(instance, padded);
    if (failed == -ENOSPC || failed == -EDQUOT)
        failed = overwrite_state(instance, padded);
    return failed ? err_errno(err, -failed, "instance '%s': its state", instance->name) : 0;
}
