/* ingot metrics: what instances use and count, for Prometheus (text format 0.0.4), printed or
 * served. */
#include "cli/cli.h"
#include "cli/instances.h"

#include "instance/usage.h"
#include "lib/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_MAX = 8192,
    REQUEST_MS = 2000, /* a client that says nothing keeps the others waiting no longer */
    HUNDREDTHS = 100,
};

struct metrics_options {
    const char *listen;
};

static const struct option_spec metrics_specs[] = {
    {"listen", 0, OPTION_TEXT, offsetof(struct metrics_options, listen), "[ADDRESS:]PORT",
     "serve them at http://ADDRESS:PORT/metrics"},
    {0},
};

/* All that is known of one instance at one moment. */
struct sample {
    json_t *about; /* owned: instances_json() */
    struct usage usage;
    bool used; /* it runs, and .usage is filled */
};

struct samples {
    struct sample *at; /* owned */
    size_t len;
};

static void samples_free(struct samples *samples)
{
    for (size_t i = 0; i < samples->len; i++) {
        json_put(&samples->at[i].about);
        usage_fini(&samples->at[i].usage);
    }
    free(samples->at);
}

static int samples_take(struct samples *samples, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};
    int failed = instance_list(&names, err);

    if (failed)
        return failed;
    samples->at = mem_new((names.len + 1) * sizeof(*samples->at));
    for (size_t i = 0; i < names.len; i++) {
        struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
        struct sample *sample = &samples->at[samples->len];
        *sample = (struct sample){0};
        if (instance_open(&instance, names.at[i], NULL) ||
            !(sample->about = instances_json(&instance, NULL)))
            continue; /* removed while we looked */
        sample->used = usage_read(names.at[i], &sample->usage);
        samples->len++;
    }
    return 0;
}

/* The name, and its quotes and backslashes escaped. */
static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value; value++)
        buf_printf(out,
                   *value == '"' || *value == '\\' ? "\\%c"
                   : *value == '\n'                ? " "
                                                   : "%c",
                   *value);
    buf_puts(out, "\"");
}

static const char *name_of(const struct sample *sample)
{
    return json_str(sample->about, "Name", "?");
}

static void put_head(struct buf *out, const char *name, const char *help, bool counter)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
               counter ? "counter" : "gauge");
}

static void put_value(struct buf *out, const char *name, const struct sample *sample, double value)
{
    buf_printf(out, "%s{", name);
    put_label(out, "instance", name_of(sample));
    buf_printf(out, "} %.15g\n", value);
}

static void put_info(struct buf *out, const struct samples *samples)
{
    put_head(out, "ingot_instance_info", "An instance that there is.", false);
    for (size_t i = 0; i < samples->len; i++) {
        const struct sample *sample = &samples->at[i];
        const json_t *state = json_object_get(sample->about, "State");
        buf_puts(out, "ingot_instance_info{");
        put_label(out, "instance", name_of(sample));
        buf_puts(out, ",");
        put_label(out, "image", json_str(sample->about, "Image", ""));
        buf_puts(out, ",");
        put_label(out, "isolation", json_str(sample->about, "Isolation", ""));
        buf_puts(out, ",");
        put_label(out, "status", json_str(state, "Status", ""));
        buf_puts(out, "} 1\n");
    }
}

static double up(const struct sample *sample)
{
    return sample->used;
}

static double restarts(const struct sample *sample)
{
    return (double)json_int(json_object_get(sample->about, "State"), "RestartCount", 0);
}

static double cpu_seconds(const struct sample *sample)
{
    return (double)sample->usage.cpu_ticks / (double)sysconf(_SC_CLK_TCK);
}

static double memory(const struct sample *sample)
{
    return (double)sample->usage.pss_bytes;
}

static double read_bytes(const struct sample *sample)
{
    return (double)sample->usage.read_bytes;
}

static double written_bytes(const struct sample *sample)
{
    return (double)sample->usage.written_bytes;
}

static double processes(const struct sample *sample)
{
    return (double)sample->usage.processes;
}

static void put_host(struct buf *out, const struct samples *samples)
{
    static const struct {
        const char *name, *help;
        bool counter, running; /* only of those that run */
        double (*value)(const struct sample *sample);
    } figures[] = {
        {"ingot_up", "Whether it runs.", false, false, up},
        {"ingot_restarts_total", "Times that its policy started it again.", true, false, restarts},
        {"ingot_host_cpu_seconds_total", "Processor time of its processes.", true, true,
         cpu_seconds},
        {"ingot_host_memory_bytes", "Memory of its processes, shared pages by share.", false, true,
         memory},
        {"ingot_host_disk_read_bytes_total", "Bytes read from disks.", true, true, read_bytes},
        {"ingot_host_disk_written_bytes_total", "Bytes written to disks.", true, true,
         written_bytes},
        {"ingot_host_processes", "Its processes.", false, true, processes},
    };

    for (size_t f = 0; f < ARRAY_LEN(figures); f++) {
        put_head(out, figures[f].name, figures[f].help, figures[f].counter);
        for (size_t i = 0; i < samples->len; i++)
            if (samples->at[i].used || !figures[f].running)
                put_value(out, figures[f].name, &samples->at[i], figures[f].value(&samples->at[i]));
    }
}

/* "cpu_seconds_total{mode="user"}" is a name and a label. */
static void put_guest_figure(struct buf *out, const struct samples *samples, enum guest_figure f)
{
    const struct guest_figure_info *info = &guest_figures[f];
    int len = (int)strcspn(info->prometheus, "{");
    const char *labels = info->prometheus[len] ? info->prometheus + len + 1 : "}";
    char *name CLEANUP(mem_free) = str_printf("ingot_guest_%.*s", len, info->prometheus);

    if (info->help)
        put_head(out, name, info->help, info->counter);
    for (size_t i = 0; i < samples->len; i++) {
        const struct sample *sample = &samples->at[i];
        bool seconds = f >= GUEST_CPU_USER && f <= GUEST_CPU_IDLE;
        if (!sample->used || !sample->usage.guest)
            continue;
        buf_printf(out, "%s{", name);
        put_label(out, "instance", name_of(sample));
        buf_printf(out, "%s%s %.15g\n", *labels == '}' ? "" : ",", labels,
                   (double)sample->usage.figures[f] / (seconds ? HUNDREDTHS : 1));
    }
}

static int metrics_text(struct buf *out, struct err *err)
{
    struct samples samples CLEANUP(samples_free) = {0};
    int failed = samples_take(&samples, err);

    if (failed)
        return failed;
    put_info(out, &samples);
    put_host(out, &samples);
    for (int f = 0; f < NR_GUEST_FIGURES; f++)
        put_guest_figure(out, &samples, (enum guest_figure)f);
    return 0;
}

/* ---- serving ---- */

static int parse_listen(const char *text, struct sockaddr_in *address, struct err *err)
{
    const char *colon = strrchr(text, ':');
    char *host CLEANUP(mem_free) =
        colon ? str_printf("%.*s", (int)(colon - text), text) : str_dup("127.0.0.1");
    char *end;
    unsigned long port = strtoul(colon ? colon + 1 : text, &end, 10);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((u16)port)};
    if (*end || port < 1 || port > 65535 ||
        inet_pton(AF_INET, *host ? host : "0.0.0.0", &address->sin_addr) != 1)
        return err_set(err, ERR_USAGE, "--listen: '%s' is not [ADDRESS:]PORT", text);
    return 0;
}

/* Until the empty line; false: no request came. */
static bool read_request(int fd, char *request)
{
    u64 deadline = ticks_ms() + REQUEST_MS;
    size_t len = 0;

    while (len < REQUEST_MAX - 1) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        u64 now = ticks_ms();
        if (now >= deadline || poll(&entry, 1, (int)(deadline - now)) <= 0)
            return false;
        ssize_t got = read(fd, request + len, REQUEST_MAX - 1 - len);
        if (got <= 0)
            return false;
        len += (size_t)got;
        request[len] = 0;
        if (strstr(request, "\r\n\r\n") || strstr(request, "\n\n"))
            return true;
    }
    return false;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    for (ssize_t put; len && (put = send(fd, bytes, len, MSG_NOSIGNAL)) > 0; len -= (size_t)put)
        bytes += put;
}

static void answer(int fd)
{
    struct buf body CLEANUP(buf_free) = {0};
    struct err why = {0};
    char request[REQUEST_MAX];
    const char *status = "200 OK";

    if (!read_request(fd, request))
        return;
    if (!str_starts(request, "GET /metrics ") && !str_starts(request, "GET /metrics?")) {
        status = "404 Not Found";
        buf_puts(&body, "there is /metrics\n");
    } else if (metrics_text(&body, &why)) {
        status = "500 Internal Server Error";
        buf_printf(&body, "%s\n", why.text);
    }
    char *head CLEANUP(mem_free) =
        str_printf("HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\n"
                   "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                   status, body.len);
    send_all(fd, head, strlen(head));
    send_all(fd, buf_text(&body), body.len);
}

static int serve(const char *text, struct err *err)
{
    struct sockaddr_in address;
    int failed = parse_listen(text, &address, err), on = 1;

    if (failed)
        return failed;
    int listening CLEANUP(fd_close) = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0 || setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(listening, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listening, 16) < 0)
        return err_errno(err, errno, "--listen: %s", text);
    while (true) {
        int fd CLEANUP(fd_close) = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            answer(fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return err_errno(err, errno, "--listen: %s", text);
    }
}

static int metrics_run(int argc, char **argv, struct err *err)
{
    struct metrics_options options = {0};
    struct buf text CLEANUP(buf_free) = {0};
    int words;
    int done = cli_options(&command_metrics, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (words)
        return err_set(err, ERR_USAGE, "'%s' is too many: metrics are of all", argv[1]);
    if (options.listen)
        return serve(options.listen, err);
    int failed = metrics_text(&text, err);
    if (!failed)
        fputs(buf_text(&text), stdout);
    return failed;
}

const struct command command_metrics = {
    .name = "metrics",
    .summary = "Print or serve what instances use, for Prometheus",
    .usage = "[--listen [ADDRESS:]PORT]",
    .options = metrics_specs,
    .run = metrics_run,
};
