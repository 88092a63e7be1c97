/* What all sockets share: the protocols there are, options of SOL_SOCKET, ancillary data. */
#include "net/socket.h"

#include "core/panic.h"
#include "lib/string.h"

enum { PROTOS_MAX = 24 };

static const struct proto_ops *protos[PROTOS_MAX]; /* [I] after start */
static u32 nr_protos;

void proto_register(const struct proto_ops *ops)
{
    assert(nr_protos < PROTOS_MAX);
    protos[nr_protos++] = ops;
}

/* Does socket(2)'s @protocol mean @ops, which is of the right family and type? */
static bool takes(const struct proto_ops *ops, int protocol)
{
    if (ops->protocol)
        return !protocol || protocol == ops->protocol;
    return protocol || ops->family == AF_UNIX || ops->family == AF_NETLINK ||
           ops->family == AF_PACKET;
}

const struct proto_ops *proto_find(int family, int type, int protocol, int *err)
{
    int why = -EAFNOSUPPORT;

    for (u32 i = 0; i < nr_protos; i++) {
        const struct proto_ops *ops = protos[i];
        if (ops->family != family)
            continue;
        if (ops->type == type && takes(ops, protocol))
            return ops;
        if (ops->type == type)
            why = -EPROTONOSUPPORT;
        else if (why == -EAFNOSUPPORT)
            why = -ESOCKTNOSUPPORT;
    }
    *err = why;
    return NULL;
}

void socket_init(struct socket *sock, const struct proto_ops *ops, int protocol)
{
    memset(sock, 0, sizeof(*sock));
    sock->ops = ops;
    sock->family = ops->family;
    sock->type = ops->type;
    sock->protocol = protocol ? protocol : ops->protocol;
    waitq_init(&sock->waitq);
    spin_init(&sock->lock);
    sock->options.recv_low = 1;
    sock->options.max_pacing_rate = UINT64_MAX;
}

void sock_put_control(struct sock_msg *msg, int level, int type, const void *data, u32 len)
{
    struct cmsghdr_abi head = {.len = sizeof(head) + len, .level = level, .type = type};
    u8 *to = (u8 *)msg->control + msg->control_done;
    u32 room = msg->control ? msg->control_len - msg->control_done : 0;

    if (room < sizeof(head)) {
        msg->out_flags |= MSG_CTRUNC;
        return;
    }
    if (room < head.len) {
        msg->out_flags |= MSG_CTRUNC;
        head.len = room;
    }
    u32 bytes = (u32)head.len, padded = min(ALIGN_UP(bytes, 8), room);
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), data, bytes - sizeof(head));
    memset(to + bytes, 0, padded - bytes);
    msg->control_done += padded;
}

void sock_put_timestamp(const struct socket *sock, struct sock_msg *msg, u64 real_ns)
{
    if (likely(!sock->options.timestamp))
        return;
    struct linux_timespec ts = ns_to_timespec(real_ns ? real_ns : time_real_ns());
    if (!sock->options.timestamp_ns)
        ts.tv_nsec /= (s64)NSEC_PER_USEC; /* a struct timeval has the same form */
    sock_put_control(msg, SOL_SOCKET, sock->options.timestamp_ns ? SCM_TIMESTAMPNS : SCM_TIMESTAMP,
                     &ts, sizeof(ts));
}
