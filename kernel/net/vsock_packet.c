/* Packets of AF_VSOCK: who they are for, what they change, what is answered.  Virtio 1.2, 5.10.6.
 * The other side is not trusted: what breaks the rules of credit or names no connection is answered
 * with a reset. */
#include "abi/vsock.h"
#include "core/irq.h"
#include "core/random.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/vsock_priv.h"

enum {
    BUCKETS = 64,
    BUFFER = 256 << 10, /* Linux's default */
    COPY_BELOW = 2048,  /* small payloads are gathered, so that they do not hold a page each */
    FIRST_PORT = 49152,
    BURST = 256,
    CONNECT_TIMEOUT_S = 2, /* Linux's default */
};

struct spinlock vsock_lock;
static struct list_head table[BUCKETS]; /* by local port */
static struct vsock_transport *device;  /* [I] once set */
static struct list_head looped;         /* packets to ourselves */
static u32 loop_line;

static struct list_head *bucket(u32 port)
{
    return &table[port % BUCKETS];
}

u64 vsock_own_cid(u64 cid)
{
    return cid == VMADDR_CID_LOCAL || !device ? VMADDR_CID_LOCAL : device->cid;
}

static bool is_own(u64 cid)
{
    return cid == VMADDR_CID_LOCAL || (device && cid == device->cid);
}

bool vsock_is_reachable(u64 cid)
{
    return is_own(cid) || (device && cid != VMADDR_CID_HYPERVISOR);
}

struct vsock *vsock_alloc(void)
{
    struct vsock *v = kzalloc(sizeof(*v));

    if (!v)
        return NULL;
    list_init(&v->node);
    list_init(&v->queue);
    list_init(&v->accepting);
    list_init(&v->accept_node);
    mutex_init(&v->read_lock);
    v->buf_alloc = BUFFER;
    v->connect_timeout_ns = CONNECT_TIMEOUT_S * NSEC_PER_SEC;
    return v;
}

void vsock_free(struct vsock *v)
{
    pkt_free_list(&v->queue);
    kfree(v);
}

void vsock_wake_locked(struct vsock *v, u32 events)
{
    if (v->sock)
        waitq_wake_all(&v->sock->waitq, events);
}

/* ---- ports ---- */

/* Whoever was given the port; connections that were accepted there, or have ended, are not meant.
 */
static struct vsock *find_bound(u32 port)
{
    struct vsock *v;

    list_for_each(v, bucket(port), node) {
        if (v->port == port && !v->was_connected)
            return v;
    }
    return NULL;
}

/* A port that nobody has, connected sockets included. */
static bool is_free(u32 port)
{
    struct vsock *v;

    list_for_each(v, bucket(port), node) {
        if (v->port == port)
            return false;
    }
    return true;
}

int vsock_bind_locked(struct vsock *v, u32 port)
{
    enum { TRIES = 1 << 14 };

    if (port != VMADDR_PORT_ANY) {
        if (find_bound(port))
            return -EADDRINUSE;
    } else {
        u32 start = FIRST_PORT + (u32)random_below(1 << 20);
        for (port = start; !is_free(port); port++)
            if (port - start == TRIES)
                return -EADDRINUSE;
    }
    v->port = port;
    list_add_tail(bucket(port), &v->node);
    return 0;
}

void vsock_unbind_locked(struct vsock *v)
{
    list_remove(&v->node);
}

/* ---- sending ---- */

u32 vsock_credit_locked(const struct vsock *v)
{
    u32 used = v->tx_cnt - v->peer_fwd_cnt;

    return used < v->peer_alloc ? v->peer_alloc - used : 0;
}

/* Takes @pkt, whose header is whole. */
static void transmit(struct pkt *pkt, u64 cid)
{
    if (!is_own(cid)) {
        device->send(device, pkt);
        return;
    }
    list_add_tail(&looped, &pkt->node);
    irq_pend(loop_line);
}

void vsock_send_locked(struct vsock *v, u16 op, u32 flags, struct pkt *pkt)
{
    u32 len = pkt ? pkt->total : 0;

    if (!pkt)
        pkt = pkt_alloc();
    if (!pkt)
        return; /* as if it were lost: the peer asks again for credit, or times out */
    struct vsock_hdr hdr = {.src_cid = vsock_own_cid(v->peer_cid),
                            .dst_cid = v->peer_cid,
                            .src_port = v->port,
                            .dst_port = v->peer_port,
                            .len = len,
                            .type = VSOCK_TYPE_STREAM,
                            .op = op,
                            .flags = flags,
                            .buf_alloc = v->buf_alloc,
                            .fwd_cnt = v->fwd_cnt};
    memcpy(pkt_push(pkt, sizeof(hdr)), &hdr, sizeof(hdr));
    v->told_fwd_cnt = v->fwd_cnt;
    v->tx_cnt += len;
    transmit(pkt, v->peer_cid);
}

/* To who speaks to nobody; a reset is not answered. */
static void refuse(const struct vsock_hdr *hdr)
{
    struct pkt *pkt =
        hdr->op == VSOCK_RST || !vsock_is_reachable(hdr->src_cid) ? NULL : pkt_alloc();

    if (!pkt)
        return;
    struct vsock_hdr reply = {.src_cid = hdr->dst_cid,
                              .dst_cid = hdr->src_cid,
                              .src_port = hdr->dst_port,
                              .dst_port = hdr->src_port,
                              .type = hdr->type,
                              .op = VSOCK_RST};
    memcpy(pkt_put(pkt, sizeof(reply)), &reply, sizeof(reply));
    transmit(pkt, reply.dst_cid);
}

/* ---- receiving ---- */

static struct vsock *find_connection(const struct vsock_hdr *hdr)
{
    struct vsock *v;

    list_for_each(v, bucket(hdr->dst_port), node) {
        if (v->port == hdr->dst_port && v->peer_port == hdr->src_port &&
            v->peer_cid == hdr->src_cid &&
            (v->state == VSOCK_CONNECTED || v->state == VSOCK_CONNECTING))
            return v;
    }
    return NULL;
}

static void note_credit(struct vsock *v, const struct vsock_hdr *hdr)
{
    v->peer_alloc = hdr->buf_alloc;
    v->peer_fwd_cnt = hdr->fwd_cnt;
}

/* The connection is over; what came before can still be read. */
static void end(struct vsock *v)
{
    v->state = VSOCK_CLOSED;
    v->peer_shut = VSOCK_NOTHING;
    vsock_wake_locked(v, POLLIN | POLLOUT | POLLHUP | POLLRDHUP | POLLERR);
}

static void take_request(struct vsock *listener, const struct vsock_hdr *hdr)
{
    struct vsock *v = listener->nr_accepting < listener->backlog ? vsock_alloc() : NULL;

    if (!v) {
        refuse(hdr);
        return;
    }
    v->state = VSOCK_CONNECTED;
    v->was_connected = true;
    v->buf_alloc = listener->buf_alloc;
    v->port = hdr->dst_port;
    v->peer_cid = hdr->src_cid;
    v->peer_port = hdr->src_port;
    note_credit(v, hdr);
    list_add_tail(bucket(v->port), &v->node);
    list_add_tail(&listener->accepting, &v->accept_node);
    listener->nr_accepting++;
    vsock_send_locked(v, VSOCK_RESPONSE, 0, NULL);
    vsock_wake_locked(listener, POLLIN | POLLRDNORM);
}

/* Bytes of the stream, .data at the first. Takes @pkt. False: more than there was room for. */
static bool take_bytes(struct vsock *v, struct pkt *pkt)
{
    struct pkt *last = list_empty(&v->queue) ? NULL : list_last(&v->queue, struct pkt, node);
    u32 n = pkt->total;

    if (n > v->buf_alloc - v->queued) {
        pkt_free(pkt);
        return false;
    }
    v->queued += n;
    if (last && n < COPY_BELOW && pkt->len == n && last->nr_frags < PKT_FRAGS - 1 &&
        pkt_append(last, pkt->data, n)) {
        pkt_free(pkt);
    } else {
        list_add_tail(&v->queue, &pkt->node);
    }
    vsock_wake_locked(v, POLLIN | POLLRDNORM);
    return true;
}

static void take_shutdown(struct vsock *v, const struct vsock_hdr *hdr)
{
    v->peer_shut |= hdr->flags & VSOCK_NOTHING;
    if (v->peer_shut == VSOCK_NOTHING) { /* it wants to hear that we know */
        vsock_send_locked(v, VSOCK_RST, 0, NULL);
        end(v);
        return;
    }
    vsock_wake_locked(v, POLLIN | POLLOUT | POLLRDHUP);
}

static void abort_connection(struct vsock *v)
{
    vsock_send_locked(v, VSOCK_RST, 0, NULL);
    end(v);
}

/* Takes @pkt. */
static void take_connected(struct vsock *v, const struct vsock_hdr *hdr, struct pkt *pkt)
{
    note_credit(v, hdr);
    if (hdr->op == VSOCK_RW) {
        if (pkt->total && !take_bytes(v, pkt))
            abort_connection(v);
        else if (!hdr->len)
            pkt_free(pkt);
        return;
    }
    pkt_free(pkt);
    switch (hdr->op) {
    case VSOCK_RST:
        end(v);
        return;
    case VSOCK_SHUTDOWN:
        take_shutdown(v, hdr);
        return;
    case VSOCK_CREDIT_REQUEST:
        vsock_send_locked(v, VSOCK_CREDIT_UPDATE, 0, NULL);
        return;
    case VSOCK_CREDIT_UPDATE:
        vsock_wake_locked(v, POLLOUT | POLLWRNORM);
        return;
    default:
        abort_connection(v);
    }
}

static void take_connecting(struct vsock *v, const struct vsock_hdr *hdr)
{
    if (hdr->op == VSOCK_RESPONSE) {
        note_credit(v, hdr);
        v->state = VSOCK_CONNECTED;
        v->was_connected = true;
        vsock_wake_locked(v, POLLOUT | POLLWRNORM);
        return;
    }
    if (hdr->op != VSOCK_RST)
        refuse(hdr);
    v->state = VSOCK_CLOSED;
    if (v->sock)
        sock_set_error(v->sock, ECONNRESET);
    vsock_wake_locked(v, POLLOUT | POLLHUP | POLLERR);
}

static void receive_locked(struct pkt *pkt)
{
    struct vsock_hdr hdr;

    if (!pkt_copy_out(pkt, 0, &hdr, sizeof(hdr)) || hdr.len > pkt->total - sizeof(hdr) ||
        !is_own(hdr.dst_cid)) {
        pkt_free(pkt);
        return;
    }
    (void)pkt_pull(pkt, sizeof(hdr)); /* it is that long */
    pkt_trim(pkt, hdr.len);
    struct vsock *v = hdr.type == VSOCK_TYPE_STREAM ? find_connection(&hdr) : NULL;
    if (v && v->state == VSOCK_CONNECTED) {
        take_connected(v, &hdr, pkt);
        return;
    }
    pkt_free(pkt);
    if (v) {
        take_connecting(v, &hdr);
        return;
    }
    struct vsock *listener = find_bound(hdr.dst_port);
    if (hdr.type == VSOCK_TYPE_STREAM && hdr.op == VSOCK_REQUEST && listener &&
        listener->state == VSOCK_LISTENING)
        take_request(listener, &hdr);
    else
        refuse(&hdr);
}

void vsock_receive(struct pkt *pkt)
{
    spin_lock(&vsock_lock);
    receive_locked(pkt);
    spin_unlock(&vsock_lock);
}

/* What is sent meanwhile makes the line pending again. */
static void deliver_looped(void *arg)
{
    (void)arg;
    spin_lock(&vsock_lock);
    for (u32 n = 0; n < BURST && !list_empty(&looped); n++) {
        struct pkt *pkt = list_first(&looped, struct pkt, node);
        list_remove(&pkt->node);
        receive_locked(pkt);
    }
    bool more = !list_empty(&looped);
    spin_unlock(&vsock_lock);
    if (more)
        irq_pend(loop_line);
}

void vsock_reset_all(void)
{
    struct vsock *v;

    spin_lock(&vsock_lock);
    for (u32 i = 0; i < BUCKETS; i++)
        list_for_each(v, &table[i], node) {
            if ((v->state == VSOCK_CONNECTED || v->state == VSOCK_CONNECTING) &&
                !is_own(v->peer_cid)) {
                if (v->sock)
                    sock_set_error(v->sock, ECONNRESET);
                end(v);
            }
        }
    spin_unlock(&vsock_lock);
}

void vsock_packets_init(void)
{
    static bool done; /* [C] the device comes at start, the first socket later */

    if (done)
        return;
    done = true;
    for (u32 i = 0; i < BUCKETS; i++)
        list_init(&table[i]);
    list_init(&looped);
    int line = irq_register(deliver_looped, NULL);
    loop_line = line < 0 ? PEND_DEVICE : (u32)line; /* no line left: nobody is reached locally */
}

void vsock_set_transport(struct vsock_transport *transport)
{
    vsock_packets_init(); /* the host may call before there is a socket */
    if (!device)
        device = transport;
}
