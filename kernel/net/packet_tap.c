/* Frames for packet sockets: interfaces show each frame that comes or goes while there is a socket
 * that listens.  Each socket of its protocol and interface gets it, cut by its filter, into its
 * queue or its ring. */
#include "net/packet_priv.h"

#include "lib/string.h"
#include "net/net_priv.h"

struct spinlock packet_lock;
static struct list_head sockets = LIST_INIT(sockets);

enum { RECV_BUFFER = 212992 }; /* Linux's rmem_default */

struct packet_info *packet_info_of(const struct pkt *pkt)
{
    return pkt_scratch(pkt);
}
static_assert(sizeof(struct packet_info) <= PKT_HEADROOM - sizeof(struct eth_hdr), "pkt_scratch");

/* One frame, as all sockets see it. */
struct frame {
    struct netif *netif;
    struct pkt *pkt;
    bool sent;
    struct eth_hdr link; /* loopback's, which has none */
    struct bpf_view view;
    struct packet_info info;
};

static u8 type_of(const struct netif *netif, const u8 *dst, bool sent)
{
    if (sent)
        return PACKET_OUTGOING;
    if (netif->flags & NETIF_LOOPBACK)
        return PACKET_HOST;
    if (dst[0] & 1)
        return (mac_load(dst) & MAC_BROADCAST) == MAC_BROADCAST ? PACKET_BROADCAST
                                                                : PACKET_MULTICAST;
    return mac_load(dst) == mac_load(netif->mac) ? PACKET_HOST : PACKET_OTHERHOST;
}

/* False: too short to be a frame. */
static bool look_at(struct frame *f, struct netif *netif, struct pkt *pkt, bool sent)
{
    bool bare = netif->flags & NETIF_LOOPBACK; /* no link header */
    struct eth_hdr *eth = &f->link;

    f->netif = netif;
    f->pkt = pkt;
    f->sent = sent;
    if (bare)
        *eth = (struct eth_hdr){.type = be16_of(pkt->protocol)};
    else if (!pkt_copy_out(pkt, 0, eth, sizeof(*eth)))
        return false;
    f->view = (struct bpf_view){
        .pkt = pkt,
        .head = (const u8 *)eth,
        .head_len = bare ? sizeof(*eth) : 0,
        .network = ETH_HDR_LEN,
        .protocol = be16_get(eth->type),
        .type = type_of(netif, eth->dst, sent),
        .hatype = bare ? ARPHRD_LOOPBACK : ARPHRD_ETHER,
        .ifindex = netif->index,
    };
    f->info = (struct packet_info){
        .from = {.family = AF_PACKET,
                 .protocol = eth->type.raw,
                 .ifindex = (s32)netif->index,
                 .hatype = f->view.hatype,
                 .pkttype = f->view.type,
                 .halen = sizeof(eth->src)},
        .real_ns = time_real_ns(),
        .csum_partial = pkt->csum == CSUM_PARTIAL,
    };
    memcpy(f->info.from.addr, eth->src, sizeof(eth->src));
    return true;
}

static bool wants(const struct packet_sock *p, const struct frame *f)
{
    if (p->ifindex && p->ifindex != f->netif->index)
        return false;
    if (f->sent)
        return p->protocol == ETH_P_ALL && !p->ignore_outgoing && f->pkt->owner != p;
    return p->protocol == ETH_P_ALL || p->protocol == f->view.protocol;
}

static u32 recv_limit(const struct socket *sock)
{
    u32 set = sock->options.recv_buffer;

    return set ? set : RECV_BUFFER;
}

/* A copy of what the socket reads, with its info. NULL: no room, or no memory. */
static struct pkt *copy_of(const struct packet_sock *p, const struct frame *f, u32 keep)
{
    const struct bpf_view *view = &f->view;
    u32 skip = view->start > view->head_len ? view->start - view->head_len : 0;
    u32 head = view->head_len > view->start ? view->head_len - view->start : 0;

    if (p->queued + PKT_LINEAR + keep > recv_limit(p->sock) && p->queued)
        return NULL;
    struct pkt *copy = pkt_slice(view->pkt, skip, view->pkt->total - skip);
    if (!copy)
        return NULL;
    if (head)
        memcpy(pkt_push(copy, head), view->head + view->start, head);
    pkt_trim(copy, keep);
    *packet_info_of(copy) = f->info;
    return copy;
}

static bool queue_frame(struct packet_sock *p, const struct frame *f, u32 keep)
{
    struct pkt *copy = copy_of(p, f, keep);

    if (!copy)
        return false;
    list_add_tail(&p->queue, &copy->node);
    p->queued += pkt_truesize(copy);
    return true;
}

static void deliver(struct packet_sock *p, struct frame *f)
{
    f->view.start = p->cooked ? f->view.network : 0;
    u32 len = bpf_view_len(&f->view);
    u32 keep = f->info.len = len > f->view.start ? len - f->view.start : 0;

    if (p->filter) {
        u32 asked = bpf_run(p->filter, &f->view);
        if (!asked)
            return;
        keep = min(keep, asked);
    }
    p->packets++;
    bool taken = p->ring ? packet_ring_put(p, &f->view, keep, &f->info) : queue_frame(p, f, keep);
    if (!taken)
        p->drops++;
    else if (waitq_has_waiters(&p->sock->waitq))
        waitq_wake(&p->sock->waitq, POLLIN | POLLRDNORM, 1);
}

static void tap(struct netif *netif, struct pkt *pkt, bool sent)
{
    struct packet_sock *p;
    struct frame frame;

    if (!look_at(&frame, netif, pkt, sent))
        return;
    spin_lock(&packet_lock);
    list_for_each(p, &sockets, node) {
        if (wants(p, &frame))
            deliver(p, &frame);
    }
    spin_unlock(&packet_lock);
}

static int set_tap(struct netif *netif, void *arg)
{
    netif->tap = list_empty(&sockets) ? NULL : tap;
    (void)arg;
    return 0;
}

void packet_add(struct packet_sock *p)
{
    spin_lock(&packet_lock);
    if (list_empty(&p->node))
        list_add_tail(&sockets, &p->node);
    netif_for_each(set_tap, NULL);
    spin_unlock(&packet_lock);
}

void packet_remove(struct packet_sock *p)
{
    spin_lock(&packet_lock);
    list_remove(&p->node);
    netif_for_each(set_tap, NULL);
    spin_unlock(&packet_lock);
}

int packet_for_each(int (*fn)(const struct packet_entry *entry, void *arg), void *arg)
{
    struct packet_sock *p;
    int result = 0;

    spin_lock(&packet_lock);
    list_for_each(p, &sockets, node) {
        struct packet_entry entry = {
            .protocol = p->protocol, .ifindex = p->ifindex, .queued = p->queued, .sock = p->sock};
        result = fn(&entry, arg);
        if (result)
            break;
    }
    spin_unlock(&packet_lock);
    return result;
}
