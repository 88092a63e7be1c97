/* A tap whose frames carry the same header as virtio's, so that checksums and segmentation are left
 * to whoever can do them best.  Linux, Documentation/networking/tuntap.rst. */
#include "device/net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

int tap_prepare(int fd)
{
    int len = sizeof(struct net_hdr);

    return ioctl(fd, TUNSETVNETHDRSZ, &len) < 0 ? -errno : 0;
}

int tap_start(struct net *net)
{
    static const struct {
        unsigned feature, flag;
    } offloads[] = {
        {NET_F_GUEST_CSUM, TUN_F_CSUM},
        {NET_F_GUEST_TSO4, TUN_F_TSO4},
        {NET_F_GUEST_TSO6, TUN_F_TSO6},
    };
    unsigned long flags = 0;

    for (size_t i = 0; i < ARRAY_LEN(offloads); i++)
        if (device_has(&net->dev, offloads[i].feature))
            flags |= offloads[i].flag;
    return ioctl(net->tap, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

/* What the tap does not take is lost, as on a wire; it checks the header itself. */
static u32 tap_send(struct net *net)
{
    struct ring_chain *chain = &net->chain;
    u32 count = 0;

    while (count < NET_BURST && device_take(&net->dev, NET_TX, chain)) {
        (void)!writev(net->tap, chain->piece, (int)chain->nr_out);
        if (net->pcap >= 0)
            pcap_frame(net->pcap, chain->piece, chain->nr_out, sizeof(struct net_hdr),
                       chain->out_bytes);
        ring_give(&net->dev.ring[NET_TX], chain->head, 0);
        count++;
    }
    return count;
}

static u32 tap_receive(struct net *net)
{
    struct net_held *held = &net->held;
    u32 count = 0;

    while (count < NET_BURST) {
        if (!net_has_room(net))
            break;
        u64 room = net_hold(net);
        ssize_t n = readv(net->tap, held->piece + held->first, (int)held->count);
        if (n < 0 && errno == EAGAIN)
            break;
        count++;
        if (n > (ssize_t)sizeof(struct net_hdr) && (u64)n <= room)
            net_received(net, (u64)n);
        else if (n < 0 && errno != EFAULT &&
                 errno != EINTR) /* EFAULT: there was not room for all of it */
            break;
    }
    return count;
}

u32 tap_serve(struct net *net)
{
    u32 sent = tap_send(net);

    device_publish(&net->dev, NET_TX);
    return sent + tap_receive(net);
}
