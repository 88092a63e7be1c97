/* /proc/net: raw, ping and packet sockets, and the counters of IPv6.  A table is copied out under
 * its lock first and made into text then, since text needs memory. */
#include "abi/errno.h"
#include "abi/socket.h"
#include "fs/proc_net.h"
#include "mm/heap.h"
#include "net/ip.h"
#include "net/packet.h"
#include "net/ping.h"
#include "net/stats.h"

struct line {
    struct endpoint local, remote;
    bool ping, v6;
    u32 queued, dropped;
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

static int copy_raw(const struct raw_entry *e, void *arg)
{
    struct line line = {.local = e->local,
                        .remote = e->remote,
                        .ping = e->ping,
                        .v6 = e->ipv6_socket,
                        .queued = e->queued,
                        .dropped = e->dropped,
                        .ino = e->sock->ino};

    return copy_line(arg, &line);
}

static int copy_packet(const struct packet_entry *e, void *arg)
{
    struct line line = {.queued = e->queued,
                        .ino = e->sock->ino,
                        .type = (u16)e->sock->type,
                        .protocol = e->protocol,
                        .ifindex = e->ifindex};

    return copy_line(arg, &line);
}

static void walk(struct copies *c, bool packet)
{
    c->n = 0;
    if (packet)
        packet_for_each(copy_packet, c);
    else
        raw_for_each(copy_raw, c);
}

/* All lines of a table; the caller frees .lines. 0 or -ENOMEM. */
static int copy_table(struct copies *c, bool packet)
{
    *c = (struct copies){0};
    for (;;) {
        walk(c, packet);
        if (c->n <= c->room)
            return 0;
        kfree(c->lines);
        c->room = c->n + 8;
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

enum { STATE_CONNECTED = 1, STATE_OPEN = 7 };

static int show_raw(struct text *out, bool ping, bool v6)
{
    struct copies c;
    int err = copy_table(&c, false);

    text_add(out, v6 ? "  sl  local_address                         remote_address               "
                       "         st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode "
                       "ref pointer drops\n"
                     : "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
                       "   uid  timeout inode ref pointer drops\n");
    for (u32 i = 0; !err && i < c.n; i++) {
        const struct line *l = &c.lines[i];
        if (l->v6 != v6 || l->ping != ping)
            continue;
        text_add(out, "%4u:", l->local.port);
        add_end(out, &l->local, v6);
        add_end(out, &l->remote, v6);
        text_add(out, " %02X %08X:%08X %02X:%08X %08X %5u %8u %lu 2 0000000000000000 %u\n",
                 l->remote.addr.family ? STATE_CONNECTED : STATE_OPEN, 0, l->queued, 0, 0, 0, 0, 0,
                 (unsigned long)l->ino, l->dropped);
    }
    kfree(c.lines);
    return err;
}

#define SHOW_RAW(name_, ping_, v6_)                                                                \
    int proc_net_show_##name_(struct text *out,                                                    \
                              const struct pseudo_ref *ref __attribute__((unused)))                \
    {                                                                                              \
        return show_raw(out, ping_, v6_);                                                          \
    }
SHOW_RAW(raw, false, false)
SHOW_RAW(raw6, false, true)
SHOW_RAW(icmp, true, false)
SHOW_RAW(icmp6, true, true)

int proc_net_show_packet(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct copies c;
    int err = copy_table(&c, true);

    text_add(out, "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n");
    for (u32 i = 0; !err && i < c.n; i++) {
        const struct line *l = &c.lines[i];
        text_add(out, "%016lx %-6d %-4d %04x   %-5u %1d %-6u %-6u %-6lu\n", 0ul, 3, l->type,
                 l->protocol, l->ifindex, l->protocol != 0, l->queued, 0, (unsigned long)l->ino);
    }
    kfree(c.lines);
    return err;
}

/* Lines of snmp6 and where their counters are. */
#define AT(field) offsetof(struct net_counters, field)
static const struct {
    const char *name;
    size_t at;
} snmp6_lines[] = {
    {"Ip6InReceives",       AT(ip6_in_receives)      },
    {"Ip6InHdrErrors",      AT(ip6_in_hdr_errors)    },
    {"Ip6InAddrErrors",     AT(ip6_in_addr_errors)   },
    {"Ip6InUnknownProtos",  AT(ip6_in_unknown_protos)},
    {"Ip6InTruncatedPkts",  AT(ip6_in_truncated)     },
    {"Ip6InDiscards",       AT(ip6_in_discards)      },
    {"Ip6InDelivers",       AT(ip6_in_delivers)      },
    {"Ip6OutRequests",      AT(ip6_out_requests)     },
    {"Ip6OutDiscards",      AT(ip6_out_discards)     },
    {"Ip6OutNoRoutes",      AT(ip6_out_no_routes)    },
    {"Ip6ReasmTimeout",     AT(ip6_reasm_timeout)    },
    {"Ip6ReasmReqds",       AT(ip6_reasm_reqds)      },
    {"Ip6ReasmOKs",         AT(ip6_reasm_oks)        },
    {"Ip6ReasmFails",       AT(ip6_reasm_fails)      },
    {"Ip6FragOKs",          AT(ip6_frag_oks)         },
    {"Ip6FragFails",        AT(ip6_frag_fails)       },
    {"Ip6FragCreates",      AT(ip6_frag_creates)     },
    {"Icmp6InMsgs",         AT(icmp6_in_msgs)        },
    {"Icmp6InErrors",       AT(icmp6_in_errors)      },
    {"Icmp6OutMsgs",        AT(icmp6_out_msgs)       },
    {"Icmp6OutErrors",      AT(icmp6_out_errors)     },
    {"Icmp6InCsumErrors",   AT(icmp6_in_csum_errors) },
    {"Icmp6InDestUnreachs", AT(icmp6_in_unreachs)    },
    {"Icmp6InPktTooBigs",   AT(icmp6_in_too_bigs)    },
    {"Icmp6InEchos",        AT(icmp6_in_echos)       },
    {"Icmp6InEchoReplies",  AT(icmp6_in_echo_reps)   },
    {"Icmp6InNeighborMsgs", AT(icmp6_in_neighbors)   },
    {"Icmp6OutEchoReplies", AT(icmp6_out_echo_reps)  },
};
#undef AT

int proc_net_show_snmp6(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct net_counters c;

    net_counters_sum(&c);
    for (size_t i = 0; i < ARRAY_LEN(snmp6_lines); i++) {
        const u64 *value = (const void *)((const u8 *)&c + snmp6_lines[i].at);
        text_add(out, "%-32s\t%lu\n", snmp6_lines[i].name, (unsigned long)*value);
    }
    return 0;
}
