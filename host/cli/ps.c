/* ingot ps, ingot port: which instances there are, and where they are reached. */
#include "cli/cli.h"
#include "cli/instances.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct ps_options {
    bool all, quiet, full;
    const char *format;
    struct strs filters;
};

static const struct option_spec ps_specs[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct ps_options, all), NULL, "also those that have ended"},
    {"quiet", 'q', OPTION_FLAG, offsetof(struct ps_options, quiet), NULL, "print names only"},
    {"no-trunc", 0, OPTION_FLAG, offsetof(struct ps_options, full), NULL,
     "print images and commands whole"},
    {"format", 0, OPTION_TEXT, offsetof(struct ps_options, format), "table|json", "how to print"},
    {"filter", 'f', OPTION_TEXTS, offsetof(struct ps_options, filters), "KEY=VALUE",
     "only those with this label, name or status: label=NAME[=VALUE]; repeatable"},
    {0},
};

/* One instance, read once: config and state. */
struct ps_row {
    const char *name;
    const json_t *config;
    struct instance_state state;
};

static bool is_there(enum instance_status status)
{
    return status == INSTANCE_RUNNING || status == INSTANCE_PAUSED || status == INSTANCE_RESTARTING;
}

/* "Up 3 minutes (healthy)", "Exited (1) 2 hours ago". */
static char *ps_status(const struct instance_state *state)
{
    char span[32];
    s64 now = instance_clock();

    switch (state->status) {
    case INSTANCE_CREATED:
        return str_dup("Created");
    case INSTANCE_RUNNING:
    case INSTANCE_PAUSED:
        return str_printf("Up %s%s%s%s%s", instances_span(now - state->started, span),
                          state->status == INSTANCE_PAUSED ? " (paused)" : "",
                          *state->health ? " (" : "", state->health, *state->health ? ")" : "");
    case INSTANCE_RESTARTING:
        return str_printf("Restarting (%d) %s ago", state->exit_code,
                          instances_span(now - state->finished, span));
    case INSTANCE_EXITED:
        return str_printf("Exited (%d) %s ago", state->exit_code,
                          instances_span(now - state->finished, span));
    case INSTANCE_DEAD:
    case NR_INSTANCE_STATUS:
        break;
    }
    return str_dup("Dead (its supervisor was killed)");
}

static char *ps_ports(const json_t *config)
{
    const json_t *ports = json_object_get(config, "Ports"), *port;
    struct buf text = {0};
    size_t i;

    json_array_foreach(ports, i, port)
    {
        buf_printf(&text, "%s%s:%d->%d/%s", i ? ", " : "", json_str(port, "HostIp", ""),
                   (int)json_int(port, "Host", 0), (int)json_int(port, "Guest", 0),
                   json_str(port, "Protocol", "tcp"));
    }
    return buf_take(&text);
}

/* At most @max bytes, and no half characters or control bytes; the caller frees it. */
static char *ps_shorten(const char *text, size_t max)
{
    size_t len = strlen(text), cut = min(len, max);
    char *out = mem_new(cut + sizeof("…"));

    if (len > max)
        for (cut = max - 1; cut && ((unsigned char)text[cut] & 0xc0) == 0x80;)
            cut--;
    memcpy(out, text, cut);
    for (size_t i = 0; i < cut; i++)
        if ((unsigned char)out[i] < 0x20)
            out[i] = ' ';
    strcpy(out + cut, len > max ? "…" : "");
    return out;
}

static void ps_print(const struct ps_row *row, bool full)
{
    char *status CLEANUP(mem_free) = ps_status(&row->state);
    char *ports CLEANUP(mem_free) = ps_ports(row->config);
    char age[32];
    s64 made = json_int(row->config, "Created", 0);

    char *image CLEANUP(mem_free) =
        ps_shorten(json_str(row->config, "Image", "?"), full ? SIZE_MAX : 20);
    char *command CLEANUP(mem_free) =
        ps_shorten(json_str(row->config, "Command", "?"), full ? SIZE_MAX : 24);
    char *created CLEANUP(mem_free) =
        str_printf("%s ago", instances_span(instance_clock() - made, age));
    printf("%-20s %-20s %-24s %-22s %-30s %s\n", row->name, image, command, created, status, ports);
}

static json_t *ps_json(const struct ps_row *row)
{
    char *status CLEANUP(mem_free) = ps_status(&row->state);
    char *ports CLEANUP(mem_free) = ps_ports(row->config);
    char made[40];

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s}", "Name",
                     row->name, "Image", json_str(row->config, "Image", ""), "Command",
                     json_str(row->config, "Command", ""), "CreatedAt",
                     instance_time(json_int(row->config, "Created", 0), made), "State",
                     instance_status_name(row->state.status), "Status", status, "Ports", ports,
                     "Isolation", json_str(row->config, "Isolation", ""), "Pid",
                     (int)row->state.pid, "ExitCode", row->state.exit_code, "RestartCount",
                     (int)row->state.restarts, "Health", row->state.health);
}

/* label=NAME or label=NAME=VALUE. */
static bool has_label(const json_t *config, const char *wanted)
{
    const char *value = strchr(wanted, '=');
    char *name CLEANUP(mem_free) =
        str_printf("%.*s", value ? (int)(value - wanted) : (int)strlen(wanted), wanted);
    const char *found = json_str(json_object_get(config, "Labels"), name, NULL);

    return found && (!value || strcmp(found, value + 1) == 0);
}

static bool ps_matches(const struct ps_row *row, const char *filter)
{
    const char *value = strchr(filter, '=') + 1;

    if (str_starts(filter, "label="))
        return has_label(row->config, value);
    if (str_starts(filter, "name="))
        return strstr(row->name, value);
    return strcmp(instance_status_name(row->state.status), value) == 0;
}

static bool is_status(const char *word)
{
    for (int i = 0; i < NR_INSTANCE_STATUS; i++)
        if (strcmp(instance_status_name((enum instance_status)i), word) == 0)
            return true;
    return false;
}

static int ps_check_filters(const struct strs *filters, struct err *err)
{
    for (size_t i = 0; i < filters->len; i++) {
        const char *filter = filters->at[i];
        if (!str_starts(filter, "label=") && !str_starts(filter, "name=") &&
            !str_starts(filter, "status="))
            return err_set(err, ERR_USAGE,
                           "--filter: '%s' is none of label=NAME[=VALUE], name=TEXT and "
                           "status=WORD",
                           filter);
        if (str_starts(filter, "status=") && !is_status(filter + strlen("status=")))
            return err_set(err, ERR_USAGE,
                           "--filter: 'status' is created, running, paused, restarting, exited or "
                           "dead, not '%s'",
                           filter + strlen("status="));
    }
    return 0;
}

static void ps_one(const char *name, const struct ps_options *options, json_t *list)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct ps_row row = {.name = name};

    if (instance_open(&instance, name, NULL))
        return; /* removed while we looked */
    instance_get_state(&instance, &row.state);
    if (!options->all && !is_there(row.state.status))
        return;
    bool bare = options->quiet && !list && !options->filters.len;
    json_t *config CLEANUP(json_put) = bare ? NULL : instance_config(&instance, NULL);
    row.config = config; /* one that is damaged is listed with what is known */
    for (size_t i = 0; i < options->filters.len; i++)
        if (!ps_matches(&row, options->filters.at[i]))
            return;
    if (list)
        json_array_append_new(list, ps_json(&row));
    else if (options->quiet)
        puts(name);
    else
        ps_print(&row, options->full);
}

static void ps_options_fini(struct ps_options *options)
{
    strs_free(&options->filters);
}

static int ps_run(int argc, char **argv, struct err *err)
{
    struct ps_options options CLEANUP(ps_options_fini) = {0};
    struct strs names CLEANUP(strs_free) = {0};
    bool json = false;
    int words;

    int status = cli_options(&command_ps, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);
    if (status)
        return min(status, 0);
    if (words)
        return err_set(err, ERR_USAGE, "'%s' is too many: ps lists all", argv[1]);
    status = cli_format(options.format, &json, err);
    if (!status)
        status = ps_check_filters(&options.filters, err);
    if (!status)
        status = instance_list(&names, err);
    if (status)
        return status;
    json_t *list CLEANUP(json_put) = json ? json_array() : NULL;
    if (!json && !options.quiet)
        printf("%-20s %-20s %-24s %-22s %-30s %s\n", "NAME", "IMAGE", "COMMAND", "CREATED",
               "STATUS", "PORTS");
    for (size_t i = 0; i < names.len; i++)
        ps_one(names.at[i], &options, list);
    if (list) {
        char *text CLEANUP(mem_free) = json_text(list, 2);
        puts(text);
    }
    return 0;
}

const struct command command_ps = {
    .name = "ps",
    .summary = "List instances",
    .usage = "[OPTIONS]",
    .options = ps_specs,
    .run = ps_run,
};

static const struct option_spec port_specs[] = {{0}};

/* "6379" or "6379/tcp"; NULL: all. */
static bool port_is(const json_t *port, const char *wanted)
{
    const char *protocol = json_str(port, "Protocol", "tcp");
    char *number CLEANUP(mem_free) = str_printf("%d", (int)json_int(port, "Guest", 0));
    char *whole CLEANUP(mem_free) = str_printf("%s/%s", number, protocol);

    return !wanted || strcmp(wanted, whole) == 0 || strcmp(wanted, number) == 0;
}

static int port_run(int argc, char **argv, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    int words, unused, found = 0;
    int done = cli_options(&command_port, argc, argv, OPTIONS_ANYWHERE, &unused, &words, err);

    if (done)
        return min(done, 0);
    if (words < 1 || words > 2)
        return err_set(err, ERR_USAGE, "write 'ingot port NAME [PORT[/tcp|/udp]]'");
    const char *wanted = words == 2 ? argv[2] : NULL;
    int failed = instance_open(&instance, argv[1], err);
    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) = instance_config(&instance, err);
    if (!config)
        return -err->code;
    const json_t *ports = json_object_get(config, "Ports"), *port;
    size_t i;
    json_array_foreach(ports, i, port)
    {
        if (!port_is(port, wanted))
            continue;
        found++;
        if (!wanted)
            printf("%d/%s -> ", (int)json_int(port, "Guest", 0), json_str(port, "Protocol", "tcp"));
        printf("%s:%d\n", json_str(port, "HostIp", ""), (int)json_int(port, "Host", 0));
    }
    if (wanted && !found)
        return err_set(err, ENOENT, "instance '%s' does not publish port '%s'", argv[1], wanted);
    return 0;
}

const struct command command_port = {
    .name = "port",
    .summary = "Show where the published ports of an instance are",
    .usage = "NAME [PORT[/tcp|/udp]]",
    .options = port_specs,
    .run = port_run,
};
