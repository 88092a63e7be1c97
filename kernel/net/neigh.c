/* Neighbours: which MAC address an IP address has, for ARP and ND alike. RFC 4861, 7.3, whose
 * states serve IPv4 as well. The hot path reads a state and a MAC address, without lock or clock: a
 * tick runs while entries are in use and does all that has to do with time. */
#include "net/neigh.h"
#include "abi/errno.h"
#include "core/spinlock.h"
#include "core/time.h"
#include "core/timer.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/net_priv.h"
#include "net/netlink.h"
#include "net/stats.h"

enum {
    BUCKETS = 64,
    MAX_ENTRIES = 1024,
    QUEUE_MAX = 32, /* packets that wait for one answer */
    PROBES_MAX = 3, /* RFC 4861, 10: MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
};
static const u64 tick_ns = NSEC_PER_SEC;           /* RETRANS_TIMER */
static const u64 reachable_ns = 30 * NSEC_PER_SEC; /* REACHABLE_TIME */

static struct spinlock lock;              /* of all below; before a device's */
static struct list_head buckets[BUCKETS]; /* [L] */
static u32 nr_entries;                    /* [L] */
static struct timer timer;

static void tick(struct timer *t);

static u32 hash_of(const struct ip_addr *addr)
{
    u32 h = addr->words[0] ^ addr->words[1] ^ addr->words[2] ^ addr->words[3];
    return (h * 0x9e3779b1u) >> 26;
}
static_assert(BUCKETS == 1 << 6, "hash_of");

void neigh_init(void)
{
    for (u32 i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
    timer_init(&timer, tick);
}

static struct neigh *find_locked(struct netif *netif, const struct ip_addr *addr)
{
    struct neigh *n;

    list_for_each(n, &buckets[hash_of(addr)], node) {
        if (n->netif == netif && addr_equal(&n->addr, addr))
            return n;
    }
    return NULL;
}

/* The entry that was quiet for longest; entries that packets wait for are not given away. */
static struct neigh *oldest_locked(void)
{
    struct neigh *n, *best = NULL;

    for (u32 i = 0; i < BUCKETS; i++)
        list_for_each(n, &buckets[i], node) {
            if (!n->nr_queued && (n->is_group || n->state != NEIGH_PERMANENT) &&
                (!best || n->since_ns < best->since_ns))
                best = n;
        }
    return best;
}

static struct neigh *take_entry_locked(void)
{
    if (nr_entries < MAX_ENTRIES) {
        struct neigh *n = kzalloc(sizeof(*n));
        if (n) {
            nr_entries++;
            list_init(&n->node);
            list_init(&n->queue);
            return n;
        }
    }
    struct neigh *n = oldest_locked();
    if (n) {
        list_remove(&n->node);
        net_config_changed(); /* routes that know this entry by its old address */
    }
    return n;
}

/* Group addresses need no question: RFC 1112, 6.4; RFC 2464, 7. 0: one host's. */
static u64 mac_of_group(const struct netif *netif, const struct ip_addr *addr)
{
    const u8 *b = addr->bytes;
    u8 mac[6];

    if (addr->family == ADDR_INET) {
        if (ip4_cast(netif, addr_v4(addr)) == IP_BROADCAST)
            return MAC_BROADCAST;
        if (!addr_is_multicast(addr))
            return 0;
        memcpy(mac, (u8[]){0x01, 0x00, 0x5e, b[13] & 0x7f, b[14], b[15]}, 6);
    } else {
        if (!addr_is_multicast(addr))
            return 0;
        memcpy(mac, (u8[]){0x33, 0x33, b[12], b[13], b[14], b[15]}, 6);
    }
    return mac_load(mac);
}

static struct neigh *get_locked(struct netif *netif, const struct ip_addr *addr)
{
    struct neigh *n = find_locked(netif, addr);
    if (n)
        return n;
    n = take_entry_locked();
    if (!n)
        return NULL;
    n->addr = *addr;
    n->netif = netif;
    n->mac = mac_of_group(netif, addr);
    n->is_group = n->mac != 0;
    n->state = n->mac ? NEIGH_PERMANENT : NEIGH_FAILED;
    n->used = false;
    n->probes = 0;
    n->since_ns = time_ns();
    list_add(&buckets[hash_of(addr)], &n->node);
    return n;
}

struct neigh *neigh_get(struct netif *netif, const struct ip_addr *addr)
{
    spin_lock(&lock);
    struct neigh *n = get_locked(netif, addr);
    spin_unlock(&lock);
    return n;
}

static struct neigh_info info_of_locked(const struct neigh *n)
{
    static const u8 states[] = {
        [NEIGH_FAILED] = NUD_FAILED,       [NEIGH_INCOMPLETE] = NUD_INCOMPLETE,
        [NEIGH_STALE] = NUD_STALE,         [NEIGH_PROBE] = NUD_PROBE,
        [NEIGH_REACHABLE] = NUD_REACHABLE, [NEIGH_PERMANENT] = NUD_PERMANENT,
    };
    struct neigh_info info = {.addr = n->addr, .netif = n->netif, .state = states[n->state]};

    memcpy(info.mac, &n->mac, 6);
    return info;
}

/* Who listens hears of what is known of a neighbour: not of each question. */
static void tell_locked(const struct neigh *n, bool added)
{
    if (likely(!netlink_is_heard(RTNLGRP_NEIGH)))
        return;
    struct neigh_info info = info_of_locked(n);
    rtnetlink_tell_neigh(&info, added);
}

static void solicit(struct netif *netif, const struct ip_addr *addr, u64 mac)
{
    if (addr->family == ADDR_INET)
        arp_solicit(netif, addr, mac);
    else
        ndp_solicit(netif, addr, mac);
}

/* Let @pkt wait for an answer; the oldest goes when there are too many. */
static void enqueue(struct neigh *n, struct pkt *pkt, u16 type)
{
    struct pkt *dropped = NULL;
    struct netif *netif = n->netif;
    struct ip_addr addr = n->addr;

    pkt->protocol = type;
    spin_lock(&lock);
    if (n->state >= NEIGH_STALE) { /* answered meanwhile, by another CPU */
        spin_unlock(&lock);
        eth_send(netif, pkt, n->mac, type);
        return;
    }
    bool ask = n->state == NEIGH_FAILED;
    if (ask) {
        n->state = NEIGH_INCOMPLETE;
        n->probes = 1;
    }
    if (n->nr_queued == QUEUE_MAX) {
        dropped = list_first(&n->queue, struct pkt, node);
        list_remove(&dropped->node);
        n->nr_queued--;
    }
    list_add_tail(&n->queue, &pkt->node);
    n->nr_queued++;
    spin_unlock(&lock);

    if (dropped) {
        netif_count(netif)->tx_dropped++;
        pkt_free(dropped);
    }
    if (ask) {
        solicit(netif, &addr, 0);
        timer_set(&timer, time_after_ns(tick_ns));
    }
}

void neigh_send_any(struct neigh *n, struct pkt *pkt, u16 type)
{
    if (unlikely(__atomic_load_n(&n->state, __ATOMIC_ACQUIRE) < NEIGH_STALE)) {
        enqueue(n, pkt, type);
        return;
    }
    n->used = true;
    if (!timer_is_set(&timer))
        timer_set(&timer, time_after_ns(tick_ns));
    eth_send(n->netif, pkt, __atomic_load_n(&n->mac, __ATOMIC_RELAXED), type);
}

static void take_queue_locked(struct neigh *n, struct list_head *out)
{
    struct pkt *pkt, *tmp;

    list_for_each_safe(pkt, tmp, &n->queue, node)
    {
        list_remove(&pkt->node);
        list_add_tail(out, &pkt->node);
    }
    n->nr_queued = 0;
}

/* RFC 4861, 7.2.5, without the router flag. The queue moves to @out. */
static void learn_locked(struct neigh *n, u64 mac, bool solicited, bool override,
                         struct list_head *out)
{
    bool known = n->state >= NEIGH_STALE, differs = known && n->mac != mac;

    if (n->state == NEIGH_PERMANENT)
        return;
    if (differs && !override) {
        if (n->state == NEIGH_REACHABLE)
            n->state = NEIGH_STALE;
        return;
    }
    __atomic_store_n(&n->mac, mac, __ATOMIC_RELAXED);
    if (solicited)
        n->since_ns = time_ns();
    if (solicited || !known || differs) {
        n->probes = 0;
        __atomic_store_n(&n->state, solicited ? NEIGH_REACHABLE : NEIGH_STALE, __ATOMIC_RELEASE);
        tell_locked(n, true);
    }
    take_queue_locked(n, out);
}

static void send_waiting(struct netif *netif, u64 mac, struct list_head *waiting)
{
    struct pkt *pkt, *tmp;

    list_for_each_safe(pkt, tmp, waiting, node)
    {
        list_remove(&pkt->node);
        eth_send(netif, pkt, mac, pkt->protocol);
    }
}

void neigh_learn(struct netif *netif, const struct ip_addr *addr, u64 mac, bool create,
                 bool solicited, bool override)
{
    struct list_head out = LIST_INIT(out);

    spin_lock(&lock);
    struct neigh *n = create ? get_locked(netif, addr) : find_locked(netif, addr);
    if (n)
        learn_locked(n, mac, solicited, override, &out);
    spin_unlock(&lock);
    send_waiting(netif, mac, &out);
}

int neigh_set(struct netif *netif, const struct ip_addr *addr, const u8 bytes[6], bool permanent,
              enum neigh_how how)
{
    struct list_head out = LIST_INIT(out);
    u64 mac = mac_load(bytes);
    int err = 0;

    spin_lock(&lock);
    struct neigh *n = find_locked(netif, addr);
    bool known = n && n->state != NEIGH_FAILED;
    if (known ? how == NEIGH_IF_NEW : how == NEIGH_IF_THERE)
        err = known ? -EEXIST : -ENOENT;
    else if (!(n = get_locked(netif, addr)))
        err = -ENOBUFS;
    else if (n->is_group)
        err = -EINVAL;
    if (!err) {
        __atomic_store_n(&n->mac, mac, __ATOMIC_RELAXED);
        n->probes = 0;
        n->since_ns = time_ns();
        __atomic_store_n(&n->state, permanent ? NEIGH_PERMANENT : NEIGH_STALE, __ATOMIC_RELEASE);
        take_queue_locked(n, &out);
        tell_locked(n, true);
    }
    spin_unlock(&lock);
    send_waiting(netif, mac, &out);
    return err;
}

int neigh_remove(struct netif *netif, const struct ip_addr *addr)
{
    struct list_head out = LIST_INIT(out);
    struct pkt *pkt, *tmp;

    spin_lock(&lock);
    struct neigh *n = find_locked(netif, addr);
    bool known = n && n->state != NEIGH_FAILED && !n->is_group;
    if (known) {
        n->state = NEIGH_FAILED;
        take_queue_locked(n, &out);
        tell_locked(n, false);
    }
    spin_unlock(&lock);
    list_for_each_safe(pkt, tmp, &out, node)
    {
        list_remove(&pkt->node);
        pkt_free(pkt);
    }
    return known ? 0 : -ENOENT;
}

/* What the tick decides about one entry: whether to ask, and whether to go on ticking. */
struct verdict {
    bool ask, go_on;
    u64 mac; /* 0: ask everybody */
};

static struct verdict look_at_locked(struct neigh *n, u64 now, struct list_head *failed)
{
    struct verdict v = {.go_on = n->used};

    switch ((enum neigh_state)n->state) {
    case NEIGH_REACHABLE:
        if (now - n->since_ns > reachable_ns)
            n->state = NEIGH_STALE;
        v.go_on = true; /* until it is stale and quiet */
        break;
    case NEIGH_STALE:
        if (n->used) {
            n->state = NEIGH_PROBE;
            n->probes = 1;
            v = (struct verdict){true, true, n->mac};
        }
        break;
    case NEIGH_PROBE:
    case NEIGH_INCOMPLETE:
        if (n->probes++ < PROBES_MAX) {
            v = (struct verdict){true, true, n->state == NEIGH_PROBE ? n->mac : 0};
            break;
        }
        n->state = NEIGH_FAILED;
        take_queue_locked(n, failed);
        tell_locked(n, true);
        break;
    case NEIGH_FAILED:
    case NEIGH_PERMANENT:
        v.go_on = false;
        break;
    }
    n->used = false;
    return v;
}

/* Ask for what needs asking in one bucket. Asking takes device locks, so it is done unlocked, one
 * at a time: the chain may have changed by then, so it is counted through. */
static bool tick_bucket(struct list_head *bucket, u64 now, struct list_head *failed)
{
    struct neigh *ask[8], *n;
    u64 macs[8];
    u32 nr_ask = 0;
    bool go_on = false;

    spin_lock(&lock);
    list_for_each(n, bucket, node) {
        if (nr_ask == ARRAY_LEN(ask)) { /* the rest at the next tick */
            go_on = true;
            break;
        }
        struct verdict v = look_at_locked(n, now, failed);
        go_on |= v.go_on;
        macs[nr_ask] = v.mac;
        ask[nr_ask] = n;
        nr_ask += v.ask;
    }
    spin_unlock(&lock);
    for (u32 i = 0; i < nr_ask; i++)
        solicit(ask[i]->netif, &ask[i]->addr, macs[i]);
    return go_on;
}

static void tick(struct timer *t)
{
    struct list_head failed = LIST_INIT(failed);
    struct pkt *pkt, *tmp;
    u64 now = time_ns();
    bool go_on = false;

    for (u32 i = 0; i < BUCKETS; i++)
        go_on |= tick_bucket(&buckets[i], now, &failed);
    list_for_each_safe(pkt, tmp, &failed, node)
    {
        list_remove(&pkt->node);
        ip_unreachable_neighbour(pkt);
    }
    if (go_on)
        timer_set(t, time_after_ns(tick_ns));
}

bool neigh_get_entry(u32 i, struct neigh_info *out)
{
    struct neigh *n;
    bool found = false;

    spin_lock(&lock);
    for (u32 b = 0; b < BUCKETS && !found; b++)
        list_for_each(n, &buckets[b], node) {
            if (n->is_group || n->state == NEIGH_FAILED || i--)
                continue;
            *out = info_of_locked(n);
            found = true;
            break;
        }
    spin_unlock(&lock);
    return found;
}
