/* `ingot run -d`: what a supervisor needs to know of a guest, and the guest inside its runner. */
#include "cli/cli.h"
#include "cli/run_priv.h"

#include "image/config.h"
#include "image/image.h"
#include "image/store.h"
#include "instance/events.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    LOG_SIZE = 10 << 20,
    LOG_FILES = 3,
    NAME_TRIES = 16,
    FOREVER_SECONDS = 1000000000, /* the supervisor decides how long a stop may take */
};

/* What the runner works with; the supervisor's copy of our memory has it. */
struct detached {
    struct run_options *options;
    const struct image *image;
    char *const *args;
};

static int detached_start(const struct detached *what, const struct runner_wires *wires,
                          struct err *err)
{
    struct run_guest guest CLEANUP(run_guest_fini) = {.crash_fd = -1};

    what->options->crash_fd = wires->crash;
    if (wires->again) /* it starts afresh, and has its ports from the start */
        what->options->state = (struct run_state){0};
    int failed = run_guest_init(&guest, what->options, what->image, what->args, err);

    if (failed)
        return failed;
    guest.config.monitor = wires->monitor;
    guest.config.operator_line = wires->guest;
    const struct run_state *state = &what->options->state;
    bool goes_on = state->file || state->moving;
    guest.config.incoming = goes_on;
    guest.config.moving = goes_on && state->moving;
    guest.config.postcopy = state->postcopy;
    guest.config.unlinked = goes_on && state->copy && guest.net.kind == VM_NET_TAP;
    guest.started = wires->started;
    return run_guest(&guest, what->options, err);
}

static int detached_run(void *context, const struct runner_wires *wires)
{
    struct err err = {0};
    int status = detached_start(context, wires, &err);

    if (status >= 0)
        return status;
    (void)!write(wires->started, err.text, strlen(err.text)); /* who asked may have gone */
    fprintf(stderr, "ingot run: %s\n", err.text);
    return RUN_STATUS_FAILED;
}

static int log_number(const char *key, const char *value, u64 *number, struct err *err)
{
    if (str_to_u64(value, number) || !*number || *number > 1000)
        return err_set(err, ERR_USAGE, "--log-opt %s: '%s' is not in 1 to 1000", key, value);
    return 0;
}

static int log_option(struct log_options *log, const char *word, struct err *err)
{
    static const char *const keys[] = {"max-size", "max-file", "tag", "address"};
    const char *value = strchr(word, '=');
    u64 number = 0;

    if (!value++)
        return err_set(err, ERR_USAGE, "--log-opt: '%s' is not KEY=VALUE", word);
    char *key CLEANUP(mem_free) = str_printf("%.*s", (int)(value - 1 - word), word);
    if (strcmp(key, "max-size") == 0) {
        if (!run_parse_size(value, &log->max_size))
            return err_set(err, ERR_USAGE, "--log-opt max-size: '%s' is no size; say 10m", value);
        return 0;
    }
    if (strcmp(key, "max-file") == 0) {
        int failed = log_number(key, value, &number, err);
        log->max_files = (unsigned)number;
        return failed;
    }
    if (strcmp(key, "tag") == 0 && strlen(value) < sizeof(log->tag)) {
        str_copy(log->tag, value, sizeof(log->tag));
        return 0;
    }
    if (strcmp(key, "address") == 0 || str_ends(key, "-address")) {
        value += str_starts(value, "unixgram://") ? strlen("unixgram://") : 0;
        if (value[0] != '/' || strlen(value) >= sizeof(log->address))
            return err_set(err, ERR_USAGE, "--log-opt %s: '%s' is no path of a datagram socket",
                           key, value);
        str_copy(log->address, value, sizeof(log->address));
        return 0;
    }
    const char *nearest = str_nearest(key, keys, ARRAY_LEN(keys));
    return err_set(err, ERR_USAGE, "--log-opt: unknown key '%s'; %s%s%s", key,
                   nearest ? "did you mean '" : "there are max-size, max-file, tag and address",
                   nearest ? nearest : "", nearest ? "'?" : "");
}

static int set_log(struct log_options *log, const struct run_options *options, const char *name,
                   struct err *err)
{
    static const char *const names[] = {[LOG_JSON] = "json",
                                        [LOG_TEXT] = "text",
                                        [LOG_SYSLOG] = "syslog",
                                        [LOG_JOURNALD] = "journald",
                                        [LOG_NONE] = "none"};
    const char *driver = options->log_driver ? options->log_driver : "json";
    size_t kind = 0;

    if (strcmp(driver, "json-file") == 0 || strcmp(driver, "local") == 0) /* Docker's words */
        driver = "json";
    while (kind < ARRAY_LEN(names) && strcmp(names[kind], driver) != 0)
        kind++;
    if (kind == ARRAY_LEN(names))
        return err_set(err, ERR_USAGE,
                       "--log-driver: '%s' is none of json, text, syslog, journald and none",
                       driver);
    *log = (struct log_options){
        .kind = (enum log_kind)kind, .max_size = LOG_SIZE, .max_files = LOG_FILES};
    str_copy(log->tag, name, sizeof(log->tag));
    for (size_t i = 0; i < options->log_opts.len; i++) {
        int failed = log_option(log, options->log_opts.at[i], err);
        if (failed)
            return failed;
    }
    return 0;
}

static void detached_net_fini(struct vm_net *net)
{
    vm_net_fini(net);
}

static int parse_net(const struct run_options *options, struct vm_net *net, struct err *err)
{
    int failed = vm_net_parse(net, options->net ? options->net : "user", err);

    for (size_t i = 0; !failed && i < options->publish.len; i++)
        failed = vm_net_publish(net, options->publish.at[i], err);
    return failed;
}

/* Where the host reaches a port of the guest. */
static bool find_port(const struct vm_net *net, struct health_plan *health)
{
    if (net->kind == VM_NET_TAP && *net->address) {
        str_copy(health->host_ip, net->address, sizeof(health->host_ip));
        health->host_port = health->guest_port;
        return true;
    }
    for (size_t i = 0; i < net->nr_ports; i++) {
        if (net->ports[i].udp || net->ports[i].guest != health->guest_port)
            continue;
        str_copy(health->host_ip, net->ports[i].host_ip, sizeof(health->host_ip));
        health->host_port = net->ports[i].host;
        return true;
    }
    return false;
}

static int set_health_times(struct health_plan *health, const struct run_options *options,
                            struct err *err)
{
    const struct {
        const char *name, *text;
        u64 *ms;
    } times[] = {
        {"health-interval", options->health_interval, &health->interval_ms},
        {"health-timeout", options->health_timeout, &health->timeout_ms},
        {"health-start-period", options->health_start, &health->start_ms},
    };

    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        unsigned long long ms;
        if (!times[i].text)
            continue;
        if (cli_duration(times[i].name, times[i].text, &ms, err))
            return -err->code;
        *times[i].ms = ms;
    }
    if (options->health_retries < 0 || options->health_retries > 1000)
        return err_set(err, ERR_USAGE, "--health-retries: %ld is not in 1 to 1000",
                       options->health_retries);
    if (options->health_retries)
        health->retries = (unsigned)options->health_retries;
    if (!health->interval_ms || !health->timeout_ms)
        return err_set(err, ERR_USAGE, "--health-interval and --health-timeout cannot be 0");
    return 0;
}

static void set_health_defaults(struct health_plan *health, const struct image_health *image)
{
    *health = (struct health_plan){
        .interval_ms = image->interval_ns >= 1000000 ? (u64)image->interval_ns / 1000000 : 30000,
        .timeout_ms = image->timeout_ns >= 1000000 ? (u64)image->timeout_ns / 1000000 : 30000,
        .start_ms = (u64)image->start_ns / 1000000,
        .retries = image->retries ? (unsigned)min(image->retries, (int64_t)1000) : 3,
    };
}

static int set_health_check(struct health_plan *health, const char *const *words, size_t count,
                            const struct vm_net *net, struct err *err)
{
    int failed = health_parse(words, count, health, err);

    if (!failed && health->kind && !find_port(net, health)) {
        health->kind = HEALTH_NONE;
        failed = err_set(err, EINVAL, "health check: port %u is not published; add -p %u:%u",
                         health->guest_port, health->guest_port, health->guest_port);
    }
    return failed;
}

/* What the user asks for must be possible; what an image asks for is left out, and said. */
static int set_health(struct health_plan *health, const struct run_options *options,
                      const struct image_health *image, const struct vm_net *net, struct err *err)
{
    const char *const words[] = {options->health_cmd};
    struct err why = {0};

    set_health_defaults(health, image);
    int failed = set_health_times(health, options, err);
    if (failed || options->no_health)
        return failed;
    if (options->health_cmd) {
        failed = set_health_check(health, words, 1, net, err);
        return failed ? err_prefix(err, "--health-cmd") : 0;
    }
    if (set_health_check(health, (const char *const *)image->test.at, image->test.len, net, &why) &&
        !options->quiet)
        fprintf(stderr, "ingot run: the image's %s; it goes without\n", why.text);
    return 0;
}

json_t *run_config_ports(const struct vm_net *net)
{
    json_t *ports = json_array();

    for (size_t i = 0; i < net->nr_ports; i++) {
        const struct vm_port *port = &net->ports[i];
        json_array_append_new(ports, json_pack("{s:i, s:s, s:s, s:i}", "Guest", port->guest,
                                               "Protocol", port->udp ? "udp" : "tcp", "HostIp",
                                               port->host_ip, "Host", port->host));
    }
    return ports;
}

static json_t *config_labels(const struct strs *labels)
{
    json_t *object = json_object();

    for (size_t i = 0; i < labels->len; i++) {
        const char *value = strchr(labels->at[i], '=');
        int len = value ? (int)(value - labels->at[i]) : (int)strlen(labels->at[i]);
        char *name CLEANUP(mem_free) = str_printf("%.*s", len, labels->at[i]);
        json_object_set_new(object, name, json_string(value ? value + 1 : ""));
    }
    return object;
}

/* What it runs, as ps shows it. */
static char *config_command(const struct run_options *options, const struct image *image,
                            char *const *args)
{
    struct buf text = {0};
    const struct strs *entry = &image->config.entrypoint, *cmd = &image->config.cmd;

    if (options->entrypoint)
        buf_puts(&text, options->entrypoint);
    for (size_t i = 0; !options->entrypoint && i < entry->len; i++)
        buf_printf(&text, "%s%s", i ? " " : "", entry->at[i]);
    for (size_t i = 0; !args[0] && !options->entrypoint && i < cmd->len; i++)
        buf_printf(&text, "%s%s", text.len ? " " : "", cmd->at[i]);
    for (size_t i = 0; args[i]; i++)
        buf_printf(&text, "%s%s", text.len ? " " : "", args[i]);
    return buf_take(&text);
}

static json_t *config_make(const struct run_options *options, const struct image *image,
                           char *const *args, const struct strs *words, const struct vm_net *net,
                           const struct vmm *vmm, struct err *err)
{
    struct strs env CLEANUP(strs_free) = {0};
    char *cwd CLEANUP(mem_free) = getcwd(NULL, 0);
    char *store CLEANUP(mem_free) = store_path();
    char *real CLEANUP(mem_free) = fs_real(store, NULL);
    char *command CLEANUP(mem_free) = config_command(options, image, args);
    const char *stop = options->stop_signal ? options->stop_signal : image->config.stopsignal;

    if (run_environment(options, &env, err))
        return NULL;
    json_t *config = json_pack(
        "{s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:s, s:b, "
        "s:b, s:b, s:o}",
        "Created", (json_int_t)instance_clock(), "Image", image->name, "ImageId", image->id,
        "Command", command, "Ports", run_config_ports(net), "Labels",
        config_labels(&options->labels), "Volumes", json_from_strs(&options->volumes), "Net",
        options->net ? options->net : "", "Isolation", vmm == &qemu_vmm ? "vm" : "process",
        "Restart", options->restart ? options->restart : "no", "LogDriver",
        options->log_driver ? options->log_driver : "json", "Env", json_from_strs(&env), "Cwd",
        cwd ? cwd : "/", "Store", real ? real : store, "StopTimeout",
        (json_int_t)options->stop_timeout, "StopSignal", stop ? stop : "SIGTERM", "AutoRemove",
        (int)options->rm, "OpenStdin", options->interactive == 1, "Tty", options->tty == 1, "Words",
        words ? json_from_strs(words) : json_array());
    if (!config)
        err_set(err, EINVAL, "a word of the command line or the environment is not UTF-8");
    return config;
}

/* "redis-3f2a", of "docker.io/library/redis:1". */
static char *invent_name(const struct image *image)
{
    const char *base = fs_name(image->name);
    char name[48];
    unsigned number = 0;
    size_t len = 0;

    for (; base[len] && base[len] != ':' && len < 40; len++)
        name[len] = isalnum((unsigned char)base[len]) || (len && strchr("_.-", base[len]))
                        ? base[len]
                        : 'x';
    (void)!getrandom(&number, sizeof(number), 0); /* without it the next try has another number */
    return str_printf("%.*s-%04x", (int)len, name, (number ^ (unsigned)getpid()) & 0xffff);
}

static int make_instance(struct instance *instance, const struct run_options *options,
                         const struct image *image, const json_t *config, struct err *err)
{
    int failed = -EEXIST;

    if (options->name)
        return instance_create(instance, options->name, config, err);
    for (int i = 0; i < NAME_TRIES && failed == -EEXIST; i++) {
        char *name CLEANUP(mem_free) = invent_name(image);
        failed = instance_create(instance, name, config, err);
    }
    return failed;
}

int run_register(const struct run_options *options, const struct image *image, char *const *args,
                 struct instance *instance, struct err *err)
{
    struct vm_net net CLEANUP(detached_net_fini) = {0};
    const struct vmm *vmm;
    struct instance_state state = {.status = INSTANCE_RUNNING,
                                   .pid = getpid(),
                                   .runner = getpid(),
                                   .started = instance_clock(),
                                   .foreground = true};
    int failed = run_choose_ground(options, image, &vmm, err);

    if (!failed)
        failed = parse_net(options, &net, err);
    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) = config_make(options, image, args, NULL, &net, vmm, err);
    if (!config)
        return -err->code;
    failed = instance_create(instance, options->name, config, err);
    return failed ? failed : instance_put_state(instance, &state, err);
}

static int detached_check(const struct run_options *options, struct restart_policy *restart,
                          struct err *err)
{
    if (options->rm && options->restart && strcmp(options->restart, "no") != 0)
        return err_set(err, ERR_USAGE, "--rm and --restart: what is removed cannot start again");
    return restart_parse(options->restart ? options->restart : "no", restart, err);
}

static int detached_plan(struct supervisor_plan *plan, struct run_options *options,
                         const struct image *image, const struct vmm **vmm, struct vm_net *net,
                         struct err *err)
{
    int failed = detached_check(options, &plan->restart, err);

    if (!failed)
        failed = run_choose_ground(options, image, vmm, err);
    if (!failed)
        failed = parse_net(options, net, err);
    if (!failed)
        failed = set_health(&plan->health, options, &image->config.health, net, err);
    return failed ? failed : set_log(&plan->log, options, "", err);
}

/* In the runner: what a supervisor, and not a terminal, decides. */
static void detached_settle(struct run_options *options, const struct vmm *vmm)
{
    options->isolation = vmm == &qemu_vmm ? "vm" : "process";
    options->stop_timeout = FOREVER_SECONDS;
    options->interactive =
        options->interactive == 1; /* of who is attached, where it was asked for */
    options->tty = options->tty == 1;
}

int run_detached(struct run_options *options, const struct image *image, char *const *args,
                 const struct strs *words, struct instance *again, struct err *err)
{
    struct instance made CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct vm_net net CLEANUP(detached_net_fini) = {0};
    struct detached what = {.options = options, .image = image, .args = args};
    const struct vmm *vmm;
    struct supervisor_plan plan = {.instance = again ? again : &made,
                                   .grace_ms = (u64)options->stop_timeout * 1000,
                                   .remove = options->rm,
                                   .start_new = !again || options->state.moving,
                                   .run = detached_run,
                                   .context = &what};
    int failed = detached_plan(&plan, options, image, &vmm, &net, err);

    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) =
        again ? NULL : config_make(options, image, args, words, &net, vmm, err);
    if (!again && !config)
        return -err->code;
    if (!again)
        failed = make_instance(&made, options, image, config, err);
    if (failed)
        return failed;
    if (!again)
        event_write(made.name, "create", json_pack("{s:s}", "Image", image->name));
    char *name CLEANUP(mem_free) = str_dup(plan.instance->name);
    if (!*plan.log.tag)
        str_copy(plan.log.tag, name, sizeof(plan.log.tag));
    plan.vm = vmm == &qemu_vmm;
    plan.input = options->interactive == 1;
    options->name = name;
    detached_settle(options, vmm);
    failed = supervisor_start(&plan, err);
    if (!failed)
        puts(name);
    return failed;
}
