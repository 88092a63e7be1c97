/* One check at a time, without ever waiting: the supervisor's loop calls whenever something is due
 * or ready.  The rules of starting, healthy and unhealthy are those of Docker's HEALTHCHECK. */
#include "instance/health.h"

#include "instance/instance.h"
#include "lib/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *health_name(enum health_status status)
{
    static const char *const names[] = {[HEALTH_STARTING] = "starting",
                                        [HEALTH_HEALTHY] = "healthy",
                                        [HEALTH_UNHEALTHY] = "unhealthy"};

    return names[status];
}

static bool parse_port(const char *text, const char **end, u16 *port)
{
    char *after;
    unsigned long value = isdigit((unsigned char)*text) ? strtoul(text, &after, 10) : 0;

    if (!value || value > UINT16_MAX)
        return false;
    *port = (u16)value;
    *end = after;
    return true;
}

static bool set_path(struct health_plan *plan, const char *path)
{
    size_t len = strcspn(path, " \t\"'|;&><)");

    if (len >= sizeof(plan->path) || (len && path[0] != '/'))
        return false;
    snprintf(plan->path, sizeof(plan->path), "%.*s", len ? (int)len : 1, len ? path : "/");
    return true;
}

/* "http://localhost:8080/path": of the guest itself only. */
static bool parse_url(const char *url, struct health_plan *plan)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "0.0.0.0", "[::1]"};
    const char *at = url + strlen("http://");

    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        if (!str_starts(at, hosts[i]))
            continue;
        at += strlen(hosts[i]);
        plan->guest_port = 80;
        if (*at == ':' && !parse_port(at + 1, &at, &plan->guest_port))
            return false;
        plan->kind = HEALTH_HTTP;
        return set_path(plan, at);
    }
    return false;
}

/* "nc -z localhost 6379", with other options between. */
static bool parse_nc(const char *command, struct health_plan *plan)
{
    const char *at = strstr(command, "nc ");

    if (!at || (at != command && at[-1] != ' ' && at[-1] != '/'))
        return false;
    for (at += 2; *at; at += strcspn(at, " ")) {
        const char *end;
        at += strspn(at, " ");
        if (parse_port(at, &end, &plan->guest_port) && (!*end || strchr(" |;&", *end))) {
            plan->kind = HEALTH_TCP;
            return true;
        }
    }
    return false;
}

static bool parse_command(const char *command, struct health_plan *plan)
{
    const char *url = strstr(command, "http://");

    if (url && (strstr(command, "curl") || strstr(command, "wget")))
        return parse_url(url, plan);
    return parse_nc(command, plan);
}

static bool parse_word(const char *word, struct health_plan *plan)
{
    const char *end;

    if (str_starts(word, "tcp:") && parse_port(word + 4, &end, &plan->guest_port) && !*end)
        plan->kind = HEALTH_TCP;
    else if (str_starts(word, "http:") && parse_port(word + 5, &end, &plan->guest_port) &&
             set_path(plan, end))
        plan->kind = HEALTH_HTTP;
    return plan->kind != HEALTH_NONE;
}

int health_parse(const char *const *test, size_t count, struct health_plan *plan, struct err *err)
{
    struct buf command CLEANUP(buf_free) = {0};
    bool tagged = count && (strcmp(test[0], "CMD") == 0 || strcmp(test[0], "CMD-SHELL") == 0);

    plan->kind = HEALTH_NONE;
    if (!count || strcmp(test[0], "NONE") == 0 || strcmp(test[0], "none") == 0)
        return 0;
    for (size_t i = tagged; i < count; i++)
        buf_printf(&command, "%s%s", i > tagged ? " " : "", test[i]);
    if (parse_word(buf_text(&command), plan) || parse_command(buf_text(&command), plan))
        return 0;
    plan->kind = HEALTH_NONE;
    return err_set(err, EINVAL,
                   "health check '%s': nothing runs in a guest beside its program; what can be "
                   "asked from outside is tcp:PORT and http:PORT/PATH",
                   buf_text(&command));
}

void health_start(struct health *health, const struct health_plan *plan)
{
    u64 now = ticks_ms();

    *health = (struct health){
        .plan = plan, .fd = -1, .born = now, .due = plan->kind ? now + plan->interval_ms : 0};
    /* Somebody who waits for "healthy" need not wait a whole interval for the first word. */
    if (health->due)
        health->due = now + min(plan->interval_ms, (u64)1000);
}

void health_end(struct health *health)
{
    fd_close(&health->fd);
    *health = (struct health){.fd = -1};
}

u64 health_poll(const struct health *health, struct pollfd *entry)
{
    *entry = (struct pollfd){.fd = health->fd, .events = health->sent ? POLLIN : POLLOUT};
    return health->fd >= 0 ? health->deadline : health->due;
}

static bool verdict(struct health *health, bool good)
{
    const struct health_plan *plan = health->plan;
    enum health_status before = health->status;
    u64 now = ticks_ms();

    fd_close(&health->fd);
    health->fd = -1;
    health->due = now + plan->interval_ms;
    if (good) {
        health->failures = 0;
        health->status = HEALTH_HEALTHY;
    } else if (before == HEALTH_STARTING && now < health->born + plan->start_ms) {
        health->due = now + min(plan->interval_ms, (u64)1000); /* it may still be starting */
    } else if (++health->failures >= plan->retries) {
        health->status = HEALTH_UNHEALTHY;
    }
    return health->status != before;
}

static bool begin(struct health *health)
{
    const struct health_plan *plan = health->plan;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(plan->host_port)};

    health->deadline = ticks_ms() + plan->timeout_ms;
    health->sent = false;
    health->answer_len = 0;
    health->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, plan->host_ip, &to.sin_addr) != 1 || !to.sin_addr.s_addr)
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK); /* published on every address */
    if (health->fd < 0 ||
        (connect(health->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
        return verdict(health, false);
    return false;
}

static bool answer_is_good(const struct health *health)
{
    int status = 0;

    return sscanf(health->answer, "HTTP/1.%*c %3d", &status) == 1 && status >= 200 && status < 400;
}

/* A forwarder accepts for a guest that does not: only a connection that stays is one. */
static bool answered(struct health *health)
{
    ssize_t got = recv(health->fd, health->answer + health->answer_len,
                       sizeof(health->answer) - 1 - health->answer_len, 0);

    if (got < 0 && errno == EAGAIN)
        return false;
    if (health->plan->kind == HEALTH_TCP)
        return verdict(health, got > 0); /* it spoke first; or was turned away */
    if (got > 0)
        health->answer_len += (size_t)got;
    health->answer[health->answer_len] = 0;
    if (got > 0 && health->answer_len < strlen("HTTP/1.1 200"))
        return false;
    return verdict(health, answer_is_good(health));
}

static bool connected(struct health *health)
{
    char request[512];
    int code = 0;
    socklen_t len = sizeof(code);

    getsockopt(health->fd, SOL_SOCKET, SO_ERROR, &code, &len);
    if (code)
        return verdict(health, false);
    health->sent = true;
    if (health->plan->kind == HEALTH_TCP) {
        health->deadline = min(health->deadline, ticks_ms() + 300);
        return false;
    }
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nUser-Agent: ingot-health\r\n"
             "Connection: close\r\n\r\n",
             health->plan->path, health->plan->guest_port);
    if (send(health->fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        return verdict(health, false);
    return false;
}

bool health_step(struct health *health, short ready)
{
    u64 now = ticks_ms();

    if (!health->plan || !health->plan->kind)
        return false;
    if (health->fd < 0)
        return now >= health->due && begin(health);
    if (ready)
        return health->sent ? answered(health) : connected(health);
    if (now < health->deadline)
        return false;
    return verdict(health, health->plan->kind == HEALTH_TCP && health->sent);
}
