/* Where packets go: a small table, searched for the longest prefix when a connection is made; the
 * answer is kept by whoever asked until the configuration changes. Path MTUs: RFC 1191, 8201. */
#include "abi/errno.h"
#include "core/time.h"
#include "lib/string.h"
#include "net/ip6.h"
#include "net/net_priv.h"
#include "net/netlink.h"

enum { MAX_ROUTES = 64, PMTU_SLOTS = 128 };
static const u64 pmtu_lifetime_ns = 600 * NSEC_PER_SEC; /* RFC 1191, 6.3 */

/* [N] under net_config_lock; used ones come first. */
static struct route_entry routes[MAX_ROUTES];
static u32 nr_routes;

/* A path with a smaller MTU than its interface; a newer one takes its slot. [N] */
static struct pmtu {
    struct ip_addr dst;
    u32 mtu;
    u64 until_ns;
} pmtus[PMTU_SLOTS];

static void clear_host_bits(struct ip_addr *addr, u32 prefix)
{
    u32 first = addr->family == ADDR_INET ? 12 : 0;

    for (u32 i = first; i < 16; i++) {
        u32 bit = (i - first) * 8;
        if (bit >= prefix)
            addr->bytes[i] = 0;
        else if (prefix - bit < 8)
            addr->bytes[i] &= (u8)(0xff << (8 - (prefix - bit)));
    }
}

static bool same_destination(const struct route_entry *a, const struct route_entry *b)
{
    return a->prefix == b->prefix && a->dst.family == b->dst.family && addr_equal(&a->dst, &b->dst);
}

int route_add(const struct route_entry *entry)
{
    struct route_entry line = *entry;
    int err = 0;

    clear_host_bits(&line.dst, line.prefix);
    spin_lock(&net_config_lock);
    for (u32 i = 0; i < nr_routes && !err; i++)
        if (same_destination(&routes[i], &line) && routes[i].netif == line.netif &&
            routes[i].metric == line.metric && addr_equal(&routes[i].gateway, &line.gateway))
            err = -EEXIST;
    if (!err && nr_routes == MAX_ROUTES)
        err = -ENOSPC;
    if (!err)
        routes[nr_routes++] = line;
    spin_unlock(&net_config_lock);
    net_config_changed();
    if (!err)
        rtnetlink_tell_route(&line, true);
    return err;
}

int route_remove(const struct route_entry *entry)
{
    struct route_entry line = *entry;
    int err = -ESRCH;

    clear_host_bits(&line.dst, line.prefix);
    spin_lock(&net_config_lock);
    for (u32 i = 0; i < nr_routes; i++) {
        const struct route_entry *it = &routes[i];
        if (!same_destination(it, &line) || (line.netif && it->netif != line.netif) ||
            (line.metric && it->metric != line.metric) ||
            (line.gateway.family && !addr_equal(&it->gateway, &line.gateway)))
            continue;
        line = routes[i];
        routes[i] = routes[--nr_routes];
        err = 0;
        break;
    }
    spin_unlock(&net_config_lock);
    net_config_changed();
    if (!err)
        rtnetlink_tell_route(&line, false);
    return err;
}

bool route_get_same(const struct route_entry *entry, struct route_entry *out)
{
    struct route_entry line = *entry;
    bool found = false;

    clear_host_bits(&line.dst, line.prefix);
    spin_lock(&net_config_lock);
    for (u32 i = 0; i < nr_routes && !found; i++) {
        found = same_destination(&routes[i], &line) && routes[i].metric == line.metric;
        if (found)
            *out = routes[i];
    }
    spin_unlock(&net_config_lock);
    return found;
}

bool route_get(u32 i, struct route_entry *out)
{
    spin_lock(&net_config_lock);
    bool found = i < nr_routes;
    if (found)
        *out = routes[i];
    spin_unlock(&net_config_lock);
    return found;
}

/* The longest prefix that holds @dst, then the smallest metric. */
static bool lookup(const struct ip_addr *dst, u32 ifindex, struct route_entry *out)
{
    const struct route_entry *best = NULL;

    spin_lock(&net_config_lock);
    for (u32 i = 0; i < nr_routes; i++) {
        const struct route_entry *line = &routes[i];
        if ((ifindex && line->netif->index != ifindex) || !(line->netif->flags & NETIF_UP) ||
            !addr_in_prefix(dst, &line->dst, line->prefix))
            continue;
        if (!best || line->prefix > best->prefix ||
            (line->prefix == best->prefix && line->metric < best->metric))
            best = line;
    }
    if (best)
        *out = *best;
    spin_unlock(&net_config_lock);
    return best != NULL;
}

/* Groups, the broadcast address and link-local hosts have no line: the interface says it all. */
static bool lookup_on_link(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex,
                           struct route_entry *out)
{
    bool limited = dst->family == ADDR_INET && addr_v4(dst) == UINT32_MAX;
    bool v6_link = dst->family == ADDR_INET6 && addr_is_link_local(dst);

    if (!addr_is_multicast(dst) && !limited && !v6_link)
        return false;
    struct netif *netif = ifindex ? netif_by_index(ifindex) : netif_default();
    if (!netif && addr_is_multicast(dst))
        netif = src && addr_is_loopback(src) ? &loopback : NULL;
    if (!netif || !(netif->flags & NETIF_UP))
        return false;
    *out = (struct route_entry){.dst = *dst, .netif = netif};
    return true;
}

static struct pmtu *pmtu_slot(const struct ip_addr *dst)
{
    u32 h = dst->words[0] ^ dst->words[1] ^ dst->words[2] ^ dst->words[3];
    return &pmtus[(h * 0x9e3779b1u) >> 25];
}
static_assert(PMTU_SLOTS == 1 << 7, "pmtu_slot");

void pmtu_update(const struct ip_addr *dst, u32 mtu)
{
    struct pmtu *slot = pmtu_slot(dst);

    mtu = max(mtu, dst->family == ADDR_INET ? (u32)IP4_MIN_MTU : (u32)IP6_MIN_MTU);
    spin_lock(&net_config_lock);
    *slot = (struct pmtu){*dst, mtu, time_after_ns(pmtu_lifetime_ns)};
    spin_unlock(&net_config_lock);
    net_config_changed();
}

u32 pmtu_get(const struct ip_addr *dst, u32 mtu)
{
    struct pmtu *slot = pmtu_slot(dst);

    if (likely(!slot->mtu))
        return mtu;
    spin_lock(&net_config_lock);
    if (slot->mtu && addr_equal(&slot->dst, dst)) {
        if (time_ns() < slot->until_ns)
            mtu = min(mtu, slot->mtu);
        else
            slot->mtu = 0;
    }
    spin_unlock(&net_config_lock);
    return mtu;
}

static int fill_local(const struct ip_addr *dst, const struct ip_addr *src, u32 generation,
                      struct route *out)
{
    *out = (struct route){.netif = &loopback,
                          .source = src ? *src : *dst,
                          .mtu = loopback.mtu,
                          .generation = generation};
    return 0;
}

static u8 cast_of(const struct netif *netif, const struct ip_addr *dst)
{
    if (addr_is_multicast(dst))
        return IP_MULTICAST;
    if (dst->family == ADDR_INET && ip4_cast(netif, addr_v4(dst)) == IP_BROADCAST)
        return IP_BROADCAST;
    return IP_UNICAST;
}

int route_find(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex, struct route *out)
{
    u32 generation = __atomic_load_n(&net_generation, __ATOMIC_ACQUIRE);
    struct route_entry line;

    if (src && (src->family == ADDR_NONE || addr_is_any(src)))
        src = NULL;
    if (addr_is_loopback(dst) || ip_is_local(dst))
        return fill_local(dst, src, generation, out);
    if (!lookup_on_link(dst, src, ifindex, &line) && !lookup(dst, ifindex, &line))
        return -ENETUNREACH;

    const struct ip_addr *source = src ? src : netif_source(line.netif, dst);
    if (!source && !(dst->family == ADDR_INET && line.netif->flags & NETIF_CONFIGURING))
        return -ENETUNREACH;
    *out = (struct route){.netif = line.netif,
                          .next = line.gateway,
                          .source = source ? *source : (struct ip_addr){.family = dst->family},
                          .mtu = pmtu_get(dst, line.netif->mtu),
                          .cast = cast_of(line.netif, dst),
                          .generation = generation};
    if (line.netif->flags & NETIF_LOOPBACK)
        return 0;
    out->neigh = neigh_get(line.netif, line.gateway.family ? &line.gateway : dst);
    return out->neigh ? 0 : -ENOMEM;
}

struct netif *route_link_of(const struct ip_addr *gateway)
{
    struct route way;

    return route_find(gateway, NULL, 0, &way) || way.next.family ? NULL : way.netif;
}

int route_find_wait(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex,
                    struct route *out)
{
    int err = route_find(dst, src, ifindex, out);

    if (likely(err != -ENETUNREACH))
        return err;
    err = net_wait_configured();
    if (!err && dst->family == ADDR_INET6)
        err = slaac_wait();
    return err ? err : route_find(dst, src, ifindex, out);
}
