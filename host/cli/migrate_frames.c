/* Frames for a guest that stands still wait at its tap, which nobody reads any more: what a client
 * has asked meanwhile would be lost, and its kernel asks again after 200 ms.  So whoever moves the
 * guest hears what its old tap is sent, and sends it to the new one once the guest runs there.  A
 * frame may arrive twice then, as on any network.
 * Source: packet(7); virtio 1.2, 5.1.6 for the header that says which sums are still to be made. */
#include "cli/migrate_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    VNET_HEADER = 10,
    FRAME_MAX = VNET_HEADER + 65536 + 64,
    KEPT = 4 << 20, /* bytes of the queue, with what the kernel needs for each */
};

/* Heard are all frames of the tap "tap:NAME[,...]"; -1: it is none, or we may not. */
static int frames_socket(const char *net, int protocol)
{
    char name[IF_NAMESIZE] = "";
    int one = 1;

    if (strncmp(net, "tap:", 4) != 0 || strcspn(net + 4, ",") >= sizeof(name))
        return -1;
    memcpy(name, net + 4, strcspn(net + 4, ","));
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons((uint16_t)protocol),
                                  .sll_ifindex = (int)if_nametoindex(name)};
    int fd =
        address.sll_ifindex ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (fd >= 0 && !setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) &&
        !bind(fd, (const struct sockaddr *)&address, sizeof(address)))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

void frames_hear(struct frames *frames, const char *from, const char *to)
{
    const int room = KEPT;

    *frames = (struct frames){.heard = frames_socket(from, ETH_P_ALL), .to = -1};
    if (frames->heard < 0)
        return;
    frames->net = to;
    if (setsockopt(frames->heard, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
        (void)setsockopt(frames->heard, SOL_SOCKET, SO_RCVBUF, &room,
                         sizeof(room)); /* fewer then */
}

/* The next frame for the guest alone; others reach its new tap themselves.  0: none. */
static size_t frames_next(const struct frames *frames, char *frame)
{
    for (;;) {
        struct sockaddr_ll from;
        socklen_t len = sizeof(from);
        ssize_t got = recvfrom(frames->heard, frame, FRAME_MAX, 0, (struct sockaddr *)&from, &len);
        if (got < 0 && errno == ENETDOWN)
            continue; /* said once */
        if (got <= 0)
            return 0;
        if (from.sll_pkttype == PACKET_OUTGOING && got >= VNET_HEADER + ETH_HLEN &&
            !(frame[VNET_HEADER] & 1))
            return (size_t)got;
    }
}

void frames_forget(struct frames *frames)
{
    char *frame CLEANUP(mem_free) = mem_new(FRAME_MAX);

    while (frames->heard >= 0 && frames_next(frames, frame))
        ;
}

void frames_pass_on(struct frames *frames)
{
    char *frame CLEANUP(mem_free) = mem_new(FRAME_MAX);
    size_t len;

    if (frames->heard < 0)
        return;
    if (frames->to < 0)
        frames->to = frames_socket(frames->net, 0);
    while (frames->to >= 0 && (len = frames_next(frames, frame)))
        (void)!send(frames->to, frame, len, 0); /* what is lost now comes again as ever */
}

void frames_end(struct frames *frames)
{
    fd_close(&frames->heard);
    fd_close(&frames->to);
}
