/* Virtio network device, what is rare: features, queues, the link, commands to the device (5.1.3 to
 * 5.1.6.5).
 *
 * RSS and HASH_REPORT are not asked for.  A device without RSS steers a flow to where its last
 * frame was sent, which is the CPU whose thread serves it; a hash of the device's choice would move
 * it away (docs/decisions/0017). */
#include "abi/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/random.h"
#include "drv/nic.h"
#include "drv/virtio_net_priv.h"
#include "mm/heap.h"
#include "net/wire.h"
#include "plat/plat.h"

enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MAX_PAIRS = 8, CONFIG_MTU = 10 };
enum { STATUS_LINK_UP = 1, STATUS_ANNOUNCE = 2 };
enum { CTRL_ANNOUNCE = 3, CTRL_ANNOUNCE_ACK = 0, CTRL_MQ = 4, CTRL_MQ_PAIRS_SET = 0 };
enum { CTRL_LEN = 4, CTRL_OK = 0, CTRL_UNANSWERED = 255 };

/* ---- commands: 5.1.6.5 ---- */

/* Give a command and wait for its answer, which comes at once or not at all. */
static bool ctrl_send(struct vnet *vn, u8 class, u8 number, u16 value, u32 value_len)
{
    struct vnet_command *c = vn->ctrl.command;
    struct virtq *vq = &vn->ctrl.queue;
    struct virtq_buf bufs[] = {
        {.pa = virt_to_phys(c), .len = 2 + value_len},
        {.pa = virt_to_phys(&c->answer), .len = 1},
    };

    if (!vq->dev)
        return false;
    *c = (struct vnet_command){class, number, value, CTRL_UNANSWERED};
    if (virtq_add(vq, bufs, 1, 1, c))
        return false;
    virtq_kick(vq);
    if (!virtq_poll(vq) || !virtq_take(vq, NULL)) {
        virtio_break(vn->dev, "it does not answer commands");
        return false;
    }
    return *(volatile u8 *)&c->answer == CTRL_OK;
}

/* ---- the link ---- */

static u16 read_status(struct vnet *vn)
{
    u16 status = STATUS_LINK_UP;

    if (virtio_has(vn->dev, F_STATUS))
        vn->dev->transport->read_config(vn->dev, CONFIG_STATUS, &status, sizeof(status));
    return status;
}

static void read_link(struct vnet *vn, u16 status)
{
    netif_link_changed(&vn->netif, status & STATUS_LINK_UP);
}

/* The guest has moved, and switches are to learn where it is now: 5.1.6.5.4. */
static void announce(struct vnet *vn, u16 status)
{
    if (!virtio_has(vn->dev, F_GUEST_ANNOUNCE) || !(status & STATUS_ANNOUNCE))
        return;
    netif_announce(&vn->netif);
    (void)ctrl_send(vn, CTRL_ANNOUNCE, CTRL_ANNOUNCE_ACK, 0, 0); /* then it asks again */
}

/* With one MSI-X vector this comes with every interrupt: one that brought packets is not asked for
 * more. */
static void config_changed(struct virtio_dev *dev)
{
    struct vnet *vn = dev->driver;
    u32 before = vn->netif.flags & NETIF_LINK;

    if (!dev->transport->tells_cause && !vn->pairs[0].line && virtq_has_used(&vn->pairs[0].rx))
        return;
    u16 status = read_status(vn);
    read_link(vn, status);
    announce(vn, status);
    if ((vn->netif.flags & NETIF_LINK) != before)
        log_info("%s: link is %s", vn->netif.name, before ? "down" : "up");
}

static void read_mac(struct vnet *vn)
{
    u8 *mac = vn->netif.mac;

    if (virtio_has(vn->dev, F_MAC)) {
        vn->dev->transport->read_config(vn->dev, CONFIG_MAC, mac, 6);
        return;
    }
    random_bytes(mac, 6);
    mac[0] = (u8)((mac[0] & ~1) | 2); /* one host's, locally administered */
}

static u32 read_mtu(struct vnet *vn)
{
    u16 mtu = 1500;

    if (virtio_has(vn->dev, F_MTU))
        vn->dev->transport->read_config(vn->dev, CONFIG_MTU, &mtu, sizeof(mtu));
    return mtu < IP4_MIN_MTU ? 1500 : mtu;
}

static u32 offload_flags(const struct vnet *vn)
{
    const struct virtio_dev *dev = vn->dev;
    u32 flags = 0;

    if (!virtio_has(dev, F_CSUM))
        return 0; /* without it the others may not be used: 5.1.3.1 */
    flags |= NETIF_CSUM;
    flags |= virtio_has(dev, F_HOST_TSO4) ? NETIF_TSO4 : 0;
    flags |= virtio_has(dev, F_HOST_TSO6) ? NETIF_TSO6 : 0;
    flags |= virtio_has(dev, F_HOST_USO) ? NETIF_USO : 0;
    return flags;
}

static int negotiate(struct virtio_dev *dev)
{
    u64 offered = dev->transport->get_features(dev);
    u64 wanted = BIT(F_CSUM) | BIT(F_GUEST_CSUM) | BIT(F_MTU) | BIT(F_MAC) | BIT(F_HOST_TSO4) |
                 BIT(F_HOST_TSO6) | BIT(F_MRG_RXBUF) | BIT(F_STATUS) | BIT(F_HOST_USO);

    /* Joined segments need merged buffers, ours are pages; and checksums, as 5.1.3.1 says. */
    if (offered & BIT(F_MRG_RXBUF) && offered & BIT(F_GUEST_CSUM))
        wanted |= BIT(F_GUEST_TSO4) | BIT(F_GUEST_TSO6);
    if (offered & BIT(F_CTRL_VQ) && offered & BIT(F_STATUS))
        wanted |= BIT(F_CTRL_VQ) | BIT(F_GUEST_ANNOUNCE);
    if (offered & BIT(F_CTRL_VQ) && cpu_count > 1)
        wanted |= BIT(F_CTRL_VQ) | BIT(F_MQ);
    if (!(offered & (BIT(F_GUEST_ANNOUNCE) | BIT(F_MQ))))
        wanted &= ~BIT(F_CTRL_VQ); /* no command to give */
    int err = virtio_negotiate(dev, wanted);
    if (!err && dev->transport->legacy && !virtio_has(dev, VIRTIO_F_VERSION_1) &&
        !(virtio_has(dev, F_MRG_RXBUF) && virtio_has(dev, VIRTIO_F_ANY_LAYOUT))) {
        log_err("%s: too old: it has neither merged buffers nor any layout", virtio_name(dev));
        return -ENODEV;
    }
    return err;
}

/* The largest number that the device has, at least 1. */
static u32 max_pairs(const struct vnet *vn)
{
    u16 pairs = 1;

    if (virtio_has(vn->dev, F_MQ))
        vn->dev->transport->read_config(vn->dev, CONFIG_MAX_PAIRS, &pairs, sizeof(pairs));
    return max(pairs, (u16)1);
}

/* A frame of the largest kind must fit one page, or be merged from several. */
static int setup_pair(struct vnet_pair *pair, u32 i)
{
    struct virtio_dev *dev = pair->vn->dev;

    if (pair->vn->nr_pairs > 1) {
        int line = irq_register(vnet_pair_pending, pair);
        if (line < 0)
            return line;
        pair->line = (u32)line;
        virtio_route_queue(dev, (u16)(2 * i), pair->line, pair->cpu);
        virtio_route_queue(dev, (u16)(2 * i + 1), pair->line, pair->cpu);
    }
    int err = virtq_init(&pair->rx, dev, (u16)(2 * i), VNET_RING_LEN, vnet_rx_used);
    if (err)
        return err;
    err = virtq_init(&pair->tx, dev, (u16)(2 * i + 1), VNET_RING_LEN, vnet_tx_used);
    if (err)
        return err;
    pair->rx.data = pair->tx.data = pair;
    return pair->tx.size < VNET_TX_CHAIN_MAX || pair->rx.size < VNET_TX_CHAIN_MAX ? -EINVAL : 0;
}

static int setup_ctrl(struct vnet *vn, u32 index)
{
    if (!virtio_has(vn->dev, F_CTRL_VQ))
        return 0;
    vn->ctrl.command = kmalloc(sizeof(*vn->ctrl.command));
    if (!vn->ctrl.command)
        return -ENOMEM;
    return virtq_init(&vn->ctrl.queue, vn->dev, (u16)index, CTRL_LEN, NULL);
}

static int setup_queues(struct vnet *vn)
{
    u32 most = max_pairs(vn), useful = min(cpu_count, (u32)VNET_MAX_PAIRS);

    vn->nr_pairs = min(most, useful);
    vn->pairs = kcalloc(vn->nr_pairs, sizeof(*vn->pairs));
    if (!vn->pairs)
        return -ENOMEM;
    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        vn->of_cpu[cpu] = &vn->pairs[cpu % vn->nr_pairs];
    for (u32 i = 0; i < vn->nr_pairs; i++)
        vnet_pair_init(&vn->pairs[i], vn, i);
    for (u32 i = 0; i < vn->nr_pairs; i++) {
        int err = setup_pair(&vn->pairs[i], i);
        if (err)
            return err;
    }
    int err = setup_ctrl(vn, 2 * most);
    if (err)
        return err;
    return virtio_enable_irq(vn->dev);
}

static void setup_netif(struct vnet *vn)
{
    struct netif *netif = &vn->netif;

    nic_set_name(netif);
    netif->ops = &vnet_ops;
    netif->flags |= offload_flags(vn);
    if (!virtio_has(vn->dev, F_GUEST_TSO4))
        netif->flags |= NETIF_GRO;
    netif->mtu = read_mtu(vn);
    if (!virtio_has(vn->dev, F_MRG_RXBUF))
        netif->mtu = min(netif->mtu, (u32)(PAGE_SIZE - VNET_HDR_LEN - sizeof(struct eth_hdr)));
    netif->max_mtu = virtio_has(vn->dev, F_MTU) ? netif->mtu : max(netif->mtu, 1500u);
    read_mac(vn);
    read_link(vn, read_status(vn));
}

/* Until the device is told so it uses the first pair alone. */
static void use_all_pairs(struct vnet *vn)
{
    if (vn->nr_pairs == 1)
        return;
    if (ctrl_send(vn, CTRL_MQ, CTRL_MQ_PAIRS_SET, (u16)vn->nr_pairs, sizeof(u16))) {
        log_info("%s: %u queue pairs", vn->netif.name, vn->nr_pairs);
        return;
    }
    log_warn("%s: the device does not use %u queue pairs", vn->netif.name, vn->nr_pairs);
    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        vn->of_cpu[cpu] = &vn->pairs[0];
}

static void free_queues(struct vnet *vn)
{
    for (u32 i = 0; vn->pairs && i < vn->nr_pairs; i++) {
        virtq_fini(&vn->pairs[i].rx);
        virtq_fini(&vn->pairs[i].tx);
    }
    virtq_fini(&vn->ctrl.queue);
    kfree(vn->ctrl.command);
}

/* Somebody has use for it. */
static void vnet_start(struct netif_offer *offer)
{
    struct vnet *vn = container_of(offer, struct vnet, offer);
    struct virtio_dev *dev = vn->dev;

    int err = negotiate(dev);
    if (!err)
        err = setup_queues(vn);
    if (err)
        goto reset_dev;
    setup_netif(vn);
    netif_add(&vn->netif);
    dev->config_changed = config_changed;
    virtio_driver_ok(dev); /* the queues are live from here on */
    for (u32 i = 0; i < vn->nr_pairs; i++) {
        /* nothing can have come before there are buffers */
        (void)virtq_enable_notify(&vn->pairs[i].rx);
        vnet_refill(&vn->pairs[i]);
    }
    use_all_pairs(vn);
    return;

reset_dev:
    log_err("%s: virtio-net does not start: error %d", virtio_name(dev), -err);
    virtio_reset(dev);  /* the device lets go of the queues before they are freed: 3.3.1 */
    dev->broken = true; /* for handlers, which stay */
    free_queues(vn);
}

static int vnet_probe(struct virtio_dev *dev)
{
    struct vnet *vn = kzalloc(sizeof(*vn));
    if (!vn)
        return -ENOMEM;
    vn->dev = dev;
    dev->driver = vn;
    vn->offer.start = vnet_start;
    netif_offer(&vn->offer);
    return 0;
}

const struct virtio_driver virtio_net_driver = {
    .type = VIRTIO_NET,
    .name = "virtio-net",
    .probe = vnet_probe,
};
