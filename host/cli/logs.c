/* ingot logs, ingot exec: what an instance says, and what nobody can say to it. */
#include "cli/cli.h"
#include "cli/instances.h"

#include "instance/log.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct logs_options {
    bool follow, timestamps;
    const char *since, *until, *tail;
};

static const struct option_spec logs_specs[] = {
    {"follow", 'f', OPTION_FLAG, offsetof(struct logs_options, follow), NULL,
     "go on with what comes, until it ends"},
    {"since", 0, OPTION_TEXT, offsetof(struct logs_options, since), "TIME",
     "from then on: 2026-01-31T12:00:00Z, or 10m ago"},
    {"until", 0, OPTION_TEXT, offsetof(struct logs_options, until), "TIME", "up to then"},
    {"tail", 'n', OPTION_TEXT, offsetof(struct logs_options, tail), "N",
     "the last so many lines, or all"},
    {"timestamps", 't', OPTION_FLAG, offsetof(struct logs_options, timestamps), NULL,
     "show when each line came"},
    {0},
};

static int logs_time(const char *option, const char *text, s64 *ns, struct err *err)
{
    if (!text || log_parse_time(text, ns))
        return 0;
    return err_set(err, ERR_USAGE,
                   "--%s: '%s' is no time; say 2026-01-31T12:00:00Z, or 10m for ten minutes ago",
                   option, text);
}

static int logs_query(const struct logs_options *options, struct log_query *query, struct err *err)
{
    u64 lines;

    *query = (struct log_query){
        .tail = -1, .timestamps = options->timestamps, .follow = options->follow, .ended = -1};
    if (options->tail && strcmp(options->tail, "all") != 0) {
        if (str_to_u64(options->tail, &lines) || lines > LONG_MAX)
            return err_set(err, ERR_USAGE, "--tail: '%s' is neither a number nor 'all'",
                           options->tail);
        query->tail = (long)lines;
    }
    int failed = logs_time("since", options->since, &query->since, err);
    return failed ? failed : logs_time("until", options->until, &query->until, err);
}

static bool logs_alive(void *context)
{
    return instance_is_live(context);
}

/* Not every driver leaves something to read. */
static int logs_check(const struct instance *instance, struct err *err)
{
    struct instance_state state;
    json_t *config CLEANUP(json_put) = instance_config(instance, err);
    const char *driver = json_str(config, "LogDriver", "json");

    if (!config)
        return -err->code;
    instance_get_state(instance, &state);
    if (state.foreground)
        return err_set(err, EINVAL, "instance '%s': what it says goes to its own terminal",
                       instance->name);
    if (strcmp(driver, "syslog") == 0 || strcmp(driver, "journald") == 0)
        return err_set(err, EINVAL, "instance '%s' logs to %s: read it there%s", instance->name,
                       driver, driver[0] == 'j' ? " (journalctl CONTAINER_NAME=NAME)" : "");
    if (strcmp(driver, "none") == 0)
        return err_set(err, EINVAL, "instance '%s' keeps no log (--log-driver none)",
                       instance->name);
    return 0;
}

static int logs_run(int argc, char **argv, struct err *err)
{
    struct logs_options options = {0};
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct log_query query;
    int words;
    int status = cli_options(&command_logs, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (status)
        return min(status, 0);
    if (words != 1)
        return err_set(err, ERR_USAGE, "write 'ingot logs [OPTIONS] NAME'");
    status = logs_query(&options, &query, err);
    if (!status)
        status = instance_open(&instance, argv[1], err);
    if (!status)
        status = logs_check(&instance, err);
    if (status)
        return status;
    query.alive = logs_alive;
    query.context = &instance;
    int ended CLEANUP(fd_close) = query.follow ? supervisor_connect(&instance, "wait", NULL) : -1;
    query.ended = ended;
    int failed = log_print(instance.dir, &query);
    return failed ? err_errno(err, -failed, "standard output") : 0;
}

const struct command command_logs = {
    .name = "logs",
    .summary = "Show what an instance said",
    .usage = "[OPTIONS] NAME",
    .options = logs_specs,
    .run = logs_run,
};

static const struct option_spec no_specs[] = {{0}};

static int exec_run(int argc, char **argv, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        int words, unused;
        cli_options(&command_exec, 2, argv, OPTIONS_FIRST, &unused, &words, err);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-') {
            int failed = instance_open(&instance, argv[i], err);
            return failed ? failed
                          : err_set(err, ENOTSUP,
                                    "instance '%s' has one program and no shell beside it, so "
                                    "nothing can be started inside; see 'ingot logs', 'ingot top' "
                                    "and 'ingot inspect'",
                                    argv[i]);
        }
    return err_set(err, ERR_USAGE, "write 'ingot exec NAME COMMAND', to be told why not");
}

const struct command command_exec = {
    .name = "exec",
    .summary = "Not possible: an instance is one program",
    .usage = "NAME COMMAND [ARG...]",
    .options = no_specs,
    .help = "A unikernel has one program and no shell: nothing can be started inside of it.",
    .run = exec_run,
};
