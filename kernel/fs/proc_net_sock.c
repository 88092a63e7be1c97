/* /proc/net: the tables of sockets. Each is copied out under its lock first and made into text
 * then, since text needs memory. */
#include "abi/errno.h"
#include "abi/socket.h"
#include "fs/proc_net.h"
#include "mm/heap.h"
#include "net/ip.h"
#include "net/packet.h"
#include "net/ping.h"
#include "net/socket.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "net/unix.h"

enum { STATE_CONNECTED = 1, STATE_OPEN = 7 };

/* One line of any of them. */
struct line {
    struct endpoint local, remote;
    bool v6, ping;
    u8 state, timer;
    u32 send_queue, recv_queue, timer_ms, retransmits, probes, dropped;
    u64 ino;
    u16 type, protocol; /* of a packet socket */
    u32 ifindex;
};

/* What a walk over a table has copied; .n may be more than .room. */
struct copies {
    struct line *lines;
    u32 n, room;
};

static int copy_line(struct copies *c, const struct line *line)
{
    if (c->n < c->room)
        c->lines[c->n] = *line;
    c->n++;
    return 0;
}

static int copy_tcp(const struct tcp_entry *e, void *arg)
{
    struct line line = {
        .local = {.addr = e->local, .port = e->local_port},
        .remote = {.addr = e->remote, .port = e->remote_port},
        .v6 = e->ipv6_socket,
        .state = e->state,
        .timer = e->timer,
        .send_queue = e->send_queue,
        .recv_queue = e->recv_queue,
        .timer_ms = e->timer_ms,
        .retransmits = e->retransmits,
        .probes = e->probes,
        .ino = e->sock ? e->sock->ino : 0,
    };

    return copy_line(arg, &line);
}

static int copy_udp(const struct udp_entry *e, void *arg)
{
    struct line line = {
        .local = e->local,
        .remote = e->remote,
        .v6 = e->ipv6_socket,
        .state = e->connected ? STATE_CONNECTED : STATE_OPEN,
        .recv_queue = e->queued,
        .dropped = e->dropped,
        .ino = e->sock ? e->sock->ino : 0,
    };

    return copy_line(arg, &line);
}

static int copy_raw(const struct raw_entry *e, void *arg)
{
    struct line line = {.local = e->local,
                        .remote = e->remote,
                        .ping = e->ping,
                        .v6 = e->ipv6_socket,
                        .state = e->remote.addr.family ? STATE_CONNECTED : STATE_OPEN,
                        .recv_queue = e->queued,
                        .dropped = e->dropped,
                        .ino = e->sock->ino};

    return copy_line(arg, &line);
}

static int copy_packet(const struct packet_entry *e, void *arg)
{
    struct line line = {.recv_queue = e->queued,
                        .ino = e->sock->ino,
                        .type = (u16)e->sock->type,
                        .protocol = e->protocol,
                        .ifindex = e->ifindex};

    return copy_line(arg, &line);
}

static void walk_tcp(struct copies *c)
{
    tcp_for_each(copy_tcp, c);
}

static void walk_udp(struct copies *c)
{
    udp_for_each(copy_udp, c);
}

static void walk_raw(struct copies *c)
{
    raw_for_each(copy_raw, c);
}

static void walk_packet(struct copies *c)
{
    packet_for_each(copy_packet, c);
}

/* All lines of a table; the caller frees .lines. 0 or -ENOMEM. */
static int copy_table(struct copies *c, void (*walk)(struct copies *))
{
    *c = (struct copies){0};
    net_init(); /* the tables are made by it */
    for (;;) {
        c->n = 0;
        walk(c);
        if (c->n <= c->room)
            return 0;
        kfree(c->lines);
        c->room = c->n + c->n / 8 + 8;
        c->lines = kmalloc(c->room * sizeof(*c->lines));
        if (!c->lines)
            return -ENOMEM;
    }
}

static void add_end(struct text *out, const struct endpoint *end, bool v6)
{
    const u32 *w = end->addr.words;

    if (!v6)
        text_add(out, " %08X:%04X", end->addr.family ? w[3] : 0, end->port);
    else if (!end->addr.family)
        text_add(out, " %032X:%04X", 0, end->port);
    else
        text_add(out, " %08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3], end->port);
}

static void add_line(struct text *out, const struct line *l, u32 nr)
{
    text_add(out, "%4u:", nr);
    add_end(out, &l->local, l->v6);
    add_end(out, &l->remote, l->v6);
    text_add(out, " %02X %08X:%08X %02X:%08X %08X %5u %8u %lu 2 0000000000000000 %u\n", l->state,
             l->send_queue, l->recv_queue, l->timer, l->timer_ms / 10, l->retransmits, 0, l->probes,
             (unsigned long)l->ino, l->dropped);
}

/* tcp and udp count their lines; raw and ping sockets tell their protocol or identifier. */
static int show_table(struct text *out, void (*walk)(struct copies *), bool v6)
{
    struct copies c;
    u32 nr = 0;
    int err = copy_table(&c, walk);

    for (u32 i = 0; !err && i < c.n; i++)
        if (c.lines[i].v6 == v6)
            add_line(out, &c.lines[i], nr++);
    kfree(c.lines);
    return err;
}

static int show_raw(struct text *out, bool ping, bool v6)
{
    struct copies c;
    int err = copy_table(&c, walk_raw);

    for (u32 i = 0; !err && i < c.n; i++)
        if (c.lines[i].v6 == v6 && c.lines[i].ping == ping)
            add_line(out, &c.lines[i], c.lines[i].local.port);
    kfree(c.lines);
    return err;
}

#define TAIL  "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
#define HEAD4 "  sl  local_address rem_address   " TAIL
#define HEAD6                                                                                      \
    "  sl  local_address                         remote_address                        " TAIL
#define DROPS " ref pointer drops\n"

#define SHOW(name_, head_, how_)                                                                   \
    int proc_net_show_##name_(struct text *out,                                                    \
                              const struct pseudo_ref *ref __attribute__((unused)))                \
    {                                                                                              \
        text_add(out, head_);                                                                      \
        return how_;                                                                               \
    }
SHOW(tcp, HEAD4 "\n", show_table(out, walk_tcp, false))
SHOW(tcp6, HEAD6 "\n", show_table(out, walk_tcp, true))
SHOW(udp, " " HEAD4 DROPS, show_table(out, walk_udp, false))
SHOW(udp6, HEAD6 DROPS, show_table(out, walk_udp, true))
SHOW(raw, HEAD4 DROPS, show_raw(out, false, false))
SHOW(raw6, HEAD6 DROPS, show_raw(out, false, true))
SHOW(icmp, HEAD4 DROPS, show_raw(out, true, false))
SHOW(icmp6, HEAD6 DROPS, show_raw(out, true, true))

int proc_net_show_packet(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct copies c;
    int err = copy_table(&c, walk_packet);

    text_add(out, "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n");
    for (u32 i = 0; !err && i < c.n; i++) {
        const struct line *l = &c.lines[i];
        text_add(out, "%016lx %-6d %-4d %04x   %-5u %1d %-6u %-6u %-6lu\n", 0ul, 3, l->type,
                 l->protocol, l->ifindex, l->protocol != 0, l->recv_queue, 0,
                 (unsigned long)l->ino);
    }
    kfree(c.lines);
    return err;
}

/* Sockets of a table by family. */
struct tally {
    u32 nr[2], waiting;
};

static int tally_tcp(const struct tcp_entry *e, void *arg)
{
    struct tally *t = arg;

    t->nr[e->ipv6_socket] += e->sock != NULL;
    t->waiting += e->state == TCP_TIME_WAIT;
    return 0;
}

static int tally_udp(const struct udp_entry *e, void *arg)
{
    struct tally *t = arg;

    t->nr[e->ipv6_socket]++;
    return 0;
}

int proc_net_show_sockstat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct tally tcp = {0}, udp = {0};
    struct tcp_stats t;

    net_init();
    tcp_for_each(tally_tcp, &tcp);
    udp_for_each(tally_udp, &udp);
    tcp_get_stats(&t);
    u32 all = tcp.nr[0] + tcp.nr[1] + udp.nr[0] + udp.nr[1] + unix_count();
    text_add(out, "sockets: used %u\nTCP: inuse %u orphan 0 tw %u alloc %u mem %lu\n", all,
             tcp.nr[0], tcp.waiting, tcp.nr[0] + tcp.nr[1],
             (unsigned long)(t.memory >> PAGE_SHIFT));
    text_add(out, "UDP: inuse %u mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
             udp.nr[0]);
    return 0;
}

int proc_net_show_sockstat6(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct tally tcp = {0}, udp = {0};

    net_init();
    tcp_for_each(tally_tcp, &tcp);
    udp_for_each(tally_udp, &udp);
    text_add(out,
             "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse 0\n"
             "FRAG6: inuse 0 memory 0\n",
             tcp.nr[1], udp.nr[1]);
    return 0;
}
