/* The user's network: libslirp speaks for the guest with the user's own sockets, so no right is
 * needed.  The addresses are those that QEMU's user network has.  What the guest has no room for
 * waits here, and nothing more is fetched meanwhile. */
#include "device/net.h"

#include <slirp/libslirp.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { BACKLOG = 4096, ABSENT_MAX = 16, LATE_MAX = 1 << 20, TIMER_NEVER = -1, MANY_FDS = 1 << 20 };

struct user_net {
    struct net *net;
    Slirp *slirp;
    struct pollfd *fds; /* [0] is device_wait()'s */
    u32 nr_fds, max_fds;
    s64 timer_ms; /* of router advertisements, the only one there is */
    void *timer_opaque;
    struct late { /* frames that the guest had no room for, oldest first */
        struct late *next;
        size_t len;
        char frame[];
    } * late, **late_end;
    size_t late_bytes;
};

/* ---- what libslirp calls ---- */

static ssize_t send_packet(const void *frame, size_t len, void *opaque)
{
    struct user_net *user = opaque;

    if (!user->late && net_deliver(user->net, frame, len))
        return (ssize_t)len;
    if (user->late_bytes + len > LATE_MAX)
        return (ssize_t)len; /* dropped: TCP sends it again */
    struct late *late = malloc(sizeof(*late) + len);
    if (!late)
        return (ssize_t)len;
    *late = (struct late){.len = len};
    memcpy(late->frame, frame, len);
    *user->late_end = late;
    user->late_end = &late->next;
    user->late_bytes += len;
    return (ssize_t)len;
}

static void guest_error(const char *message, void *opaque)
{
    (void)message, (void)opaque; /* of frames that are malformed; they are dropped */
}

static int64_t clock_ns(void *opaque)
{
    (void)opaque;
    return (int64_t)device_now_ns();
}

static void *timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    struct user_net *user = opaque;

    (void)id;
    user->timer_ms = TIMER_NEVER;
    user->timer_opaque = cb_opaque;
    return user;
}

static void timer_free(void *timer, void *opaque)
{
    (void)timer;
    ((struct user_net *)opaque)->timer_ms = TIMER_NEVER;
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)timer;
    ((struct user_net *)opaque)->timer_ms = expire_ms;
}

static void ignore_fd(int fd, void *opaque)
{
    (void)fd, (void)opaque;
}

static void ignore(void *opaque)
{
    (void)opaque;
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .timer_new_opaque = timer_new,
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = ignore,
};

/* ---- start ---- */

static bool publish(struct user_net *user, const struct user_port *port)
{
    struct in_addr host, guest;

    if (inet_pton(AF_INET, port->ip, &host) != 1 || inet_pton(AF_INET, "10.0.2.15", &guest) != 1)
        return false;
    if (!slirp_add_hostfwd(user->slirp, port->udp, host, port->host, guest, port->guest))
        return true;
    fprintf(stderr, "ingot-device: --publish: port %u of %s: %s\n", port->host, port->ip,
            strerror(errno));
    return false;
}

/* libslirp listens for one connection at a time: a longer queue costs nothing.  Descriptors are few
 * and lie close together at the start. */
static void raise_backlogs(void)
{
    for (int fd = 3, absent = 0; absent < ABSENT_MAX; fd++) {
        int listening = 0;
        socklen_t len = sizeof(listening);
        if (!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) && listening)
            (void)listen(fd, BACKLOG); /* it listens already */
        else if (errno == EBADF)
            absent++;
    }
}

/* One descriptor a connection. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = min(limit.rlim_max, (rlim_t)MANY_FDS);
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* or fewer connections */
}

static SlirpConfig config(void)
{
    SlirpConfig c = {
        .version = 4,
        .in_enabled = true,
        .in6_enabled = true,
        .vprefix_len = 64,
        .vhostname = "ingot",
    };

    inet_pton(AF_INET, "10.0.2.0", &c.vnetwork);
    inet_pton(AF_INET, "255.255.255.0", &c.vnetmask);
    inet_pton(AF_INET, "10.0.2.2", &c.vhost);
    inet_pton(AF_INET, "10.0.2.3", &c.vnameserver);
    inet_pton(AF_INET, "10.0.2.15", &c.vdhcp_start);
    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    return c;
}

struct user_net *user_create(struct net *net, const struct user_port *ports, u32 nr_ports)
{
    struct user_net *user = calloc(1, sizeof(*user));
    SlirpConfig c = config();

    if (!user)
        return NULL;
    raise_limit();
    user->net = net;
    user->timer_ms = TIMER_NEVER;
    user->late_end = &user->late;
    user->slirp = slirp_new(&c, &callbacks, user);
    if (!user->slirp)
        return NULL;
    for (u32 i = 0; i < nr_ports; i++)
        if (!publish(user, &ports[i]))
            return NULL;
    raise_backlogs();
    return user;
}

/* ---- work ---- */

void user_input(struct user_net *user, const void *frame, size_t len)
{
    slirp_input(user->slirp, frame, (int)len);
}

bool user_flush(struct user_net *user)
{
    struct late *late;

    while ((late = user->late) && net_deliver(user->net, late->frame, late->len)) {
        user->late = late->next;
        user->late_bytes -= late->len;
        free(late);
    }
    if (!user->late)
        user->late_end = &user->late;
    return !user->late;
}

static short poll_events(int events)
{
    return (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                   (events & SLIRP_POLL_PRI ? POLLPRI : 0));
}

static int add_poll(int fd, int events, void *opaque)
{
    struct user_net *user = opaque;

    if (user->nr_fds + 1 >= user->max_fds) {
        u32 more = max(64u, 2 * user->max_fds);
        struct pollfd *fds = realloc(user->fds, more * sizeof(*fds));
        if (!fds)
            abort();
        user->fds = fds;
        user->max_fds = more;
    }
    user->fds[++user->nr_fds] = (struct pollfd){.fd = fd, .events = poll_events(events)};
    return (int)user->nr_fds;
}

static int get_events(int index, void *opaque)
{
    short got = ((struct user_net *)opaque)->fds[index].revents;

    return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
           (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static u32 run_timer(struct user_net *user, u32 timeout_ms)
{
    s64 now_ms = (s64)(device_now_ns() / 1000000);

    if (user->timer_ms == TIMER_NEVER)
        return timeout_ms;
    if (user->timer_ms <= now_ms) {
        user->timer_ms = TIMER_NEVER;
        slirp_handle_timer(user->slirp, SLIRP_TIMER_RA, user->timer_opaque);
        return 0;
    }
    return (u32)min((s64)timeout_ms, user->timer_ms - now_ms);
}

void user_wait(struct user_net *user, u32 ignored)
{
    struct pollfd only[1];
    u32 timeout_ms = INT_MAX;

    if (user->late) { /* until the guest has room nothing more is fetched */
        device_wait(&user->net->dev, only, 0, -1, 0);
        return;
    }
    user->nr_fds = 0;
    slirp_pollfds_fill(user->slirp, &timeout_ms, add_poll, user);
    if (!user->fds && add_poll(-1, 0, user) < 0)
        return;
    timeout_ms = run_timer(user, min(timeout_ms, (u32)INT_MAX));
    for (u32 i = 1; i <= user->nr_fds; i++)
        user->fds[i].revents = 0;
    device_wait(&user->net->dev, user->fds, user->nr_fds,
                timeout_ms == INT_MAX ? -1 : (int)timeout_ms, ignored);
    slirp_pollfds_poll(user->slirp, 0, get_events, user);
}
