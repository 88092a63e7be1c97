/* AF_PACKET sockets: the operations.  packet(7). */
#include "net/packet_priv.h"

#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/net_priv.h"

enum { TYPE_MASK_ALL = BIT(PACKET_MR_UNICAST + 1) - 1 };

static struct packet_sock *packet_of(const struct socket *sock)
{
    return sock->data;
}

/* ---- life ---- */

static int packet_create(struct socket *sock)
{
    struct packet_sock *p = kzalloc(sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->sock = sock;
    p->cooked = sock->type == SOCK_DGRAM;
    p->protocol = __builtin_bswap16((u16)sock->protocol);
    p->version = TPACKET_V1;
    list_init(&p->node);
    list_init(&p->queue);
    sock->data = p;
    if (p->protocol)
        packet_add(p);
    return 0;
}

static void packet_close(struct socket *sock)
{
    struct packet_sock *p = packet_of(sock);

    packet_remove(p);
    pkt_free_list(&p->queue);
    packet_ring_free(p->ring);
    kfree(p->filter);
    kfree(p);
}

/* The address of a packet socket in @addr, whose family nobody looks at where it is sent to. */
static int get_address(const struct sock_addr *addr, struct sockaddr_ll_abi *out)
{
    if (addr->len < sizeof(*out))
        return -EINVAL;
    memcpy(out, addr->bytes, sizeof(*out));
    return 0;
}

static int packet_bind(struct socket *sock, const struct sock_addr *addr)
{
    struct packet_sock *p = packet_of(sock);
    struct sockaddr_ll_abi ll;
    int err = addr->family == AF_PACKET ? get_address(addr, &ll) : -EINVAL;

    if (err)
        return err;
    if (ll.ifindex && !netif_by_index((u32)ll.ifindex))
        return -ENODEV;
    spin_lock(&packet_lock);
    p->ifindex = (u32)ll.ifindex;
    if (ll.protocol)
        p->protocol = __builtin_bswap16(ll.protocol);
    spin_unlock(&packet_lock);
    if (p->protocol)
        packet_add(p);
    return 0;
}

static int packet_name(struct socket *sock, struct sock_addr *out, bool peer)
{
    struct packet_sock *p = packet_of(sock);
    struct netif *netif = netif_by_index(p->ifindex);

    if (peer)
        return -EOPNOTSUPP;
    struct sockaddr_ll_abi ll = {.family = AF_PACKET,
                                 .protocol = __builtin_bswap16(p->protocol),
                                 .ifindex = (s32)p->ifindex};
    if (netif) {
        ll.hatype = netif->flags & NETIF_LOOPBACK ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
        ll.halen = sizeof(netif->mac);
        memcpy(ll.addr, netif->mac, sizeof(netif->mac));
    }
    memcpy(out->bytes, &ll, sizeof(ll));
    out->len = (u32)offsetof(struct sockaddr_ll_abi, addr) + ll.halen;
    return 0;
}

/* ---- receiving ---- */

static struct pkt *take(struct packet_sock *p)
{
    struct pkt *pkt = NULL;

    spin_lock(&packet_lock);
    if (!list_empty(&p->queue)) {
        pkt = list_first(&p->queue, struct pkt, node);
        list_remove(&pkt->node);
        p->queued -= pkt_truesize(pkt);
    }
    spin_unlock(&packet_lock);
    return pkt;
}

static void put_back(struct packet_sock *p, struct pkt *pkt)
{
    spin_lock(&packet_lock);
    list_add(&p->queue, &pkt->node);
    p->queued += pkt_truesize(pkt);
    spin_unlock(&packet_lock);
}

/* A packet, or NULL with *@err set. */
static struct pkt *wait_for_packet(struct packet_sock *p, u32 flags, int *err)
{
    struct socket *sock = p->sock;
    u64 timeout = sock->options.recv_timeout_ns, deadline = sock_deadline(timeout);
    struct pkt *pkt;

    while (!(pkt = take(p))) {
        netif_poll_all();
        if (!list_empty(&p->queue))
            continue;
        *err = -EAGAIN;
        if (flags & MSG_DONTWAIT)
            return NULL;
        int waited = wait_event(&sock->waitq, !list_empty(&p->queue), true, deadline);
        if (waited) {
            *err = sock_wait_error(waited, timeout);
            return NULL;
        }
    }
    return pkt;
}

static void put_control(const struct packet_sock *p, struct sock_msg *msg, const struct pkt *pkt)
{
    const struct packet_info *info = packet_info_of(pkt);

    sock_put_timestamp(p->sock, msg, info->real_ns);
    if (!p->auxdata)
        return;
    struct tpacket_auxdata_abi aux = {.status = TP_STATUS_USER |
                                                (info->csum_partial ? TP_STATUS_CSUMNOTREADY : 0u),
                                      .len = info->len,
                                      .snaplen = pkt->total,
                                      .net = p->cooked ? 0 : ETH_HDR_LEN};
    sock_put_control(msg, SOL_PACKET, PACKET_AUXDATA, &aux, sizeof(aux));
}

static ssize_t packet_recv(struct socket *sock, struct sock_msg *msg)
{
    struct packet_sock *p = packet_of(sock);
    int err = 0;

    if (msg->flags & (MSG_OOB | MSG_ERRQUEUE))
        return msg->flags & MSG_OOB ? -EINVAL : -EAGAIN;
    struct pkt *pkt = wait_for_packet(p, msg->flags, &err);
    if (!pkt)
        return err;
    const struct packet_info *info = packet_info_of(pkt);
    u32 n = (u32)min((u64)pkt->total, msg->data->left);
    if (pkt_to_iter(pkt, 0, n, msg->data) != n) {
        pkt_free(pkt);
        return -EFAULT;
    }
    if (n < pkt->total)
        msg->out_flags |= MSG_TRUNC;
    if (msg->addr) {
        memcpy(msg->addr->bytes, &info->from, sizeof(info->from));
        msg->addr->len = SOCKADDR_LL_ETHER;
    }
    put_control(p, msg, pkt);
    ssize_t result = msg->flags & MSG_TRUNC ? (ssize_t)pkt->total : (ssize_t)n;
    if (msg->flags & MSG_PEEK)
        put_back(p, pkt);
    else
        pkt_free(pkt);
    return result;
}

static u32 packet_ready(struct socket *sock)
{
    struct packet_sock *p = packet_of(sock);

    spin_lock(&packet_lock);
    bool readable = !list_empty(&p->queue) || (p->ring && packet_ring_ready(p->ring));
    spin_unlock(&packet_lock);
    return POLLOUT | POLLWRNORM | (readable ? POLLIN | POLLRDNORM : 0u);
}

static int packet_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    struct packet_sock *p = packet_of(sock);
    s32 bytes = 0;

    if (cmd != SIOCINQ && cmd != SIOCOUTQ)
        return -ENOTTY;
    spin_lock(&packet_lock);
    if (cmd == SIOCINQ && !list_empty(&p->queue))
        bytes = (s32)list_first(&p->queue, struct pkt, node)->total;
    spin_unlock(&packet_lock);
    return copy_to_user(arg, &bytes, sizeof(bytes));
}

/* ---- sending ---- */

static void put_link_header(struct pkt *pkt, const struct netif *netif, const u8 *dst, u16 protocol)
{
    struct eth_hdr *eth = (void *)pkt_push(pkt, sizeof(*eth));

    memcpy(eth->dst, dst, sizeof(eth->dst));
    memcpy(eth->src, netif->mac, sizeof(eth->src));
    eth->type = be16_of(protocol);
}

/* A frame of the program's to @netif; loopback takes packets without the link header. Takes @pkt.
 */
static int send_frame(struct packet_sock *p, struct netif *netif, struct pkt *pkt)
{
    struct eth_hdr eth;

    if (!(netif->flags & NETIF_UP)) {
        pkt_free(pkt);
        return -ENETDOWN;
    }
    if (!pkt_copy_out(pkt, 0, &eth, sizeof(eth)) || pkt->total > netif->mtu + sizeof(eth) + 4) {
        int err = pkt->total < sizeof(eth) ? -EINVAL : -EMSGSIZE;
        pkt_free(pkt);
        return err;
    }
    pkt->protocol = be16_get(eth.type);
    pkt->owner = p; /* who sends does not hear it */
    if (netif->flags & NETIF_LOOPBACK)
        (void)pkt_pull(pkt, sizeof(eth)); /* it has one */
    netif_send(netif, pkt);
    return 0;
}

static ssize_t packet_send(struct socket *sock, struct sock_msg *msg)
{
    struct packet_sock *p = packet_of(sock);
    struct sockaddr_ll_abi to = {.ifindex = (s32)p->ifindex,
                                 .protocol = __builtin_bswap16(p->protocol)};
    u64 n = msg->data->left;

    if (msg->addr && msg->addr->len) {
        int err = get_address(msg->addr, &to);
        if (err)
            return err;
    }
    struct netif *netif = netif_by_index((u32)to.ifindex);
    if (!netif)
        return -ENXIO;
    if (n > netif->mtu + (p->cooked ? 0 : ETH_HDR_LEN + 4))
        return -EMSGSIZE;
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return -ENOBUFS;
    int err = pkt_from_iter(pkt, msg->data, (u32)n);
    if (err) {
        pkt_free(pkt);
        return err;
    }
    if (p->cooked)
        put_link_header(pkt, netif, to.addr, __builtin_bswap16(to.protocol));
    err = send_frame(p, netif, pkt);
    return err ? err : (ssize_t)n;
}

/* ---- options ---- */

static int attach_filter(struct packet_sock *p, struct bpf_program *fresh, bool must_be_there)
{
    struct bpf_program *old = fresh;

    spin_lock(&packet_lock);
    int err = p->filter_locked ? -EPERM : must_be_there && !p->filter ? -ENOENT : 0;
    if (!err) {
        old = p->filter;
        p->filter = fresh;
    }
    spin_unlock(&packet_lock);
    kfree(old);
    return err;
}

static int set_filter(struct packet_sock *p, int name, const void *value, u32 len)
{
    struct bpf_program *fresh;
    s32 number;
    int err;

    switch (name) {
    case SO_ATTACH_FILTER:
        err = bpf_from_user(value, len, &fresh);
        return err ? err : attach_filter(p, fresh, false);
    case SO_DETACH_FILTER:
        return attach_filter(p, NULL, true);
    case SO_LOCK_FILTER:
        if (len < sizeof(number))
            return -EINVAL;
        memcpy(&number, value, sizeof(number));
        if (p->filter_locked && !number)
            return -EPERM;
        p->filter_locked = number;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* Interfaces hand over all that reaches them, so there is nothing to ask them for. */
static int set_membership(const void *value, u32 len)
{
    struct packet_mreq_abi req;

    if (len < sizeof(req))
        return -EINVAL;
    memcpy(&req, value, sizeof(req));
    if (!netif_by_index((u32)req.ifindex))
        return -ENODEV;
    return req.alen > sizeof(req.address) || !(TYPE_MASK_ALL >> min(req.type, 31) & 1) ? -EINVAL
                                                                                       : 0;
}

static int set_ring(struct packet_sock *p, const void *value, u32 len)
{
    struct packet_ring *fresh = NULL, *old;
    struct tpacket_req_abi req;

    if (len < sizeof(req) || p->version != TPACKET_V2)
        return -EINVAL;
    memcpy(&req, value, sizeof(req));
    if (!req.block_nr && req.frame_nr)
        return -EINVAL;
    int err = req.block_nr ? packet_ring_create(&req, p->reserve, &fresh) : 0;
    if (err)
        return err;
    spin_lock(&packet_lock);
    old = p->ring;
    p->ring = fresh;
    spin_unlock(&packet_lock);
    packet_ring_free(old);
    return 0;
}

static int set_version(struct packet_sock *p, u32 version)
{
    if (p->ring)
        return -EBUSY;
    if (version != TPACKET_V1 && version != TPACKET_V2)
        return -EINVAL;
    p->version = version;
    return 0;
}

static int set_packet(struct packet_sock *p, int name, const void *value, u32 len)
{
    u32 number;

    if (name == PACKET_ADD_MEMBERSHIP || name == PACKET_DROP_MEMBERSHIP)
        return set_membership(value, len);
    if (name == PACKET_RX_RING)
        return set_ring(p, value, len);
    if (len < sizeof(number))
        return -EINVAL;
    memcpy(&number, value, sizeof(number));
    switch (name) {
    case PACKET_VERSION:
        return set_version(p, number);
    case PACKET_RESERVE:
        if (p->ring)
            return -EBUSY;
        if (number > PAGE_SIZE)
            return -EINVAL;
        p->reserve = number;
        return 0;
    case PACKET_AUXDATA:
        p->auxdata = number != 0;
        return 0;
    case PACKET_IGNORE_OUTGOING:
        p->ignore_outgoing = number != 0;
        return number > 1 ? -EINVAL : 0;
    case PACKET_COPY_THRESH:
    case PACKET_ORIGDEV:
    case PACKET_LOSS:
    case PACKET_TIMESTAMP:
    case PACKET_QDISC_BYPASS:
        return 0; /* as it is anyway */
    default:
        return -ENOPROTOOPT;
    }
}

static int packet_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    struct packet_sock *p = packet_of(sock);

    if (level == SOL_SOCKET)
        return set_filter(p, name, value, len);
    return level == SOL_PACKET ? set_packet(p, name, value, len) : -ENOPROTOOPT;
}

static int put_value(void *to, u32 *len, const void *value, u32 size)
{
    *len = min(*len, size);
    memcpy(to, value, *len);
    return 0;
}

static int get_stats(struct packet_sock *p, void *value, u32 *len)
{
    spin_lock(&packet_lock);
    struct tpacket_stats_abi stats = {p->packets, p->drops};
    p->packets = p->drops = 0;
    spin_unlock(&packet_lock);
    return put_value(value, len, &stats, sizeof(stats));
}

/* Asked with a version, answered with the size of its header: how programs find out. */
static int get_header_len(void *value, u32 *len)
{
    u32 number = 0, size = sizeof(struct tpacket2_hdr_abi);

    memcpy(&number, value, min(*len, (u32)sizeof(number)));
    return number > TPACKET_V2 ? -EINVAL : put_value(value, len, &size, sizeof(size));
}

static int packet_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    struct packet_sock *p = packet_of(sock);
    u32 number;

    if (level == SOL_SOCKET && name == SO_LOCK_FILTER)
        number = p->filter_locked;
    else if (level == SOL_SOCKET && name == SO_BPF_EXTENSIONS)
        number = SKF_AD_MAX;
    else if (level != SOL_PACKET)
        return -ENOPROTOOPT;
    else if (name == PACKET_STATISTICS)
        return get_stats(p, value, len);
    else if (name == PACKET_HDRLEN)
        return get_header_len(value, len);
    else if (name == PACKET_VERSION)
        number = p->version;
    else if (name == PACKET_RESERVE)
        number = p->reserve;
    else if (name == PACKET_AUXDATA)
        number = p->auxdata;
    else if (name == PACKET_IGNORE_OUTGOING)
        number = p->ignore_outgoing;
    else
        return -ENOPROTOOPT;
    return put_value(value, len, &number, sizeof(number));
}

static struct page *packet_map_page(struct socket *sock, u64 index)
{
    struct packet_sock *p = packet_of(sock);

    spin_lock(&packet_lock);
    struct page *page = p->ring ? packet_ring_page(p->ring, index) : NULL;
    spin_unlock(&packet_lock);
    return page;
}

#define PACKET_OPS                                                                                 \
    .family = AF_PACKET, .create = packet_create, .close = packet_close, .bind = packet_bind,      \
    .name = packet_name, .send = packet_send, .recv = packet_recv, .ready = packet_ready,          \
    .setopt = packet_setopt, .getopt = packet_getopt, .ioctl = packet_ioctl,                       \
    .map_page = packet_map_page

static const struct proto_ops raw_ops = {PACKET_OPS, .type = SOCK_RAW};
static const struct proto_ops cooked_ops = {PACKET_OPS, .type = SOCK_DGRAM};

void packet_init(void)
{
    proto_register(&raw_ops);
    proto_register(&cooked_ops);
}
