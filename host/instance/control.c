/* Orders to a supervisor: its side of the socket, and the client's. */
#include "instance/supervisor_priv.h"

#include "instance/events.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LAST_WORDS_MS = 1000 };

static void hang_up(struct client *client)
{
    fd_close(&client->fd);
    buf_free(&client->behind);
    *client = (struct client){.fd = -1};
}

/* An answer is short, and its reader waits for it. */
static void answer(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void answer(struct client *client, const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    len = min(len, (int)sizeof(line) - 2);
    line[len++] = '\n';
    if (send(client->fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        hang_up(client);
}

void control_accept(struct supervisor *s)
{
    int fd = accept4(s->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    for (size_t i = 0; fd >= 0 && i < MAX_CLIENTS; i++)
        if (s->clients[i].fd < 0) {
            s->clients[i] = (struct client){.fd = fd};
            return;
        }
    fd_close(&fd); /* more than ever are needed: they see the end of file at once */
}

static void signal_guest(struct supervisor *s, struct client *client, bool end)
{
    if (!s->runner) {
        answer(client, "error it is between two starts");
        return;
    }
    (void)supervisor_pause(s, false, NULL); /* a paused one hears nothing; else this does nothing */
    s->killed |= end;
    kill(s->runner, end ? SIGQUIT : SIGUSR1);
    event_write(s->instance->name, "kill", NULL);
    if (end) { /* Docker: who kills it does not want it back */
        s->state.stopped = true;
        supervisor_save(s);
    }
    answer(client, "ok");
}

static void pause_guest(struct supervisor *s, struct client *client, bool pause)
{
    struct err err = {0};
    bool paused = s->state.status == INSTANCE_PAUSED;

    if (s->state.status != INSTANCE_RUNNING && !paused)
        answer(client, "error it is %s", instance_status_name(s->state.status));
    else if (paused == pause)
        answer(client, "error it is %s paused", pause ? "already" : "not");
    else if (supervisor_pause(s, pause, &err))
        answer(client, "error %s", err.text);
    else
        answer(client, "ok");
}

static void obey(struct supervisor *s, struct client *client)
{
    char *order = client->order;
    u64 ms;

    if (str_starts(order, "stop ") && str_to_u64(order + 5, &ms) == 0) {
        answer(client, "ok");
        supervisor_stop(s, ms, true);
    } else if (strcmp(order, "kill") == 0) {
        signal_guest(s, client, true);
    } else if (strcmp(order, "signal") == 0) {
        signal_guest(s, client, false);
    } else if (strcmp(order, "pause") == 0) {
        pause_guest(s, client, true);
    } else if (strcmp(order, "unpause") == 0) {
        pause_guest(s, client, false);
    } else if (strcmp(order, "attach") == 0) {
        answer(client, "ok");
        client->attached = client->fd >= 0;
    } else if (strcmp(order, "attach input") == 0 && !s->plan->input) {
        answer(client, "error it takes no input: it was started without -i");
    } else if (strcmp(order, "attach input") == 0) {
        answer(client, "ok");
        client->attached = client->speaks = client->fd >= 0;
    } else if (strcmp(order, "wait") == 0) {
        answer(client, "ok");
    } else {
        answer(client, "error this supervisor does not know the order '%s'", order);
    }
}

void control_input(struct supervisor *s, struct client *client)
{
    if (client->speaks) {
        if (!s->input.len && !input_take(&s->input, client->fd))
            hang_up(client);
        return;
    }
    ssize_t got = recv(client->fd, client->order + client->len, ORDER_MAX - 1 - client->len, 0);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        hang_up(client);
        return;
    }
    client->len += (size_t)got;
    char *end = memchr(client->order, '\n', client->len);
    if (end) {
        *end = 0;
        client->len = 0;
        obey(s, client);
    } else if (client->len == ORDER_MAX - 1) {
        hang_up(client);
    }
}

/* What one socket does not take at once waits here, and the guest's next words in its pipes. */
static void give(struct client *client, const unsigned char head[8], const char *bytes, size_t len)
{
    struct iovec parts[] = {{(void *)(uintptr_t)head, 8}, {(void *)(uintptr_t)bytes, len}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t put =
        client->behind.len ? 0 : sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        hang_up(client);
        return;
    }
    size_t done = (size_t)max(put, (ssize_t)0), of_head = min(done, (size_t)8);
    if (done == 8 + len)
        return;
    if (!client->behind.len)
        client->drop_at = ticks_ms() + BEHIND_MS;
    buf_add(&client->behind, head + of_head, 8 - of_head);
    buf_add(&client->behind, bytes + (done - of_head), len - (done - of_head));
    if (client->behind.len > BEHIND_MAX)
        hang_up(client);
}

void control_output(struct supervisor *s, enum log_stream stream, const char *bytes, size_t len)
{
    const unsigned char head[8] = {stream == LOG_STDERR ? 2 : 1,
                                   0,
                                   0,
                                   0,
                                   (unsigned char)(len >> 24),
                                   (unsigned char)(len >> 16),
                                   (unsigned char)(len >> 8),
                                   (unsigned char)len};

    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->clients[i].fd >= 0 && s->clients[i].attached)
            give(&s->clients[i], head, bytes, len);
}

void control_poll(const struct supervisor *s, const struct client *client, struct pollfd *entry)
{
    bool full = client->speaks && s->input.len, behind = client->behind.len;

    *entry = (struct pollfd){.fd = full && !behind ? -1 : client->fd,
                             .events = (short)((full ? 0 : POLLIN) | (behind ? POLLOUT : 0))};
}

void control_catch_up(struct client *client)
{
    struct buf *behind = &client->behind;
    ssize_t put = send(client->fd, behind->data, behind->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        hang_up(client);
    } else if (put > 0) {
        behind->len -= (size_t)put;
        memmove(behind->data, behind->data + put, behind->len);
        client->drop_at = ticks_ms() + BEHIND_MS;
        if (!behind->len) {
            client->drop_at = 0;
            buf_free(behind);
        }
    }
}

bool control_is_behind(const struct supervisor *s, u64 *at)
{
    *at = 0;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->clients[i].behind.len)
            *at = *at ? min(*at, s->clients[i].drop_at) : s->clients[i].drop_at;
    return *at;
}

void control_drop_late(struct supervisor *s, u64 now)
{
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->clients[i].behind.len && now >= s->clients[i].drop_at)
            hang_up(&s->clients[i]); /* the log has it all */
}

void control_end(struct supervisor *s)
{
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &s->clients[i];
        struct pollfd entry = {.fd = client->fd, .events = POLLOUT};
        while (client->behind.len && poll(&entry, 1, LAST_WORDS_MS) > 0)
            control_catch_up(client);
    }
}

static bool wait_readable(int fd, u64 deadline)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    u64 now = ticks_ms();

    return now < deadline && poll(&entry, 1, (int)(deadline - now)) > 0;
}

/* One line, byte by byte: what follows may be frames. */
static int read_answer(const struct instance *instance, int fd, struct err *err)
{
    u64 deadline = ticks_ms() + ORDER_PATIENCE_MS;
    char line[1024];

    for (size_t len = 0; len < sizeof(line); len++) {
        if (!wait_readable(fd, deadline)) {
            struct instance_state state;
            instance_get_state(instance, &state);
            return err_set(err, ETIMEDOUT,
                           "instance '%s': its supervisor (process %d) does not answer",
                           instance->name, (int)state.pid);
        }
        if (recv(fd, &line[len], 1, 0) != 1)
            return err_set(err, ESRCH, "instance '%s': its supervisor has ended", instance->name);
        if (line[len] != '\n')
            continue;
        line[len] = 0;
        if (strcmp(line, "ok") == 0)
            return 0;
        return err_set(err, EINVAL, "instance '%s': %s", instance->name,
                       str_starts(line, "error ") ? line + 6 : line);
    }
    return err_set(err, EINVAL, "instance '%s': its supervisor makes no sense", instance->name);
}

int supervisor_connect(const struct instance *instance, const char *order, struct err *err)
{
    char *line CLEANUP(mem_free) = str_printf("%s\n", order);
    int fd CLEANUP(fd_close) = instance_connect(instance, "control");

    if (fd < 0 || send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        return err_set(err, ESRCH, "instance '%s' is not running", instance->name);
    int failed = read_answer(instance, fd, err);
    return failed ? failed : TAKE(fd, -1);
}

int supervisor_order(const struct instance *instance, const char *order, bool wait, struct err *err)
{
    int fd CLEANUP(fd_close) = supervisor_connect(instance, order, err);
    char rest[4096];

    if (fd < 0)
        return fd;
    while (wait && recv(fd, rest, sizeof(rest), 0) > 0)
        ;
    return 0;
}
