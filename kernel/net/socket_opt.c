/* Options of SOL_SOCKET: kept here for every protocol, which is told of each change.
 * docs/sockets.md lists what each one does. */
#include "net/socket.h"

#include "lib/string.h"
#include "net/netif.h"

enum {
    BUFFER_DEFAULT = 212992, /* net.core.[rw]mem_default and _max */
    RECV_MIN = 2304,
    SEND_MIN = 4608,
    TIMEOUT_FOREVER = 0,
};

struct timeval_abi {
    s64 sec, usec;
};

static int set_timeout(u64 *timeout_ns, const void *value, u32 len)
{
    struct timeval_abi tv;
    u64 ns;

    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, value, sizeof(tv));
    if (tv.usec < 0 || tv.usec >= 1000000)
        return -EDOM;
    if (tv.sec < 0) {
        *timeout_ns = 1; /* over at once */
        return 0;
    }
    if (__builtin_mul_overflow((u64)tv.sec, NSEC_PER_SEC, &ns) || ns > UINT64_MAX / 2)
        ns = TIMEOUT_FOREVER;
    else
        ns += (u64)tv.usec * NSEC_PER_USEC;
    *timeout_ns = ns;
    return 0;
}

static int set_linger(struct sock_options *o, const void *value, u32 len)
{
    struct linger_abi linger;

    if (len < sizeof(linger))
        return -EINVAL;
    memcpy(&linger, value, sizeof(linger));
    o->linger_on = linger.onoff;
    o->linger_s = linger.onoff ? (u32)linger.seconds : o->linger_s;
    return 0;
}

/* Linux doubles what it is asked for and reports that. */
static u32 buffer_size(int value, u32 least, bool force)
{
    u32 asked = value < 0 || (!force && value > BUFFER_DEFAULT) ? BUFFER_DEFAULT : (u32)value;

    asked = min(asked, (u32)INT32_MAX / 2);
    return max(asked * 2, least);
}

static void set_recv_buffer(struct sock_options *o, int value, bool force)
{
    o->recv_buffer = buffer_size(value, RECV_MIN, force);
    o->recv_buffer_fixed = true;
}

static void set_send_buffer(struct sock_options *o, int value, bool force)
{
    o->send_buffer = buffer_size(value, SEND_MIN, force);
    o->send_buffer_fixed = true;
}

static void set_timestamp(struct sock_options *o, bool on, bool ns)
{
    o->timestamp = on;
    o->timestamp_ns = on && ns;
}

/* Those that are an int. */
static int set_int(struct sock_options *o, int name, int v)
{
    switch (name) {
    case SO_REUSEADDR:
        o->reuse_addr = v;
        return 0;
    case SO_REUSEPORT:
        o->reuse_port = v;
        return 0;
    case SO_KEEPALIVE:
        o->keepalive = v;
        return 0;
    case SO_BROADCAST:
        o->broadcast = v;
        return 0;
    case SO_PASSCRED:
        o->passcred = v;
        return 0;
    case SO_OOBINLINE:
        o->oob_inline = v;
        return 0;
    case SO_DONTROUTE:
        o->dont_route = v;
        return 0;
    case SO_RXQ_OVFL:
        o->rxq_overflow = v;
        return 0;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
        set_send_buffer(o, v, name == SO_SNDBUFFORCE);
        return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        set_recv_buffer(o, v, name == SO_RCVBUFFORCE);
        return 0;
    case SO_PRIORITY:
        o->priority = (u32)v;
        return 0;
    case SO_MARK:
        o->mark = (u32)v;
        return 0;
    case SO_RCVLOWAT:
        o->recv_low = v < 0 ? INT32_MAX : v ? (u32)v : 1;
        return 0;
    case SO_TIMESTAMP:
    case SO_TIMESTAMP_NEW:
        set_timestamp(o, v, false);
        return 0;
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMPNS_NEW:
        set_timestamp(o, v, true);
        return 0;
    case SO_BUSY_POLL:
        o->busy_poll_us = (u32)v;
        return v < 0 ? -EINVAL : 0;
    case SO_BINDTOIFINDEX:
        o->bind_ifindex = (u32)v;
        return v < 0 ? -EINVAL : 0;
    case SO_DEBUG:
    case SO_NO_CHECK:
    case SO_INCOMING_CPU:
    case SO_PREFER_BUSY_POLL:
    case SO_BUSY_POLL_BUDGET:
        return 0; /* without effect */
    case SO_DETACH_FILTER:
        return -ENOENT; /* there is none */
    default:
        return -ENOPROTOOPT;
    }
}

/* SO_BINDTODEVICE: "" is any. */
static int set_device(struct sock_options *o, const void *value, u32 len)
{
    char name[IFNAMSIZ] = "";

    memcpy(name, value, min(len, (u32)sizeof(name) - 1));
    struct netif *netif = *name ? netif_by_name(name) : NULL;
    if (*name && !netif)
        return -ENODEV;
    o->bind_ifindex = netif ? netif->index : 0;
    return 0;
}

static int set_pacing_rate(struct sock_options *o, const void *value, u32 len)
{
    u32 rate;

    if (len >= sizeof(u64)) {
        memcpy(&o->max_pacing_rate, value, sizeof(u64));
        return 0;
    }
    memcpy(&rate, value, sizeof(rate));
    o->max_pacing_rate = rate == UINT32_MAX ? UINT64_MAX : rate;
    return 0;
}

static int set_shared(struct sock_options *o, int name, const void *value, u32 len)
{
    int v;

    if (name == SO_BINDTODEVICE)
        return set_device(o, value, len);
    if (len < sizeof(v))
        return -EINVAL;
    memcpy(&v, value, sizeof(v));
    switch (name) {
    case SO_LINGER:
        return set_linger(o, value, len);
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        return set_timeout(&o->recv_timeout_ns, value, len);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        return set_timeout(&o->send_timeout_ns, value, len);
    case SO_MAX_PACING_RATE:
        return set_pacing_rate(o, value, len);
    default:
        return set_int(o, name, v);
    }
}

int socket_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    int err = -ENOPROTOOPT, told = -ENOPROTOOPT;

    if (level == SOL_SOCKET) {
        spin_lock(&sock->lock);
        err = set_shared(&sock->options, name, value, len);
        spin_unlock(&sock->lock);
        if (!err && (name == SO_SNDBUF || name == SO_SNDBUFFORCE))
            waitq_wake_all(&sock->waitq, POLLOUT | POLLWRNORM); /* there may be room now */
    }
    if (err && err != -ENOPROTOOPT && name != SO_DETACH_FILTER)
        return err;
    if (sock->ops->setopt)
        told = sock->ops->setopt(sock, level, name, value, len);
    else if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    return told == -ENOPROTOOPT ? err : told;
}

static int get_int(struct socket *sock, int name, s64 *out)
{
    const struct sock_options *o = &sock->options;

    switch (name) {
    case SO_REUSEADDR:
        *out = o->reuse_addr;
        return 0;
    case SO_REUSEPORT:
        *out = o->reuse_port;
        return 0;
    case SO_KEEPALIVE:
        *out = o->keepalive;
        return 0;
    case SO_BROADCAST:
        *out = o->broadcast;
        return 0;
    case SO_PASSCRED:
        *out = o->passcred;
        return 0;
    case SO_OOBINLINE:
        *out = o->oob_inline;
        return 0;
    case SO_DONTROUTE:
        *out = o->dont_route;
        return 0;
    case SO_RXQ_OVFL:
        *out = o->rxq_overflow;
        return 0;
    case SO_SNDBUF:
        *out = o->send_buffer ? o->send_buffer : BUFFER_DEFAULT;
        return 0;
    case SO_RCVBUF:
        *out = o->recv_buffer ? o->recv_buffer : BUFFER_DEFAULT;
        return 0;
    case SO_PRIORITY:
        *out = o->priority;
        return 0;
    case SO_MARK:
        *out = o->mark;
        return 0;
    case SO_RCVLOWAT:
        *out = o->recv_low;
        return 0;
    case SO_SNDLOWAT:
        *out = 1;
        return 0;
    case SO_TIMESTAMP:
    case SO_TIMESTAMP_NEW:
        *out = o->timestamp && !o->timestamp_ns;
        return 0;
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMPNS_NEW:
        *out = o->timestamp_ns;
        return 0;
    case SO_TYPE:
        *out = sock->type;
        return 0;
    case SO_DOMAIN:
        *out = sock->family;
        return 0;
    case SO_PROTOCOL:
        *out = sock->protocol;
        return 0;
    case SO_ACCEPTCONN:
        *out = sock->listening;
        return 0;
    case SO_ERROR:
        *out = -sock_take_error(sock);
        return 0;
    case SO_BUSY_POLL:
        *out = o->busy_poll_us;
        return 0;
    case SO_BINDTOIFINDEX:
        *out = o->bind_ifindex;
        return 0;
    case SO_INCOMING_CPU:
        *out = (s64)cpu_id();
        return 0;
    case SO_DEBUG:
    case SO_NO_CHECK:
    case SO_ZEROCOPY:
    case SO_LOCK_FILTER:
    case SO_PREFER_BUSY_POLL:
    case SO_INCOMING_NAPI_ID:
        *out = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* An answer longer than the program's buffer is cut. */
static int put_value(void *to, u32 *len, const void *value, u32 size)
{
    *len = min(*len, size);
    memcpy(to, value, *len);
    return 0;
}

static int get_device(const struct sock_options *o, void *value, u32 *len)
{
    const struct netif *netif = o->bind_ifindex ? netif_by_index(o->bind_ifindex) : NULL;

    if (!netif) {
        *len = 0;
        return 0;
    }
    if (*len < IFNAMSIZ)
        return -EINVAL;
    return put_value(value, len, netif->name, (u32)strlen(netif->name) + 1);
}

static int get_timeout(u64 timeout_ns, void *value, u32 *len)
{
    struct timeval_abi tv = {(s64)(timeout_ns / NSEC_PER_SEC),
                             (s64)(timeout_ns % NSEC_PER_SEC / NSEC_PER_USEC)};

    return put_value(value, len, &tv, sizeof(tv));
}

static int get_shared(struct socket *sock, int name, void *value, u32 *len)
{
    const struct sock_options *o = &sock->options;
    s64 v = 0;

    switch (name) {
    case SO_LINGER: {
        struct linger_abi linger = {o->linger_on, (s32)o->linger_s};
        return put_value(value, len, &linger, sizeof(linger));
    }
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        return get_timeout(o->recv_timeout_ns, value, len);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        return get_timeout(o->send_timeout_ns, value, len);
    case SO_MAX_PACING_RATE: {
        u32 rate = (u32)min(o->max_pacing_rate, (u64)UINT32_MAX);
        return *len >= 8 ? put_value(value, len, &o->max_pacing_rate, 8)
                         : put_value(value, len, &rate, sizeof(rate));
    }
    case SO_BINDTODEVICE:
        return get_device(o, value, len);
    case SO_COOKIE:
        return *len < 8 ? -EINVAL : put_value(value, len, &sock->ino, 8);
    default: {
        int err = get_int(sock, name, &v);
        int word = (int)v;
        return err ? err : put_value(value, len, &word, sizeof(word));
    }
    }
}

int socket_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    int err = level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;

    if (sock->ops->getopt)
        err = sock->ops->getopt(sock, level, name, value, len);
    if (level == SOL_SOCKET && err == -ENOPROTOOPT)
        err = get_shared(sock, name, value, len);
    return err;
}
