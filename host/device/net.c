#include "device/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { RECEIVE_BIT = 1 << NET_RX };

static void hold_one(struct net *net, const struct ring_chain *chain)
{
    struct net_held *held = &net->held;
    u32 at = held->first + held->count;

    if (chain->nr_out || chain->nr_in != 1 || chain->in_bytes < sizeof(struct net_hdr)) {
        device_break(&net->dev, "a receive buffer that is not one piece with room for a header");
        return;
    }
    held->piece[at] = chain->piece[0];
    held->head[at] = chain->head;
    held->count++;
    held->bytes += chain->in_bytes;
}

u64 net_hold(struct net *net)
{
    struct net_held *held = &net->held;
    struct ring_chain chain;

    if (held->first && held->first + held->count == NET_HELD) {
        memmove(held->piece, held->piece + held->first, held->count * sizeof(held->piece[0]));
        memmove(held->head, held->head + held->first, held->count * sizeof(held->head[0]));
        held->first = 0;
    }
    while (held->first + held->count < NET_HELD && device_take(&net->dev, NET_RX, &chain))
        hold_one(net, &chain);
    return net->dev.running ? held->bytes : 0;
}

bool net_has_room(struct net *net)
{
    bool large = net->dev.features & (BIT(NET_F_GUEST_TSO4) | BIT(NET_F_GUEST_TSO6));
    u64 room = net_hold(net);

    return room && (!large || room >= NET_FRAME_MAX || ring_is_seen(&net->dev.ring[NET_RX]));
}

void net_received(struct net *net, u64 bytes)
{
    struct net_held *held = &net->held;
    char *hdr = held->piece[held->first].iov_base; /* wherever the guest has put it */
    u16 buffers = 0;

    if (net->pcap >= 0)
        pcap_frame(net->pcap, held->piece + held->first, held->count, sizeof(struct net_hdr),
                   bytes);
    while (bytes && held->count) {
        u64 used = min(bytes, (u64)held->piece[held->first].iov_len);
        ring_give(&net->dev.ring[NET_RX], held->head[held->first], (u32)used);
        held->bytes -= held->piece[held->first].iov_len;
        held->first++;
        held->count--;
        buffers++;
        bytes -= used;
    }
    memcpy(hdr + offsetof(struct net_hdr, num_buffers), &buffers, sizeof(buffers));
    if (!held->count)
        held->first = 0;
}

/* Fill what is held from @at bytes on. */
static void fill(struct net_held *held, u64 at, const char *from, u64 len)
{
    for (u32 i = held->first; len && i < held->first + held->count; i++) {
        struct iovec *piece = &held->piece[i];
        if (at >= piece->iov_len) {
            at -= piece->iov_len;
            continue;
        }
        u64 n = min(len, (u64)piece->iov_len - at);
        memcpy((char *)piece->iov_base + at, from, n);
        from += n, len -= n, at = 0;
    }
}

bool net_deliver(struct net *net, const void *frame, size_t len)
{
    /* What arrives here has no wire behind it on which it could have been damaged. */
    struct net_hdr hdr = {
        .flags = device_has(&net->dev, NET_F_GUEST_CSUM) ? NET_HDR_DATA_VALID : 0,
        .num_buffers = 1,
    };
    u64 room = net_hold(net);

    if (!net->dev.running)
        return true; /* nobody is there to hear it */
    if (room < sizeof(hdr) + len)
        return false;
    fill(&net->held, 0, (const char *)&hdr, sizeof(hdr));
    fill(&net->held, sizeof(hdr), frame, len);
    net_received(net, sizeof(hdr) + len);
    return true;
}

/* What the guest sends, in one piece and without its header; 0 for what is none. */
static size_t gather(struct net *net)
{
    const struct ring_chain *chain = &net->chain;
    size_t len = 0;

    if (chain->out_bytes > sizeof(net->frame) || chain->out_bytes < sizeof(struct net_hdr))
        return 0;
    for (u32 i = 0; i < chain->nr_out; i++) {
        memcpy(net->frame + len, chain->piece[i].iov_base, chain->piece[i].iov_len);
        len += chain->piece[i].iov_len;
    }
    return len - sizeof(struct net_hdr);
}

static u32 user_serve(struct net *net)
{
    u32 count = 0;

    while (count < NET_BURST && device_take(&net->dev, NET_TX, &net->chain)) {
        size_t len = gather(net);
        struct iovec whole = {net->frame, sizeof(struct net_hdr) + len};
        if (len && net->pcap >= 0)
            pcap_frame(net->pcap, &whole, 1, sizeof(struct net_hdr), whole.iov_len);
        ring_give(&net->dev.ring[NET_TX], net->chain.head, 0);
        if (len)
            user_input(net->user, net->frame + sizeof(struct net_hdr), len);
        count++;
    }
    return count;
}

/* The link is up from the start; a driver that starts again has given all buffers back. */
static void start(struct net *net)
{
    net->held = (struct net_held){0};
    if (net->tap < 0)
        return;
    int err = tap_start(net);
    if (err)
        fprintf(net->dev.guest->words,
                "ingot-device: net: the tap refuses what the driver chose: %s\n", strerror(-err));
}

static void wait_for_work(struct net *net)
{
    struct pollfd fds[2];
    bool room = net->dev.running && net_has_room(net);
    bool some = net->held.count; /* the guest may have no more to give, and not say so */

    if (net->user) {
        user_wait(net->user, RECEIVE_BIT * user_flush(net->user));
        return;
    }
    fds[1] = (struct pollfd){.fd = net->tap, .events = POLLIN};
    device_wait(&net->dev, fds, room ? 1 : 0, some && !room ? 1 : -1, room ? RECEIVE_BIT : 0);
}

void net_run(struct net *net)
{
    bool was_running = false;

    for (;;) {
        bool running = device_update(&net->dev);
        if (running && !was_running)
            start(net);
        was_running = running;
        u32 served = !running ? 0 : net->user ? user_serve(net) : tap_serve(net);
        if (net->user && running)
            user_flush(net->user);
        device_publish(&net->dev, NET_TX);
        device_publish(&net->dev, NET_RX);
        if (!served && net->dev.gone)
            return;
        if (!served)
            wait_for_work(net);
    }
}
