#include "vm/relay_line.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 512 };

void relay_line_end(struct relay_line *line)
{
    fd_close(&line->caller);
    line->caller = -1;
    line->len = 0;
}

void relay_line_poll(const struct relay_line *line, struct pollfd set[RELAY_LINE_SLOTS])
{
    bool called = line->caller >= 0;

    set[0] = (struct pollfd){.fd = line->len ? -1 : line->guest, .events = POLLIN};
    set[1] = (struct pollfd){.fd = called            ? line->caller
                                   : line->guest < 0 ? -1
                                                     : line->listening,
                             .events = line->len ? POLLOUT : POLLIN};
}

static bool is_passing(ssize_t got)
{
    return got < 0 && (errno == EINTR || errno == EAGAIN);
}

/* To the guest.  One that does not even take a line has no answer either. */
static void take_request(struct relay_line *line)
{
    char request[REQUEST_MAX];
    ssize_t got = recv(line->caller, request, sizeof(request), MSG_DONTWAIT);

    if (is_passing(got))
        return;
    if (got <= 0 || send(line->guest, request, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT) != got)
        relay_line_end(line);
}

static void take_answer(struct relay_line *line)
{
    ssize_t got = recv(line->guest, line->bytes, sizeof(line->bytes), MSG_DONTWAIT);

    if (is_passing(got))
        return;
    if (got <= 0) {
        relay_line_end(line);
        line->guest = -1;
    } else if (line->caller >= 0) {
        line->start = 0;
        line->len = (size_t)got;
    }
}

static void give_answer(struct relay_line *line)
{
    ssize_t put =
        send(line->caller, line->bytes + line->start, line->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (is_passing(put))
        return;
    if (put <= 0) {
        relay_line_end(line);
        return;
    }
    line->start += (size_t)put;
    line->len -= (size_t)put;
}

void relay_line_say(const struct relay_line *line, const char *request)
{
    if (line->guest >= 0)
        (void)!send(line->guest, request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void relay_line_take(struct relay_line *line, const struct pollfd set[RELAY_LINE_SLOTS])
{
    if (set[0].revents)
        take_answer(line);
    if (!set[1].revents)
        return;
    if (set[1].fd == line->listening)
        line->caller = accept4(line->listening, NULL, NULL, SOCK_CLOEXEC);
    else if (line->caller < 0)
        return; /* the guest has gone just now */
    else if (set[1].events & POLLOUT)
        give_answer(line);
    else
        take_request(line);
}
