/* The lives of IPv6 addresses: RFC 4862. Is one used twice (5.4)? Meanwhile it serves, as RFC 4429
 * allows, and claims nothing that would hurt its other owner. And what routers tell of has an end:
 * they themselves, their prefixes, the addresses made of these, name servers (RFC 8106). One timer
 * an interface looks after all of it. */
#include "abi/errno.h"
#include "core/log.h"
#include "core/random.h"
#include "core/time.h"
#include "core/timer.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/config.h"
#include "net/ip6.h"
#include "net/mcast.h"
#include "net/net_priv.h"
#include "sched/wait.h"

enum { SOLICITS = 3, HEARD_MAX = 16 };
static const u64 solicit_interval_ns = 4 * NSEC_PER_SEC;
static const u64 patience_ns = 100 * NSEC_PER_MSEC;
static const u64 two_hours_ns = 7200 * NSEC_PER_SEC;

/* What a router told of. */
struct heard {
    u8 kind; /* enum slaac_kind */
    u8 prefix;
    bool ours; /* nobody else had said so before: it goes when this goes */
    struct ip_addr addr;
    u64 until_ns;
};

/* One interface's. [N] under net_config_lock. */
struct slaac {
    struct timer timer;
    struct netif *netif;           /* [I] */
    u64 nonce;                     /* [I] marks our own probes: RFC 7527 */
    bool answered;                 /* [A] a router has, since .begun_ns */
    u64 begun_ns;                  /* [A] when the first one was asked */
    u32 solicits;                  /* [N] router solicitations sent */
    u64 solicit_ns;                /* [N] the next one, or TIME_NEVER */
    struct heard heard[HEARD_MAX]; /* [N] */
};

static struct waitq waiting; /* for routers */

/* ---- the timer ---- */

static u64 next_of_addr(const struct netif_addr *line)
{
    u64 next = line->valid_ns;

    if (line->flags & ADDR_TENTATIVE)
        next = min(next, line->probed_ns);
    if (!(line->flags & ADDR_DEPRECATED))
        next = min(next, line->preferred_ns);
    return next;
}

static void schedule(struct slaac *s)
{
    spin_lock(&net_config_lock);
    u64 next = s->solicit_ns;
    for (u32 i = 0; i < HEARD_MAX; i++)
        if (s->heard[i].kind)
            next = min(next, s->heard[i].until_ns);
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (s->netif->addrs[i].addr.family)
            next = min(next, next_of_addr(&s->netif->addrs[i]));
    if (next != TIME_NEVER)
        timer_set(&s->timer, next);
    spin_unlock(&net_config_lock);
}

static void solicit_router(struct slaac *s, u64 now)
{
    if (now < s->solicit_ns)
        return;
    bool asked = s->solicits++ > 0;
    bool done = asked && (s->netif->gateway6.family || s->solicits > SOLICITS);
    s->solicit_ns = done ? TIME_NEVER : now + solicit_interval_ns;
    if (!done)
        ndp_solicit_router(s->netif);
}

static void look_at_addr(struct slaac *s, u32 i, u64 now)
{
    spin_lock(&net_config_lock);
    struct netif_addr line = s->netif->addrs[i];
    spin_unlock(&net_config_lock);
    if (!line.addr.family || now < next_of_addr(&line))
        return;
    if (now >= line.valid_ns) {
        (void)netif_remove_addr(s->netif, &line.addr); /* the program was quicker */
        return;
    }
    bool probed = line.flags & ADDR_TENTATIVE && now >= line.probed_ns;
    if (probed)
        line.flags &= (u8)~ADDR_TENTATIVE;
    if (now >= line.preferred_ns)
        line.flags |= ADDR_DEPRECATED;
    if (!netif_change_addr(s->netif, &line) && probed)
        ndp_announce(s->netif, &line.addr); /* who knew another host by it learns */
}

/* ---- what routers tell ---- */

static struct route_entry route_of(const struct slaac *s, const struct heard *h)
{
    if (h->kind == SLAAC_ROUTER)
        return (struct route_entry){
            .dst = {.family = ADDR_INET6}, .gateway = h->addr, .netif = s->netif, .metric = 1024};
    return (struct route_entry){.dst = h->addr, .prefix = h->prefix, .netif = s->netif};
}

/* Returns 0 if it was not so already. */
static int make(const struct slaac *s, const struct heard *h)
{
    struct route_entry line = route_of(s, h);

    return h->kind == SLAAC_NAME_SERVER ? ipconfig_add_name_server(&h->addr) : route_add(&line);
}

static void undo(const struct slaac *s, const struct heard *h)
{
    struct route_entry line = route_of(s, h);

    if (!h->ours)
        return;
    if (h->kind == SLAAC_NAME_SERVER)
        ipconfig_remove_name_server(&h->addr);
    else
        (void)route_remove(&line); /* the program may have done so */
}

static struct heard *find_locked(struct slaac *s, u8 kind, const struct ip_addr *addr, u8 prefix)
{
    for (u32 i = 0; i < HEARD_MAX; i++) {
        struct heard *h = &s->heard[i];
        if (h->kind == kind && (!kind || (h->prefix == prefix && addr_equal(&h->addr, addr))))
            return h;
    }
    return NULL;
}

/* The router for who asks for one: any that is left. */
static void choose_router(struct slaac *s)
{
    struct ip_addr router = {.family = ADDR_NONE};

    spin_lock(&net_config_lock);
    for (u32 i = 0; i < HEARD_MAX; i++)
        if (s->heard[i].kind == SLAAC_ROUTER)
            router = s->heard[i].addr;
    s->netif->gateway6 = router;
    spin_unlock(&net_config_lock);
}

static void forget(struct slaac *s, struct heard *slot)
{
    spin_lock(&net_config_lock);
    struct heard gone = *slot;
    slot->kind = SLAAC_NONE;
    spin_unlock(&net_config_lock);
    if (!gone.kind)
        return;
    undo(s, &gone);
    if (gone.kind == SLAAC_ROUTER)
        choose_router(s);
}

static void remember(struct slaac *s, struct heard *h)
{
    h->ours = !make(s, h);
    spin_lock(&net_config_lock);
    struct heard *slot = find_locked(s, SLAAC_NONE, NULL, 0);
    if (slot)
        *slot = *h;
    spin_unlock(&net_config_lock);
    if (!slot)
        undo(s, h); /* routers tell of more than anybody has use for */
    else if (h->kind == SLAAC_ROUTER)
        choose_router(s);
}

static u64 end_of(u64 now, u32 lifetime_s)
{
    return lifetime_s == UINT32_MAX ? TIME_NEVER : now + lifetime_s * NSEC_PER_SEC;
}

void slaac_hear(struct netif *netif, enum slaac_kind kind, const struct ip_addr *addr, u8 prefix,
                u32 lifetime_s)
{
    struct slaac *s = netif->slaac;
    if (!s)
        return;
    struct heard new = {.kind = (u8)kind, .prefix = prefix, .addr = *addr};

    new.until_ns = end_of(time_ns(), lifetime_s);
    spin_lock(&net_config_lock);
    struct heard *slot = find_locked(s, (u8)kind, addr, prefix);
    if (slot && lifetime_s)
        slot->until_ns = new.until_ns;
    spin_unlock(&net_config_lock);
    if (slot && !lifetime_s)
        forget(s, slot);
    else if (!slot && lifetime_s)
        remember(s, &new);
    schedule(s);
}

/* 5.5.3 (e): nobody proves who he is, so a prefix does not end within less than two hours of what
 * was promised. */
static u64 new_end(u64 old_ns, u32 valid_s, u64 now)
{
    u64 new_ns = end_of(now, valid_s);

    if (new_ns > now + two_hours_ns || new_ns > old_ns)
        return new_ns;
    return min(old_ns, now + two_hours_ns);
}

void slaac_hear_address(struct netif *netif, const struct ip_addr *addr, u32 valid_s,
                        u32 preferred_s)
{
    u64 now = time_ns();
    struct netif_addr line;

    if (netif_get_addr(netif, addr, &line)) {
        if (!(line.flags & ADDR_DYNAMIC))
            return;
        line.valid_ns = new_end(line.valid_ns, valid_s, now);
        line.preferred_ns = end_of(now, preferred_s);
        line.flags &= (u8)~ADDR_DEPRECATED;
        if (!preferred_s)
            line.flags |= ADDR_DEPRECATED;
        (void)netif_change_addr(netif, &line); /* it has just gone: the next message brings it */
    } else if (valid_s) {
        line = (struct netif_addr){.addr = *addr,
                                   .prefix = 128,
                                   .flags = ADDR_TENTATIVE | ADDR_DYNAMIC,
                                   .preferred_ns = end_of(now, preferred_s),
                                   .valid_ns = end_of(now, valid_s)};
        char text[ADDR_TEXT_MAX];
        if (!netif_add_addr_for(netif, &line))
            log_info("%s: %s from a router", netif->name, addr_format(addr, text));
    }
    if (netif->slaac)
        schedule(netif->slaac);
}

/* ---- addresses ---- */

static void tick(struct timer *t)
{
    struct slaac *s = container_of(t, struct slaac, timer);
    u64 now = time_ns();

    for (u32 i = 0; i < HEARD_MAX; i++)
        if (s->heard[i].kind && now >= s->heard[i].until_ns)
            forget(s, &s->heard[i]);
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        look_at_addr(s, i, now);
    solicit_router(s, now);
    schedule(s);
}

static struct slaac *get(struct netif *netif)
{
    if (netif->slaac || netif->flags & NETIF_LOOPBACK)
        return netif->slaac;
    struct slaac *s = kzalloc(sizeof(*s));
    if (!s)
        return NULL;
    s->netif = netif;
    s->nonce = random_u64() >> 16;
    s->solicit_ns = TIME_NEVER;
    timer_init(&s->timer, tick);
    spin_lock(&net_config_lock);
    bool first = !netif->slaac;
    if (first)
        netif->slaac = s;
    spin_unlock(&net_config_lock);
    if (!first)
        kfree(s);
    return netif->slaac;
}

void slaac_addr_added(struct netif *netif, const struct ip_addr *addr)
{
    struct slaac *s = get(netif);
    struct netif_addr line;

    if (!s || !netif_get_addr(netif, addr, &line))
        return;
    if (addr->family == ADDR_INET6)
        ndp_join(netif, addr);
    if (line.flags & ADDR_TENTATIVE)
        ndp_probe(netif, addr, s->nonce);
    schedule(s);
}

void slaac_addr_removed(struct netif *netif, const struct ip_addr *addr)
{
    if (netif->slaac)
        ndp_leave(netif, addr);
}

bool slaac_conflict(struct netif *netif, const struct ip_addr *addr)
{
    struct netif_addr line;
    char text[ADDR_TEXT_MAX];

    if (!netif_get_addr(netif, addr, &line) || !(line.flags & ADDR_TENTATIVE))
        return false;
    if (!netif_remove_addr(netif, addr))
        log_err("%s: another host has %s: it is not used here", netif->name,
                addr_format(addr, text));
    return true;
}

bool slaac_is_own_probe(const struct netif *netif, u64 nonce)
{
    return netif->slaac && nonce == netif->slaac->nonce;
}

static void begin(struct slaac *s)
{
    __atomic_store_n(&s->answered, false, __ATOMIC_RELAXED);
    __atomic_store_n(&s->begun_ns, time_ns(), __ATOMIC_RELAXED);
    struct ip_addr own = ip6_link_local(s->netif);

    if (netif_add_addr(s->netif, &own, 64))
        log_err("%s: no room for an IPv6 address", s->netif->name);
    s->solicits = 0;
    s->solicit_ns = time_ns();
}

void slaac_start(struct netif *netif)
{
    struct slaac *s = get(netif);

    (void)mcast_join(netif, &ip6_all_nodes); /* a full table: neighbours that know us do without */
    if (!s) {
        log_err("%s: no memory for IPv6", netif->name);
        return;
    }
    begin(s);
    tick(&s->timer);
}

/* Is it made of the MAC address, by us or of a router's prefix? */
static bool is_made_of(const struct ip_addr *addr, const struct ip_addr *link_local)
{
    return addr->family == ADDR_INET6 && !memcmp(addr->bytes + 8, link_local->bytes + 8, 8);
}

bool slaac_stop(struct netif *netif)
{
    struct slaac *s = netif->slaac;
    struct ip_addr own = ip6_link_local(netif);
    struct netif_addr line;

    if (!s || !netif_get_addr(netif, &own, &line))
        return false;
    (void)timer_cancel(&s->timer); /* set or not, it does not run from here on */
    for (u32 i = 0; i < HEARD_MAX; i++)
        forget(s, &s->heard[i]);
    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        struct ip_addr addr = netif->addrs[i].addr;
        if (is_made_of(&addr, &own))
            (void)netif_remove_addr(netif, &addr); /* the program was quicker */
    }
    return true;
}

void slaac_restart(struct netif *netif)
{
    begin(netif->slaac);
    tick(&netif->slaac->timer);
}

/* ---- who waits for a router ---- */

void slaac_init(void)
{
    waitq_init(&waiting);
}

void slaac_answered(struct netif *netif)
{
    if (!netif->slaac)
        return;
    __atomic_store_n(&netif->slaac->answered, true, __ATOMIC_RELEASE);
    waitq_wake_all(&waiting, 0);
}

/* Until when, the latest of all interfaces that have no answer yet. */
static int note_patience(struct netif *netif, void *arg)
{
    const struct slaac *s = netif->slaac;
    u64 *until = arg;

    if (s && !__atomic_load_n(&s->answered, __ATOMIC_ACQUIRE))
        *until = max(*until, __atomic_load_n(&s->begun_ns, __ATOMIC_RELAXED) + patience_ns);
    return 0;
}

static u64 patience(void)
{
    u64 until = 0;

    netif_for_each(note_patience, &until);
    return until;
}

int slaac_wait(void)
{
    u64 until = patience();

    if (until <= time_ns())
        return 0;
    int err = wait_event(&waiting, !patience(), true, until);
    return err == -EINTR ? err : 0;
}

void slaac_link_up(struct netif *netif)
{
    struct slaac *s = netif->slaac;
    struct ip_addr own = ip6_link_local(netif);
    struct netif_addr line;

    if (!s || !netif_get_addr(netif, &own, &line))
        return; /* it goes without */
    s->solicits = 0;
    s->solicit_ns = time_ns();
    timer_set(&s->timer, s->solicit_ns);
}
