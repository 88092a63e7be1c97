/* Interfaces: the list, their addresses, and the counting half of sending and receiving. */
#include "net/netif.h"

#include "abi/errno.h"
#include "abi/socket.h"
#include "core/time.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/config.h"
#include "net/ip.h"
#include "net/ip6.h"
#include "net/net_priv.h"
#include "net/netlink.h"
#include "net/stats.h"

struct spinlock net_config_lock;
u32 net_generation = 1;
struct net_counters net_counters[MAX_CPUS];

/* Interfaces are added by net_init and never go, so the list is walked without a lock. */
static struct list_head netifs = LIST_INIT(netifs);
static struct list_head offers = LIST_INIT(offers); /* under net_init's lock */
static u32 next_index = LOOPBACK_INDEX + 1;

void net_counters_sum(struct net_counters *out)
{
    u64 *sum = (u64 *)out;

    memset(out, 0, sizeof(*out));
    for (u32 cpu = 0; cpu < cpu_count; cpu++) {
        const u64 *one = (const u64 *)&net_counters[cpu];
        for (u32 i = 0; i < sizeof(*out) / sizeof(u64); i++)
            sum[i] += one[i];
    }
}

void net_config_changed(void)
{
    __atomic_fetch_add(&net_generation, 1, __ATOMIC_RELEASE);
}

/* Without memory they share counters that nobody trusts. */
static struct netif_stats *create_stats(void)
{
    static struct netif_stats shared[MAX_CPUS];
    struct netif_stats *stats = kcalloc(cpu_count, sizeof(*stats));

    return stats ? stats : shared;
}

struct netif_stats netif_sum_stats(const struct netif *netif)
{
    struct netif_stats all = {0};
    u64 *sum = (u64 *)&all;

    for (u32 cpu = 0; cpu < cpu_count; cpu++) {
        const u64 *one = (const u64 *)&netif->stats[cpu];
        for (u32 i = 0; i < sizeof(all) / sizeof(u64); i++)
            sum[i] += one[i];
    }
    return all;
}

void netif_add(struct netif *netif)
{
    netif->stats = create_stats();
    netif->index = netif->flags & NETIF_LOOPBACK ? LOOPBACK_INDEX : next_index++;
    if (netif->flags & NETIF_LOOPBACK)
        list_add(&netifs, &netif->node);
    else
        list_add_tail(&netifs, &netif->node);
}

void netif_offer(struct netif_offer *offer)
{
    list_add_tail(&offers, &offer->node);
}

bool netif_is_offered(void)
{
    return !list_empty(&offers);
}

void netif_start_offers(void)
{
    while (!list_empty(&offers)) {
        struct netif_offer *offer = list_first(&offers, struct netif_offer, node);
        list_remove(&offer->node);
        offer->start(offer);
    }
}

u32 netif_abi_flags(const struct netif *netif)
{
    u32 flags = netif->flags & NETIF_OFF ? 0 : IFF_UP;

    if (netif->flags & NETIF_UP)
        flags |= IFF_RUNNING | IFF_LOWER_UP;
    return flags | (netif->flags & NETIF_LOOPBACK ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST);
}

struct netif *netif_by_name(const char *name)
{
    struct netif *netif;

    list_for_each(netif, &netifs, node) {
        if (!strcmp(netif->name, name))
            return netif;
    }
    return NULL;
}

struct netif *netif_by_index(u32 index)
{
    struct netif *netif;

    list_for_each(netif, &netifs, node) {
        if (netif->index == index)
            return netif;
    }
    return NULL;
}

int netif_for_each(int (*fn)(struct netif *netif, void *arg), void *arg)
{
    struct netif *netif;

    list_for_each(netif, &netifs, node) {
        int result = fn(netif, arg);
        if (result)
            return result;
    }
    return 0;
}

struct netif *netif_default(void)
{
    struct netif *netif;

    list_for_each(netif, &netifs, node) {
        if ((netif->flags & (NETIF_LOOPBACK | NETIF_UP)) == NETIF_UP)
            return netif;
    }
    return NULL;
}

static struct netif_addr *find_addr(struct netif *netif, const struct ip_addr *addr)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (netif->addrs[i].addr.family && addr_equal(&netif->addrs[i].addr, addr))
            return &netif->addrs[i];
    return NULL;
}

/* A free slot that keeps the families' order: the first address of a family is its primary one. */
static struct netif_addr *free_addr(struct netif *netif)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (!netif->addrs[i].addr.family)
            return &netif->addrs[i];
    return NULL;
}

int netif_add_addr_for(struct netif *netif, const struct netif_addr *line)
{
    const struct ip_addr *addr = &line->addr;

    spin_lock(&net_config_lock);
    struct netif_addr *slot = find_addr(netif, addr) ? NULL : free_addr(netif);
    int err = slot ? 0 : find_addr(netif, addr) ? -EEXIST : -ENOSPC;
    if (slot) {
        u32 used = (u32)(slot - netif->addrs) + 1;
        *slot = *line;
        slot->probed_ns = time_after_ns(ADDR_PROBE_NS);
        if (addr->family == ADDR_INET || netif->flags & NETIF_LOOPBACK)
            slot->flags &= (u8)~ADDR_TENTATIVE;
        netif->nr_addrs = max(netif->nr_addrs, used);
    }
    spin_unlock(&net_config_lock);
    if (err)
        return err;

    struct route_entry connected = {.dst = *addr, .prefix = line->prefix, .netif = netif};
    if (line->prefix < addr_bits(addr))
        (void)route_add(&connected); /* a full table: the address serves, its network does not */
    net_config_changed();
    if (addr->family == ADDR_INET6 || line->valid_ns != TIME_NEVER)
        slaac_addr_added(netif, addr);
    rtnetlink_tell_addr(netif, line, true);
    return 0;
}

int netif_add_addr(struct netif *netif, const struct ip_addr *addr, u8 prefix)
{
    return netif_add_addr_for(netif, &(struct netif_addr){.addr = *addr,
                                                          .prefix = prefix,
                                                          .flags = ADDR_TENTATIVE,
                                                          .preferred_ns = TIME_NEVER,
                                                          .valid_ns = TIME_NEVER});
}

int netif_change_addr(struct netif *netif, const struct netif_addr *line)
{
    spin_lock(&net_config_lock);
    struct netif_addr *slot = find_addr(netif, &line->addr);
    if (slot)
        *slot = *line;
    spin_unlock(&net_config_lock);
    if (!slot)
        return -EADDRNOTAVAIL;
    net_config_changed();
    rtnetlink_tell_addr(netif, line, true);
    return 0;
}

bool netif_get_addr(struct netif *netif, const struct ip_addr *addr, struct netif_addr *out)
{
    spin_lock(&net_config_lock);
    const struct netif_addr *slot = find_addr(netif, addr);
    if (slot)
        *out = *slot;
    spin_unlock(&net_config_lock);
    return slot != NULL;
}

int netif_set_mtu(struct netif *netif, u32 mtu)
{
    enum { LEAST = 68 };
    u32 most = netif->max_mtu ? netif->max_mtu : 65535;

    if (mtu < LEAST || mtu > most)
        return -EINVAL;
    spin_lock(&net_config_lock);
    netif->mtu = mtu;
    spin_unlock(&net_config_lock);
    net_config_changed();
    rtnetlink_tell_link(netif);
    return 0;
}

static void change_flags(struct netif *netif, u32 clear, u32 set)
{
    spin_lock(&net_config_lock);
    u32 before = netif->flags, flags = (before & ~(clear | NETIF_UP)) | set;
    if ((flags & (NETIF_LINK | NETIF_OFF)) == NETIF_LINK)
        flags |= NETIF_UP;
    netif->flags = flags;
    spin_unlock(&net_config_lock);
    if (flags == before)
        return;
    net_config_changed();
    rtnetlink_tell_link(netif);
}

void netif_link_changed(struct netif *netif, bool has_link)
{
    bool had_link = netif->flags & NETIF_LINK;

    change_flags(netif, NETIF_LINK, has_link ? NETIF_LINK : 0);
    if (had_link || !has_link || !netif->index)
        return;
    netif_announce(netif); /* maybe to another switch */
    dhcp_link_up(netif);
    slaac_link_up(netif);
}

void netif_set_up(struct netif *netif, bool up)
{
    change_flags(netif, NETIF_OFF, up ? 0 : NETIF_OFF);
    if (up)
        netif_announce(netif);
}

/* Has @netif another address in the network of @line, which is gone? */
static bool shares_network(const struct netif *netif, const struct netif_addr *line)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        const struct netif_addr *other = &netif->addrs[i];
        if (other->addr.family == line->addr.family && other->prefix == line->prefix &&
            addr_in_prefix(&other->addr, &line->addr, line->prefix))
            return true;
    }
    return false;
}

int netif_remove_addr(struct netif *netif, const struct ip_addr *addr)
{
    spin_lock(&net_config_lock);
    struct netif_addr *slot = find_addr(netif, addr);
    struct netif_addr gone = {0};
    if (slot) {
        gone = *slot;
        slot->addr.family = ADDR_NONE;
    }
    spin_unlock(&net_config_lock);
    if (!slot)
        return -EADDRNOTAVAIL;
    struct route_entry connected = {.dst = *addr, .prefix = gone.prefix, .netif = netif};
    if (!shares_network(netif, &gone))
        (void)route_remove(&connected); /* a host's address has none */
    net_config_changed();
    if (addr->family == ADDR_INET6)
        slaac_addr_removed(netif, addr);
    rtnetlink_tell_addr(netif, &gone, false);
    return 0;
}

/* How well @line serves as a source for @dst: RFC 6724, 5, rules 2, 3 and 8, which also suit IPv4;
 * RFC 4429, 3.1: what is tentative counts as deprecated. */
static u32 source_score(const struct netif_addr *line, const struct ip_addr *dst)
{
    enum { RULE_8 = 1, RULE_3 = 256, RULE_2 = 512 };
    u32 score = RULE_8 + addr_common_bits(&line->addr, dst);

    if (addr_is_link_local(&line->addr) == addr_is_link_local(dst))
        score += RULE_2;
    if (!(line->flags & (ADDR_TENTATIVE | ADDR_DEPRECATED)))
        score += RULE_3;
    return score;
}

const struct ip_addr *netif_source(const struct netif *netif, const struct ip_addr *dst)
{
    const struct ip_addr *best = NULL;
    u32 best_score = 0;

    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        const struct netif_addr *line = &netif->addrs[i];
        u32 score = line->addr.family == dst->family ? source_score(line, dst) : 0;
        if (score > best_score) {
            best_score = score;
            best = &line->addr;
        }
    }
    return best;
}

void netif_send_any(struct netif *netif, struct pkt *pkt)
{
    if (pkt->csum == CSUM_PARTIAL && !(netif->flags & NETIF_CSUM) && !pkt_csum_finish(pkt)) {
        netif_count(netif)->tx_errors++;
        pkt_free(pkt);
        return;
    }
    netif_count(netif)->tx_packets++;
    netif_count(netif)->tx_bytes += pkt->total;
    if (netif->tap)
        netif->tap(netif, pkt, true);
    netif->ops->send(netif, pkt);
}

void netif_flush_all(void)
{
    struct netif *netif;

    list_for_each(netif, &netifs, node) {
        if (netif->ops->flush)
            netif->ops->flush(netif);
    }
}

void netif_poll_all(void)
{
    struct netif *netif;

    list_for_each(netif, &netifs, node) {
        if (netif->ops->poll)
            netif->ops->poll(netif);
    }
}

void netif_receive_done(struct netif *netif)
{
    (void)netif; /* what is gathered belongs to the CPU */
    ip_receive_done();
}
