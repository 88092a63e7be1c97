/* What the commands on instances share: names, ends, and what there is to tell. */
#include "cli/instances.h"

#include "instance/supervisor.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int instances_each(const char *command, int words, char **argv,
                   int (*act)(struct instance *instance, void *context, struct err *err),
                   void *context, struct err *err)
{
    bool one_failed = false;
    int result = 0;

    if (!words)
        return err_set(err, ERR_USAGE, "which instance? 'ingot ps -a' lists them");
    for (int i = 1; i <= words; i++) {
        struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
        if (result) { /* main prints the last one */
            fflush(stdout);
            fprintf(stderr, "ingot %s: %s\n", command, err->text);
            one_failed = true;
            result = 0;
        }
        int failed = instance_open(&instance, argv[i], err);
        if (!failed)
            failed = act(&instance, context, err);
        if (failed)
            result = failed;
    }
    return result ? result : one_failed;
}

int instances_plain(const struct command *command, int argc, char **argv,
                    int (*act)(struct instance *instance, void *context, struct err *err),
                    struct err *err)
{
    int words, unused;
    int done = cli_options(command, argc, argv, OPTIONS_ANYWHERE, &unused, &words, err);

    if (done)
        return min(done, 0);
    return instances_each(command->name, words, argv, act, NULL, err);
}

/* A foreground run is stopped as its own terminal would: by a signal to exactly that process. */
static int open_foreground(const struct instance *instance, struct err *err)
{
    struct instance_state state;

    instance_get_state(instance, &state);
    int fd = state.pid > 0 ? (int)syscall(SYS_pidfd_open, state.pid, 0) : -1;
    if (fd < 0)
        return err_set(err, ESRCH, "instance '%s' is not running", instance->name);
    if (instance_is_live(instance)) /* so it lived when its number was looked up */
        return fd;
    close(fd);
    return err_set(err, ESRCH, "instance '%s' is not running", instance->name);
}

static int stop_foreground(const struct instance *instance, s64 ms, struct err *err)
{
    int fd CLEANUP(fd_close) = open_foreground(instance, err);

    if (fd < 0)
        return 0;
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    if (ms && syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0 &&
        poll(&entry, 1, (int)min(ms, (s64)INT_MAX)) > 0)
        return 0;
    syscall(SYS_pidfd_send_signal, fd, SIGQUIT, NULL, 0);
    return poll(&entry, 1, ORDER_PATIENCE_MS) > 0
               ? 0
               : err_set(err, ETIMEDOUT, "instance '%s': process of its terminal does not end",
                         instance->name);
}

static s64 own_grace(const struct instance *instance)
{
    json_t *config CLEANUP(json_put) = instance_config(instance, NULL);

    return json_int(config, "StopTimeout", 10) * 1000;
}

int instances_stop(struct instance *instance, s64 ms, struct err *err)
{
    struct instance_state state;

    instance_get_state(instance, &state);
    if (!instance_is_live(instance))
        return 0;
    if (ms < 0)
        ms = own_grace(instance);
    if (state.foreground)
        return stop_foreground(instance, ms, err);
    char *order CLEANUP(mem_free) = str_printf("stop %lld", (long long)ms);
    int failed = supervisor_order(instance, order, true, err);
    if (failed == -ESRCH && !instance_is_live(instance)) { /* it ended by itself meanwhile */
        err_clear(err);
        return 0;
    }
    return failed;
}

int instances_wait(const struct instance *instance, struct err *err)
{
    struct instance_state state;

    instance_get_state(instance, &state);
    if (!instance_is_live(instance))
        return 0;
    if (state.foreground) {
        int fd CLEANUP(fd_close) = open_foreground(instance, NULL);
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        return fd < 0 || poll(&entry, 1, -1) > 0 ? 0 : err_errno(err, errno, "wait");
    }
    int failed = supervisor_order(instance, "wait", true, err);
    if (failed == -ESRCH && !instance_is_live(instance)) {
        err_clear(err);
        return 0;
    }
    return failed;
}

char *instances_span(s64 ns, char out[32])
{
    static const struct {
        const char *name;
        long seconds;
    } units[] = {{"week", 604800}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    long seconds = (long)(max(ns, (s64)0) / 1000000000);

    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (seconds >= units[i].seconds) {
            long count = seconds / units[i].seconds;
            snprintf(out, 32, "%ld %s%s", count, units[i].name, count == 1 ? "" : "s");
            return out;
        }
    strcpy(out, "less than a second");
    return out;
}

static void put_time(json_t *to, const char *key, s64 ns)
{
    char text[40];

    json_object_set_new(to, key, ns ? json_string(instance_time(ns, text)) : json_null());
}

/* The reports in its folder, the oldest first. */
static json_t *list_crashes(const char *folder)
{
    struct strs names CLEANUP(strs_free) = {0};
    char *crash CLEANUP(mem_free) = fs_join(folder, "crash");
    json_t *list = json_array();

    if (fs_list(crash, &names, NULL))
        return list;
    for (size_t i = 0; i < names.len; i++) {
        if (!str_starts(names.at[i], "crash-") || !str_ends(names.at[i], ".txt"))
            continue;
        int len = (int)(strlen(names.at[i]) - strlen(".txt"));
        char *report CLEANUP(mem_free) = fs_join(crash, names.at[i]);
        char *core CLEANUP(mem_free) = str_printf("%s/%.*s.core", crash, len, names.at[i]);
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "Report", report, "Core", fs_exists(core) ? core : ""));
    }
    return list;
}

json_t *instances_json(struct instance *instance, struct err *err)
{
    struct instance_state state;
    json_t *config = instance_config(instance, err);

    if (!config)
        return NULL;
    instance_get_state(instance, &state);
    json_t *json =
        json_pack("{s:s, s:b, s:i, s:i, s:i, s:i, s:b, s:s, s:I}", "Status",
                  instance_status_name(state.status), "Running",
                  state.status == INSTANCE_RUNNING || state.status == INSTANCE_PAUSED, "Pid",
                  (int)state.pid, "RunnerPid", (int)state.runner, "ExitCode", state.exit_code,
                  "RestartCount", (int)state.restarts, "Foreground", (int)state.foreground, "Error",
                  state.error, "LostLogLines", (json_int_t)state.lost);
    if (*state.health)
        json_object_set_new(json, "Health", json_string(state.health));
    put_time(json, "StartedAt", state.started);
    put_time(json, "FinishedAt", state.finished);
    json_object_set_new(config, "State", json);
    json_object_set_new(config, "Name", json_string(instance->name));
    put_time(config, "CreatedAt", json_int(config, "Created", 0));
    json_object_del(config, "Created");
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", instance->dir);
    char *folder CLEANUP(mem_free) = realpath(path, NULL);
    json_object_set_new(config, "Folder", json_string(folder ? folder : ""));
    json_object_set_new(config, "Crashes", list_crashes(folder ? folder : ""));
    return config;
}
