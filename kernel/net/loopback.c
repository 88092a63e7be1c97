/* The interface lo: packets to ourselves wait in the CPU's own queue until the next safe point, so
 * that sending never runs the receiver inside the sender. Checksums and segments stay unfinished:
 * nobody looks at them on the way (CSUM_PARTIAL, gso). */
#include "core/irq.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { QUEUE_MAX = 4096, BURST = 256 };

/* [C] */
static struct queue {
    struct list_head packets;
    u32 count;
} queues[MAX_CPUS];
static u32 irq_line;

static void loopback_send(struct netif *netif, struct pkt *pkt)
{
    struct queue *queue = &queues[cpu_id()];

    if (unlikely(queue->count >= QUEUE_MAX)) {
        netif_count(netif)->tx_dropped++;
        pkt_free(pkt);
        return;
    }
    list_add_tail(&queue->packets, &pkt->node);
    if (queue->count++ == 0)
        irq_pend(irq_line);
}

/* What is sent meanwhile makes the line pending again; a burst is bounded, so that others have
 * their turn. */
static void loopback_deliver(void *arg)
{
    struct netif *netif = arg;
    struct queue *queue = &queues[cpu_id()];

    if (!queue->count)
        return;
    for (u32 n = min(queue->count, (u32)BURST); n; n--) {
        struct pkt *pkt = list_first(&queue->packets, struct pkt, node);
        list_remove(&pkt->node);
        queue->count--;
        netif_receive(netif, pkt);
    }
    netif_receive_done(netif);
    if (queue->count)
        irq_pend(irq_line);
}

static const struct netif_ops loopback_ops = {.send = loopback_send};

struct netif loopback = {
    .name = "lo",
    .ops = &loopback_ops,
    .flags =
        NETIF_UP | NETIF_LINK | NETIF_LOOPBACK | NETIF_CSUM | NETIF_TSO4 | NETIF_TSO6 | NETIF_USO,
    .mtu = 65536,
};

void loopback_init(void)
{
    struct ip_addr v4 = addr_from_v4(__builtin_bswap32(0x7f000001));
    struct ip_addr v6 = {.bytes = {[15] = 1}, .family = ADDR_INET6};

    for (u32 i = 0; i < MAX_CPUS; i++)
        list_init(&queues[i].packets);
    int line = irq_register(loopback_deliver, &loopback);
    irq_line = line < 0 ? PEND_DEVICE : (u32)line; /* no handler left: sent packets stay unheard */
    netif_add(&loopback);
    (void)netif_add_addr(&loopback, &v4, 8); /* the table is empty: there is room */
    (void)netif_add_addr(&loopback, &v6, 128);
}
