/* /proc/net/unix, and /sys/class/net. */
#include "abi/errno.h"
#include "abi/socket.h"
#include "fs/proc_net.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/ip.h"
#include "net/unix.h"

/* Copied under the lock, made into text after. */
struct copies {
    struct unix_info *infos;
    u32 n, room;
};

static int copy_info(const struct unix_info *info, void *arg)
{
    struct copies *c = arg;

    if (c->n < c->room)
        c->infos[c->n] = *info;
    c->n++;
    return 0;
}

static void add_name(struct text *out, const struct sock_addr *name)
{
    const char *path = (const char *)name->bytes + sizeof(u16);
    u32 len = name->len - (u32)sizeof(u16);

    if (!len)
        return;
    text_add(out, " ");
    if (path[0])
        len--; /* its NUL */
    for (u32 i = 0; i < len; i++)
        text_add(out, "%c", path[i] ? path[i] : '@');
}

int proc_net_show_unix(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct copies c = {.room = unix_count() + 8};

    c.infos = kmalloc(c.room * sizeof(*c.infos));
    if (!c.infos)
        return -ENOMEM;
    unix_for_each(copy_info, &c);
    text_add(out, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    for (u32 i = 0; i < min(c.n, c.room); i++) {
        const struct unix_info *u = &c.infos[i];
        text_add(out, "%016lx: %08X %08X %08X %04X %02X %5lu", 0ul, u->refs, 0, u->flags, u->type,
                 u->state, (unsigned long)u->ino);
        add_name(out, &u->name);
        text_add(out, "\n");
    }
    kfree(c.infos);
    return 0;
}

/* ---- /sys/class/net/NAME ---- */

static struct netif *netif_of(const struct pseudo_ref *ref)
{
    return netif_by_index((u32)ref->number);
}

static int show_address(struct text *out, const struct pseudo_ref *ref)
{
    const u8 *m = netif_of(ref)->mac;

    text_add(out, "%02x:%02x:%02x:%02x:%02x:%02x\n", m[0], m[1], m[2], m[3], m[4], m[5]);
    return 0;
}

static int show_mtu(struct text *out, const struct pseudo_ref *ref)
{
    text_add(out, "%u\n", netif_of(ref)->mtu);
    return 0;
}

static int show_flags(struct text *out, const struct pseudo_ref *ref)
{
    text_add(out, "0x%x\n", netif_abi_flags(netif_of(ref)) & 0xffff);
    return 0;
}

static int show_index(struct text *out, const struct pseudo_ref *ref)
{
    text_add(out, "%u\n", netif_of(ref)->index);
    return 0;
}

static int show_type(struct text *out, const struct pseudo_ref *ref)
{
    bool loopback = netif_of(ref)->flags & NETIF_LOOPBACK;

    text_add(out, "%d\n", loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER);
    return 0;
}

static int show_operstate(struct text *out, const struct pseudo_ref *ref)
{
    u32 flags = netif_of(ref)->flags;

    text_add(out, "%s\n", flags & NETIF_LOOPBACK ? "unknown" : flags & NETIF_UP ? "up" : "down");
    return 0;
}

static int show_carrier(struct text *out, const struct pseudo_ref *ref)
{
    text_add(out, "%d\n", netif_of(ref)->flags & NETIF_UP ? 1 : 0);
    return 0;
}

#define COUNTER(name_, field_)                                                                     \
    static int show_##name_(struct text *out, const struct pseudo_ref *ref)                        \
    {                                                                                              \
        text_add(out, "%lu\n", (unsigned long)netif_sum_stats(netif_of(ref)).field_);              \
        return 0;                                                                                  \
    }
COUNTER(rx_bytes, rx_bytes)
COUNTER(rx_packets, rx_packets)
COUNTER(rx_errors, rx_errors)
COUNTER(rx_dropped, rx_dropped)
COUNTER(tx_bytes, tx_bytes)
COUNTER(tx_packets, tx_packets)
COUNTER(tx_errors, tx_errors)
COUNTER(tx_dropped, tx_dropped)

static const struct pseudo_node statistics_nodes[] = {
    PSEUDO_FILE("rx_bytes", show_rx_bytes),   PSEUDO_FILE("rx_packets", show_rx_packets),
    PSEUDO_FILE("rx_errors", show_rx_errors), PSEUDO_FILE("rx_dropped", show_rx_dropped),
    PSEUDO_FILE("tx_bytes", show_tx_bytes),   PSEUDO_FILE("tx_packets", show_tx_packets),
    PSEUDO_FILE("tx_errors", show_tx_errors), PSEUDO_FILE("tx_dropped", show_tx_dropped),
    PSEUDO_TEXT("multicast", "0\n"),          PSEUDO_TEXT("collisions", "0\n"),
};

static const struct pseudo_node netif_nodes[] = {
    PSEUDO_FILE("address", show_address),
    PSEUDO_FILE("mtu", show_mtu),
    PSEUDO_FILE("flags", show_flags),
    PSEUDO_FILE("ifindex", show_index),
    PSEUDO_FILE("iflink", show_index),
    PSEUDO_FILE("type", show_type),
    PSEUDO_FILE("operstate", show_operstate),
    PSEUDO_FILE("carrier", show_carrier),
    PSEUDO_TEXT("addr_len", "6\n"),
    PSEUDO_TEXT("tx_queue_len", "1000\n"),
    PSEUDO_TEXT("speed", "10000\n"),
    PSEUDO_TEXT("duplex", "full\n"),
    PSEUDO_DIR("statistics", statistics_nodes),
};

static const struct pseudo_node netif_dir = PSEUDO_DIR("", netif_nodes);

int sys_find_netif(const struct pseudo_ref *dir __attribute__((unused)), const char *name,
                   size_t len, struct pseudo_ref *child)
{
    char text[IFNAMSIZ] = "";

    if (len >= sizeof(text))
        return -ENOENT;
    net_init();
    memcpy(text, name, len);
    const struct netif *netif = netif_by_name(text);
    if (!netif)
        return -ENOENT;
    child->node = &netif_dir;
    child->number = (int)netif->index;
    return 0;
}

/* The lowest index above one. */
struct search {
    u32 after;
    struct netif *found;
};

static int look(struct netif *netif, void *arg)
{
    struct search *s = arg;

    if (netif->index > s->after && (!s->found || netif->index < s->found->index))
        s->found = netif;
    return 0;
}

bool sys_next_netif(const struct pseudo_ref *dir __attribute__((unused)), int after,
                    struct pseudo_ref *child, char name[32])
{
    struct search s = {.after = (u32)max(after, 0)};

    net_init();
    netif_for_each(look, &s);
    if (!s.found)
        return false;
    child->node = &netif_dir;
    child->number = (int)s.found->index;
    format(name, 32, "%s", s.found->name);
    return true;
}
