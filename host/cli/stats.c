/* ingot stats, ingot top, ingot events: what instances use of this machine, and what happened. */
#include "cli/cli.h"
#include "cli/instances.h"

#include "instance/events.h"
#include "instance/log.h"
#include "instance/tree.h"
#include "instance/usage.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stats_options {
    bool once;
    const char *format;
};

static const struct option_spec stats_specs[] = {
    {"no-stream", 0, OPTION_FLAG, offsetof(struct stats_options, once), NULL,
     "once, not again and again"},
    {"format", 0, OPTION_TEXT, offsetof(struct stats_options, format), "table|json",
     "how to print"},
    {0},
};

static double cpu_percent(const struct usage *before, const struct usage *now)
{
    u64 ms = now->at_ms - before->at_ms;
    double ticks = (double)(now->cpu_ticks - min(before->cpu_ticks, now->cpu_ticks));

    return ms ? ticks * 1000 / (double)sysconf(_SC_CLK_TCK) / (double)ms * 100 : 0;
}

/* What its own kernel counts; null where that does not say. */
static json_t *guest_json(const struct usage *now)
{
    json_t *guest = now->guest ? json_object() : json_null();

    for (size_t i = 0; now->guest && i < NR_GUEST_FIGURES; i++)
        json_object_set_new(guest, guest_figures[i].json,
                            json_integer((json_int_t)now->figures[i]));
    return guest;
}

static char *guest_memory(const struct usage *now)
{
    char used[16], total[16];
    u64 all = now->figures[GUEST_MEMORY_TOTAL], free = now->figures[GUEST_MEMORY_AVAILABLE];

    return now->guest
               ? str_printf("%s / %s", cli_size(all - min(free, all), used), cli_size(all, total))
               : str_dup("-");
}

static void print_usage(const struct usage *before, const struct usage *now, json_t *list)
{
    char memory[16], in[16], out[16];
    double cpu = cpu_percent(before, now);

    if (list) {
        json_array_append_new(list, json_pack("{s:s, s:f, s:I, s:I, s:I, s:i, s:o}", "Name",
                                              now->name, "CPUPercent", cpu, "MemoryBytes",
                                              (json_int_t)now->pss_bytes, "BlockReadBytes",
                                              (json_int_t)now->read_bytes, "BlockWrittenBytes",
                                              (json_int_t)now->written_bytes, "Processes",
                                              (int)now->processes, "Guest", guest_json(now)));
        return;
    }
    char *guest CLEANUP(mem_free) = guest_memory(now);
    char *blocks CLEANUP(mem_free) =
        str_printf("%s / %s", cli_size(now->read_bytes, in), cli_size(now->written_bytes, out));
    printf("%-20s %8.2f%% %10s %22s %22s %6zu\n", now->name, cpu, cli_size(now->pss_bytes, memory),
           guest, blocks, now->processes);
}

/* One look at all of @names, and what has passed since the look before. */
static void stats_round(const struct strs *names, bool json, unsigned ms)
{
    struct usage *before = mem_new(names->len * sizeof(*before) + 1);
    json_t *list CLEANUP(json_put) = json ? json_array() : NULL;

    for (size_t i = 0; i < names->len; i++)
        usage_read(names->at[i], &before[i]);
    usleep(ms * 1000);
    if (!json)
        printf("%-20s %9s %10s %22s %22s %6s\n", "NAME", "CPU", "MEMORY", "GUEST MEMORY",
               "BLOCK I/O", "PIDS");
    for (size_t i = 0; i < names->len; i++) {
        struct usage now;
        if (before[i].name && usage_read(names->at[i], &now)) {
            print_usage(&before[i], &now, list);
            usage_fini(&now);
        }
        usage_fini(&before[i]);
    }
    free(before);
    if (list) {
        char *text CLEANUP(mem_free) = json_text(list, 2);
        puts(text);
    }
}

static int stats_names(int words, char **argv, struct strs *names, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};

    if (!words)
        return instance_list(names, err);
    for (int i = 1; i <= words; i++) {
        int failed = instance_open(&instance, argv[i], err);
        if (failed)
            return failed;
        if (!instance_is_live(&instance))
            return err_set(err, ESRCH, "instance '%s' is not running", argv[i]);
        strs_add(names, argv[i]);
        instance_close(&instance);
    }
    return 0;
}

static int stats_run(int argc, char **argv, struct err *err)
{
    struct stats_options options = {0};
    bool json = false;
    int words;
    int status = cli_options(&command_stats, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (status)
        return min(status, 0);
    status = cli_format(options.format, &json, err);
    do {
        struct strs names CLEANUP(strs_free) = {0};
        if (!status)
            status = stats_names(words, argv, &names, err);
        if (status)
            return status;
        if (!options.once && isatty(STDOUT_FILENO))
            printf("\033[H\033[J");
        stats_round(&names, json, options.once ? 200 : 1000);
        if (fflush(stdout) || ferror(stdout))
            return 0; /* main says why */
    } while (!options.once);
    return 0;
}

const struct command command_stats = {
    .name = "stats",
    .summary = "Show what instances use of this machine",
    .usage = "[OPTIONS] [NAME...]",
    .options = stats_specs,
    .help = "Memory is what would be free without the instance: shared pages count by share.",
    .run = stats_run,
};

static const struct option_spec no_specs[] = {{0}};

static int top_one(struct instance *instance, void *context, struct err *err)
{
    struct tree tree CLEANUP(tree_fini) = {0};
    struct instance_state state;

    (void)context;
    instance_get_state(instance, &state);
    if (!instance_is_live(instance) || state.pid <= 0)
        return err_set(err, ESRCH, "instance '%s' is not running", instance->name);
    tree_read(state.pid, &tree);
    tree_measure(&tree);
    printf("%8s %2s %10s %10s %10s %s\n", "PID", "S", "CPU", "RSS", "PSS", "NAME");
    for (size_t i = 0; i < tree.len; i++) {
        const struct tree_process *process = &tree.at[i];
        char rss[16], pss[16];
        printf("%8d %2c %9.2fs %10s %10s %s\n", (int)process->pid, process->state,
               (double)process->cpu_ticks / (double)sysconf(_SC_CLK_TCK),
               cli_size(process->rss_bytes, rss), cli_size(process->pss_bytes, pss),
               i == 0 && !state.foreground ? "supervisor" : process->name);
    }
    return 0;
}

static int top_run(int argc, char **argv, struct err *err)
{
    return instances_plain(&command_top, argc, argv, top_one, err);
}

const struct command command_top = {
    .name = "top",
    .summary = "Show the processes that an instance has on this machine",
    .usage = "NAME...",
    .options = no_specs,
    .run = top_run,
};

struct events_options {
    const char *since, *until, *format;
};

static const struct option_spec events_specs[] = {
    {"since", 0, OPTION_TEXT, offsetof(struct events_options, since), "TIME",
     "also what was before"},
    {"until", 0, OPTION_TEXT, offsetof(struct events_options, until), "TIME",
     "up to then, and end"},
    {"format", 0, OPTION_TEXT, offsetof(struct events_options, format), "table|json",
     "how to print"},
    {0},
};

static void events_show(const json_t *event, void *context)
{
    const bool *json = context;
    const char *key;
    json_t *value;

    if (*json) {
        char *text CLEANUP(mem_free) = json_text(event, 0);
        puts(text);
        return;
    }
    printf("%s %s %s", json_str(event, "Time", ""), json_str(event, "Action", ""),
           json_str(event, "Name", ""));
    json_object_foreach((json_t *)(uintptr_t)event, key, value)
    {
        if (strcmp(key, "Time") == 0 || strcmp(key, "TimeNano") == 0 ||
            strcmp(key, "Action") == 0 || strcmp(key, "Name") == 0)
            continue;
        char *text CLEANUP(mem_free) = json_text(value, 0);
        printf(" %s=%s", key, text);
    }
    putchar('\n');
}

static int events_time(const char *option, const char *text, s64 *ns, struct err *err)
{
    if (!text || log_parse_time(text, ns))
        return 0;
    return err_set(err, ERR_USAGE, "--%s: '%s' is no time; say 2026-01-31T12:00:00Z, or 10m ago",
                   option, text);
}

static int events_run(int argc, char **argv, struct err *err)
{
    struct events_options options = {0};
    bool json = false;
    struct event_query query = {
        .since = instance_clock(), .follow = true, .show = events_show, .context = &json};
    int words;
    int done = cli_options(&command_events, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (words)
        return err_set(err, ERR_USAGE, "'%s' is too many: events are of all instances", argv[1]);
    int failed = cli_format(options.format, &json, err);
    if (!failed)
        failed = events_time("since", options.since, &query.since, err);
    if (!failed)
        failed = events_time("until", options.until, &query.until, err);
    return failed ? failed : event_read(&query, err);
}

const struct command command_events = {
    .name = "events",
    .summary = "Show what happens to instances",
    .usage = "[OPTIONS]",
    .options = events_specs,
    .run = events_run,
};
