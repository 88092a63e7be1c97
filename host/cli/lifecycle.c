/* ingot stop, kill, start, restart, rm, rename, pause, unpause: from one state to another. */
#include "cli/cli.h"
#include "cli/instances.h"
#include "cli/run_priv.h"

#include "image/config.h"
#include "instance/events.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct option_spec no_specs[] = {{0}};

enum {
    TIME_OWN = -1, /* what the instance was run with */
};

struct time_options {
    long seconds;
};

static const struct option_spec time_specs[] = {
    {"time", 't', OPTION_NUMBER, offsetof(struct time_options, seconds), "SECONDS",
     "time to stop before it is ended (what it was run with, or 10)"},
    {0},
};

static s64 time_ms(const struct time_options *options)
{
    return options->seconds < 0 ? TIME_OWN : (s64)options->seconds * 1000;
}

static int time_parse(const struct command *command, int argc, char **argv,
                      struct time_options *options, int *words, struct err *err)
{
    options->seconds = TIME_OWN;
    int done = cli_options(command, argc, argv, OPTIONS_ANYWHERE, options, words, err);
    if (!done && options->seconds != TIME_OWN &&
        (options->seconds < 0 || options->seconds > 1000000000))
        return err_set(err, ERR_USAGE, "--time: %ld is not in 0 to 1000000000", options->seconds);
    return done;
}

static int stop_one(struct instance *instance, void *context, struct err *err)
{
    bool ran = instance_is_live(instance);
    int failed = instances_stop(instance, time_ms(context), err);

    if (failed)
        return failed;
    if (ran)
        event_write(instance->name, "stop", NULL);
    puts(instance->name);
    return 0;
}

static int stop_run(int argc, char **argv, struct err *err)
{
    struct time_options options;
    int words, done = time_parse(&command_stop, argc, argv, &options, &words, err);

    return done ? min(done, 0) : instances_each("stop", words, argv, stop_one, &options, err);
}

const struct command command_stop = {
    .name = "stop",
    .summary = "Ask instances to end, and end those that do not",
    .usage = "[OPTIONS] NAME...",
    .options = time_specs,
    .run = stop_run,
};

struct kill_options {
    const char *signal;
};

static const struct option_spec kill_specs[] = {
    {"signal", 's', OPTION_TEXT, offsetof(struct kill_options, signal), "SIGNAL",
     "KILL (the default), or its stop signal"},
    {0},
};

/* A guest's border lets two things through: the end of everything, and the word to stop. */
static int kill_order(const struct instance *instance, const char *wanted, const char **order,
                      struct err *err)
{
    json_t *config CLEANUP(json_put) = instance_config(instance, err);
    const char *own = json_str(config, "StopSignal", "SIGTERM");
    int number = wanted ? config_signal(wanted) : SIGKILL;

    if (!config)
        return -err->code;
    if (!number)
        return err_set(err, ERR_USAGE, "--signal: unknown signal '%s'", wanted);
    if (number != SIGKILL && number != config_signal(own))
        return err_set(err, EINVAL,
                       "--signal: '%s' cannot enter a guest; KILL ends instance '%s', and %s is "
                       "its stop signal",
                       wanted, instance->name, own);
    *order = number == SIGKILL ? "kill" : "signal";
    return 0;
}

static int kill_one(struct instance *instance, void *context, struct err *err)
{
    const struct kill_options *options = context;
    struct instance_state state;
    const char *order = NULL;
    int failed = kill_order(instance, options->signal, &order, err);

    if (failed)
        return failed;
    instance_get_state(instance, &state);
    bool end = strcmp(order, "kill") == 0;
    if (!instance_is_live(instance))
        failed = err_set(err, ESRCH, "instance '%s' is not running", instance->name);
    else if (state.foreground && !end)
        failed = err_set(err, EINVAL, "instance '%s' has a terminal; 'ingot stop' asks it to end",
                         instance->name);
    else if (state.foreground)
        failed = instances_stop(instance, 0, err);
    else
        failed = supervisor_order(instance, order, end, err);
    if (!failed)
        puts(instance->name);
    return failed;
}

static int kill_run(int argc, char **argv, struct err *err)
{
    struct kill_options options = {0};
    int words;
    int done = cli_options(&command_kill, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    return done ? min(done, 0) : instances_each("kill", words, argv, kill_one, &options, err);
}

const struct command command_kill = {
    .name = "kill",
    .summary = "End instances at once",
    .usage = "[OPTIONS] NAME...",
    .options = kill_specs,
    .run = kill_run,
};

static int start_one(struct instance *instance, void *context, struct err *err)
{
    (void)context;
    return run_again(instance, err);
}

struct start_options {
    bool all;
};

static const struct option_spec start_specs[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct start_options, all), NULL,
     "those that --restart always or unless-stopped wants: after a boot"},
    {0},
};

/* What a boot, or the death of a supervisor, has ended against its policy. */
static bool start_is_wanted(const char *name)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct instance_state state;

    if (instance_open(&instance, name, NULL))
        return false;
    json_t *config CLEANUP(json_put) = instance_config(&instance, NULL);
    const char *policy = json_str(config, "Restart", "no");
    instance_get_state(&instance, &state);
    if (instance_is_live(&instance))
        return false;
    return strcmp(policy, "always") == 0 ||
           (strcmp(policy, "unless-stopped") == 0 && !state.stopped);
}

static int start_all(struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0}, wanted CLEANUP(strs_free) = {0};
    int failed = instance_list(&names, err);

    strs_add(&wanted, "start");
    for (size_t i = 0; i < names.len; i++)
        if (start_is_wanted(names.at[i]))
            strs_add(&wanted, names.at[i]);
    if (failed || wanted.len == 1)
        return failed;
    return instances_each("start", (int)wanted.len - 1, wanted.at, start_one, NULL, err);
}

static int start_run(int argc, char **argv, struct err *err)
{
    struct start_options options = {0};
    int words;
    int done = cli_options(&command_start, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    supervisor_note_inherited(); /* before the first instance is opened */
    if (options.all && words)
        return err_set(err, ERR_USAGE, "--all and names: one of them");
    return options.all ? start_all(err)
                       : instances_each("start", words, argv, start_one, NULL, err);
}

const struct command command_start = {
    .name = "start",
    .summary = "Start instances that have ended again, as they were run",
    .usage = "[OPTIONS] NAME...",
    .options = start_specs,
    .run = start_run,
};

static int foreground_cannot(const struct instance *instance, const char *what, struct err *err)
{
    struct instance_state state;

    instance_get_state(instance, &state);
    if (!state.foreground || !instance_is_live(instance))
        return 0;
    return err_set(err, EINVAL, "instance '%s' runs on a terminal, so it cannot be %s",
                   instance->name, what);
}

static int restart_one(struct instance *instance, void *context, struct err *err)
{
    int failed = foreground_cannot(instance, "restarted", err);

    if (!failed)
        failed = instances_stop(instance, time_ms(context), err);
    return failed ? failed : run_again(instance, err);
}

static int restart_run(int argc, char **argv, struct err *err)
{
    struct time_options options;
    supervisor_note_inherited(); /* before the first instance is opened */
    int words, done = time_parse(&command_restart, argc, argv, &options, &words, err);

    return done ? min(done, 0) : instances_each("restart", words, argv, restart_one, &options, err);
}

const struct command command_restart = {
    .name = "restart",
    .summary = "Stop instances and start them again",
    .usage = "[OPTIONS] NAME...",
    .options = time_specs,
    .run = restart_run,
};

struct rm_options {
    bool force;
};

static const struct option_spec rm_specs[] = {
    {"force", 'f', OPTION_FLAG, offsetof(struct rm_options, force), NULL,
     "end it first if it runs; one that is not there is no failure"},
    {0},
};

static int rm_one(struct instance *instance, void *context, struct err *err)
{
    const struct rm_options *options = context;
    char *name CLEANUP(mem_free) = str_dup(instance->name);
    int failed = options->force ? instances_stop(instance, 0, err) : 0;

    if (!failed)
        failed = instance_lock(instance, err);
    if (failed == -EBUSY && !options->force)
        return err_set(err, EBUSY, "instance '%s' is running; stop it, or say 'ingot rm -f %s'",
                       name, name);
    if (failed == -ENOENT && options->force) { /* with --rm it removed itself */
        err_clear(err);
        puts(name);
        return 0;
    }
    if (!failed)
        failed = instance_remove(instance, err);
    if (failed)
        return failed;
    event_write(name, "destroy", NULL);
    puts(name);
    return 0;
}

static int rm_run(int argc, char **argv, struct err *err)
{
    struct rm_options options = {0};
    int words;
    int done = cli_options(&command_rm, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);
    int kept = 0;

    if (done)
        return min(done, 0);
    int given = words;
    for (int i = 1; options.force && i <= words; i++) {
        struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
        if (instance_open(&instance, argv[i], NULL) != -ENOENT)
            argv[++kept] = argv[i];
    }
    words = options.force ? kept : words;
    return given && !words ? 0 : instances_each("rm", words, argv, rm_one, &options, err);
}

const struct command command_rm = {
    .name = "rm",
    .summary = "Remove instances with their logs",
    .usage = "[OPTIONS] NAME...",
    .options = rm_specs,
    .run = rm_run,
};

static int rename_run(int argc, char **argv, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    int words, unused;
    int done = cli_options(&command_rename, argc, argv, OPTIONS_ANYWHERE, &unused, &words, err);

    if (done)
        return min(done, 0);
    if (words != 2)
        return err_set(err, ERR_USAGE, "write 'ingot rename NAME NEW-NAME'");
    int failed = instance_open(&instance, argv[1], err);
    if (!failed)
        failed = instance_rename(&instance, argv[2], err);
    if (!failed)
        event_write(argv[2], "rename", json_pack("{s:s}", "OldName", argv[1]));
    return failed;
}

const struct command command_rename = {
    .name = "rename",
    .summary = "Give an instance another name",
    .usage = "NAME NEW-NAME",
    .options = no_specs,
    .run = rename_run,
};

static int pause_one(struct instance *instance, void *context, struct err *err)
{
    int failed = foreground_cannot(instance, "paused", err);

    if (!failed)
        failed = supervisor_order(instance, context ? "unpause" : "pause", false, err);
    if (!failed)
        puts(instance->name);
    return failed;
}

static int unpause_one(struct instance *instance, void *context, struct err *err)
{
    (void)context;
    return pause_one(instance, instance, err);
}

static int pause_run(int argc, char **argv, struct err *err)
{
    return instances_plain(&command_pause, argc, argv, pause_one, err);
}

static int unpause_run(int argc, char **argv, struct err *err)
{
    return instances_plain(&command_unpause, argc, argv, unpause_one, err);
}

const struct command command_pause = {
    .name = "pause",
    .summary = "Stop the time of instances",
    .usage = "NAME...",
    .options = no_specs,
    .run = pause_run,
};

const struct command command_unpause = {
    .name = "unpause",
    .summary = "Let instances that are paused go on",
    .usage = "NAME...",
    .options = no_specs,
    .run = unpause_run,
};
