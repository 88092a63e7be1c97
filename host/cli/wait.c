/* ingot wait: until instances have ended for good, or until they are ready to serve. */
#include "cli/cli.h"
#include "cli/instances.h"

#include "instance/instance.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 20, /* between two looks at a state */
};

enum condition {
    CONDITION_EXITED,
    CONDITION_RUNNING,
    CONDITION_HEALTHY,
};

struct wait_options {
    const char *condition_name, *timeout_text;
    enum condition condition;
    u64 deadline; /* ticks; 0: none */
};

static const struct option_spec wait_specs[] = {
    {"condition", 'c', OPTION_TEXT, offsetof(struct wait_options, condition_name), "CONDITION",
     "exited (the default), running or healthy"},
    {"timeout", 0, OPTION_TEXT, offsetof(struct wait_options, timeout_text), "TIME",
     "for running and healthy: give up after this (none)"},
    {0},
};

static int parse_condition(const char *name, enum condition *condition, struct err *err)
{
    static const char *const names[] = {"exited", "running", "healthy"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *condition = (enum condition)i;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "--condition: exited, running or healthy, not '%s'", name);
}

static int parse(struct wait_options *options, struct err *err)
{
    unsigned long long ms;
    int failed = options->condition_name
                     ? parse_condition(options->condition_name, &options->condition, err)
                     : 0;

    if (failed || !options->timeout_text)
        return failed;
    if (options->condition == CONDITION_EXITED)
        return err_set(err, ERR_USAGE, "--timeout: only with --condition running or healthy");
    failed = cli_duration("timeout", options->timeout_text, &ms, err);
    if (!failed)
        options->deadline = ticks_ms() + ms;
    return failed;
}

static int wait_exited(const struct instance *instance, struct err *err)
{
    struct instance_state state;
    int failed = instances_wait(instance, err);

    if (failed)
        return failed;
    instance_get_state(instance, &state);
    printf("%d\n", state.exit_code);
    return 0;
}

static bool is_ready(enum condition condition, const struct instance_state *state)
{
    return state->status == INSTANCE_RUNNING &&
           (condition == CONDITION_RUNNING || strcmp(state->health, "healthy") == 0);
}

/* Whether it can still become ready; where not, @err says why. */
static int check_hope(const struct instance *instance, enum condition condition,
                      const struct instance_state *state, struct err *err)
{
    if (!instance_is_live(instance))
        return err_set(err, ECHILD,
                       "instance '%s' ended with status %d; 'ingot logs %s' shows what it said",
                       instance->name, state->exit_code, instance->name);
    if (condition == CONDITION_HEALTHY && state->status == INSTANCE_RUNNING && !state->health[0])
        return err_set(err, EINVAL, "instance '%s' has no health check; run it with --health-cmd",
                       instance->name);
    return 0;
}

static int wait_ready(const struct instance *instance, const struct wait_options *options,
                      struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    struct instance_state state;

    for (;;) {
        instance_get_state(instance, &state);
        if (is_ready(options->condition, &state)) {
            puts(instance->name);
            return 0;
        }
        int failed = check_hope(instance, options->condition, &state, err);
        if (failed)
            return failed;
        if (options->deadline && ticks_ms() >= options->deadline)
            return err_set(err, ETIMEDOUT, "instance '%s' is not %s after %s: it is %s%s%s",
                           instance->name, options->condition_name, options->timeout_text,
                           instance_status_name(state.status), state.health[0] ? ", " : "",
                           state.health);
        nanosleep(&pause, NULL);
    }
}

static int wait_one(struct instance *instance, void *context, struct err *err)
{
    const struct wait_options *options = context;

    return options->condition == CONDITION_EXITED ? wait_exited(instance, err)
                                                  : wait_ready(instance, options, err);
}

static int wait_run(int argc, char **argv, struct err *err)
{
    struct wait_options options = {0};
    int words;
    int done = cli_options(&command_wait, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (!done)
        done = parse(&options, err);
    return done ? min(done, 0) : instances_each("wait", words, argv, wait_one, &options, err);
}

const struct command command_wait = {
    .name = "wait",
    .summary = "Wait until instances have ended for good, or are ready",
    .usage = "[OPTIONS] NAME...",
    .options = wait_specs,
    .help = "Prints the exit status of each that has ended, or the name of each that is ready.",
    .run = wait_run,
};
