/* The DHCP client: RFC 2131, options of RFC 2132, classless routes of RFC 3442. It runs by timers
 * and packets alone, so nobody waits for it but who needs the network. */
#include "abi/errno.h"
#include "core/log.h"
#include "core/random.h"
#include "core/time.h"
#include "core/timer.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/config.h"
#include "net/net_priv.h"

enum { CLIENT_PORT = 68, SERVER_PORT = 67, MAGIC = 0x63825363, MIN_LEN = 300 };
enum { OP_REQUEST = 1, OP_REPLY = 2, FLAG_BROADCAST = 0x8000 };

enum dhcp_type { DISCOVER = 1, OFFER = 2, REQUEST = 3, DECLINE = 4, ACK = 5, NAK = 6 };

enum dhcp_option {
    OPT_PAD = 0,
    OPT_MASK = 1,
    OPT_ROUTER = 3,
    OPT_DNS = 6,
    OPT_HOSTNAME = 12,
    OPT_DOMAIN = 15,
    OPT_MTU = 26,
    OPT_NTP = 42,
    OPT_ADDRESS = 50,
    OPT_LEASE = 51,
    OPT_OVERLOAD = 52,
    OPT_TYPE = 53,
    OPT_SERVER = 54,
    OPT_WANTED = 55,
    OPT_MAX_SIZE = 57,
    OPT_T1 = 58,
    OPT_T2 = 59,
    OPT_CLIENT_ID = 61,
    OPT_ROUTES = 121,
    OPT_END = 255,
};

struct dhcp_hdr {
    u8 op, hw_type, hw_len, hops;
    be32 xid;
    be16 secs, flags;
    be32 client, yours, server, relay;
    u8 mac[16], server_name[64], file[128];
    be32 magic;
};
static_assert(sizeof(struct dhcp_hdr) == 240, "RFC 2131, 2");

/* An answer, decoded. */
struct dhcp_answer {
    u8 type;
    u32 server; /* network order */
    u32 lease_s, t1_s, t2_s;
    struct ip_config config;
};

enum dhcp_state { SELECTING, REQUESTING, BOUND, RENEWING, REBINDING, DECLINED, STOPPED };
enum { PROBES = 2 }; /* of a new address, half a second apart */

/* One interface's lease. Timers and packets of one interface come at safe points, one at a time.
 * [C] all. */
struct dhcp {
    struct list_head node;
    struct netif *netif;
    struct timer timer;
    enum dhcp_state state;
    u32 xid, tries;
    u32 probes;          /* sent for this address; 0: nobody else has it */
    u32 server, offered; /* network order */
    u64 started_ns, t1_ns, t2_ns, end_ns;
    struct dhcp_answer answer; /* what is in force, or on offer */
};

static struct list_head clients = LIST_INIT(clients); /* [I] after start */

static bool has_lease(const struct dhcp *d)
{
    return d->state == BOUND || d->state == RENEWING || d->state == REBINDING;
}

static u8 *put_option(u8 *to, u8 code, const void *value, u8 len)
{
    to[0] = code;
    to[1] = len;
    memcpy(to + 2, value, len);
    return to + 2 + len;
}

static u8 *put_request_options(u8 *to, const struct dhcp *d, u8 type)
{
    static const u8 wanted[] = {OPT_MASK, OPT_ROUTES, OPT_ROUTER, OPT_DNS, OPT_HOSTNAME, OPT_DOMAIN,
                                OPT_MTU,  OPT_NTP,    OPT_LEASE,  OPT_T1,  OPT_T2};
    be16 max_size = be16_of(1500);
    u8 id[7] = {1};

    memcpy(id + 1, d->netif->mac, 6);
    to = put_option(to, OPT_TYPE, &type, 1);
    to = put_option(to, OPT_CLIENT_ID, id, sizeof(id));
    if (type != DECLINE) {
        to = put_option(to, OPT_MAX_SIZE, &max_size, 2);
        to = put_option(to, OPT_WANTED, wanted, sizeof(wanted));
    }
    if (d->state == REQUESTING || type == DECLINE) { /* RFC 2131, 4.3.2: by state */
        to = put_option(to, OPT_ADDRESS, &d->offered, 4);
        to = put_option(to, OPT_SERVER, &d->server, 4);
    }
    *to++ = OPT_END;
    return to;
}

static void fill_header(struct dhcp_hdr *hdr, const struct dhcp *d, bool have_address)
{
    u64 secs = (time_ns() - d->started_ns) / NSEC_PER_SEC;

    *hdr = (struct dhcp_hdr){.op = OP_REQUEST,
                             .hw_type = 1,
                             .hw_len = 6,
                             .xid = {d->xid},
                             .secs = be16_of((u16)min(secs, (u64)UINT16_MAX)),
                             .flags = be16_of(have_address ? 0 : FLAG_BROADCAST),
                             .magic = be32_of(MAGIC)};
    memcpy(hdr->mac, d->netif->mac, 6);
    if (have_address)
        hdr->client.raw = addr_v4(&d->answer.config.addr);
}

static void put_udp_header(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst)
{
    u16 len = (u16)(pkt->total + sizeof(struct udp_hdr));
    struct udp_hdr *udp = (void *)pkt_push(pkt, sizeof(*udp));

    *udp = (struct udp_hdr){
        .src = be16_of(CLIENT_PORT), .dst = be16_of(SERVER_PORT), .len = be16_of(len)};
    udp->csum.raw = csum_fold(pkt_csum(pkt, 0, len, ip_pseudo_csum(src, dst, IP_UDP, len)));
}

static void send(struct dhcp *d, u8 type)
{
    bool have_address = d->state == RENEWING || d->state == REBINDING;
    struct ip_addr src = have_address ? d->answer.config.addr : addr_from_v4(0);
    struct ip_addr dst = addr_from_v4(d->state == RENEWING ? d->server : UINT32_MAX);
    struct route route;
    struct pkt *pkt = pkt_alloc();
    if (!pkt || route_find(&dst, NULL, d->netif->index, &route)) {
        if (pkt)
            pkt_free(pkt);
        return; /* the timer tries again */
    }
    u8 *start = pkt_put(pkt, MIN_LEN);
    memset(start, 0, MIN_LEN);
    fill_header((void *)start, d, have_address);
    put_request_options(start + sizeof(struct dhcp_hdr), d, type);
    put_udp_header(pkt, &src, &dst);
    (void)ip_output(pkt, &route, &src, &dst, IP_UDP, NULL); /* as above */
}

/* 4.1: doubled each time, with a little chance; quicker at first than its four seconds. */
static void set_retry(struct dhcp *d)
{
    u64 delay = NSEC_PER_SEC << min(d->tries, 6u);

    d->tries++;
    timer_set(&d->timer, time_after_ns(delay + random_below(NSEC_PER_SEC / 4)));
}

static void discover(struct dhcp *d)
{
    d->state = SELECTING;
    d->xid = (u32)random_u64();
    d->tries = 0;
    d->started_ns = time_ns();
    d->netif->flags |= NETIF_CONFIGURING;
    send(d, DISCOVER);
    set_retry(d);
}

static void drop_lease(struct dhcp *d, const char *why)
{
    log_warn("%s: the lease of its address is lost: %s", d->netif->name, why);
    ipconfig_withdraw(d->netif, &d->answer.config);
    discover(d);
}

/* 4.4.5: half of what is left, at least a minute. */
static void wait_half(struct dhcp *d, u64 until_ns)
{
    u64 now = time_ns();
    u64 left = until_ns > now ? until_ns - now : 0;

    timer_set(&d->timer, min(until_ns, now + max(left / 2, 60 * NSEC_PER_SEC)));
}

/* The address serves meanwhile: networks where leases overlap are rare, and every start would wait.
 */
static void probe(struct dhcp *d)
{
    if (d->probes == PROBES) {
        d->probes = 0;
        arp_announce(d->netif, &d->answer.config.addr);
        timer_set(&d->timer, d->t1_ns);
        return;
    }
    d->probes++;
    arp_probe(d->netif, &d->answer.config.addr);
    timer_set(&d->timer, time_after_ns(NSEC_PER_SEC / 2));
}

/* RFC 2131, 3.1.5 and 4.4.4. */
static void decline(struct dhcp *d)
{
    char text[ADDR_TEXT_MAX];

    log_warn("%s: another host has %s, which DHCP gave us: declined", d->netif->name,
             addr_format(&d->answer.config.addr, text));
    d->probes = 0;
    d->state = DECLINED;
    d->xid = (u32)random_u64();
    d->offered = addr_v4(&d->answer.config.addr);
    d->netif->flags |= NETIF_CONFIGURING;
    ipconfig_withdraw(d->netif, &d->answer.config);
    send(d, DECLINE);
    timer_set(&d->timer, time_after_ns(10 * NSEC_PER_SEC));
}

bool dhcp_conflict(struct netif *netif, const struct ip_addr *addr, bool again)
{
    struct dhcp *d;

    list_for_each(d, &clients, node) {
        if (d->netif != netif || !has_lease(d) || !addr_equal(addr, &d->answer.config.addr))
            continue;
        if (!d->probes && !again)
            return false;
        decline(d);
        return true;
    }
    return false;
}

static void timer_fired(struct timer *t)
{
    struct dhcp *d = container_of(t, struct dhcp, timer);
    u64 now = time_ns();

    switch (d->state) {
    case STOPPED:
        return;
    case DECLINED:
        discover(d);
        return;
    case REQUESTING:
        if (d->tries > 4) {
            discover(d);
            return;
        }
        __attribute__((fallthrough));
    case SELECTING:
        send(d, d->state == SELECTING ? DISCOVER : REQUEST);
        set_retry(d);
        return;
    case BOUND:
    case RENEWING:
    case REBINDING:
        if (d->probes) {
            probe(d);
            return;
        }
        if (now >= d->end_ns) {
            drop_lease(d, "nobody renewed it");
            return;
        }
        if (d->state == BOUND)
            d->xid = (u32)random_u64();
        d->state = now >= d->t2_ns ? REBINDING : RENEWING;
        send(d, REQUEST);
        wait_half(d, d->state == RENEWING ? d->t2_ns : d->end_ns);
    }
}

/* ---- answers ---- */

static u32 get_u32(const u8 *value)
{
    be32 v;
    memcpy(&v, value, 4);
    return be32_get(v);
}

static u32 get_raw(const u8 *value)
{
    u32 v;
    memcpy(&v, value, 4);
    return v;
}

/* Text of an option: what a host name may hold, else nothing. */
static void get_name(char *to, size_t size, const u8 *value, u32 len)
{
    if (len >= size)
        return;
    for (u32 i = 0; i < len; i++) {
        u8 c = value[i];
        bool ok = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' ||
                  c == '.' || c == '_';
        if (!ok && !(c == '\0' && i == len - 1))
            return;
    }
    memcpy(to, value, len);
    to[len] = '\0';
}

/* RFC 3442: width, as many bytes of the destination as that needs, router. */
static void get_routes(struct ip_config *config, const u8 *p, u32 len)
{
    while (len && config->nr_routes < ARRAY_LEN(config->routes)) {
        u32 prefix = p[0], bytes = (prefix + 7) / 8;
        if (prefix > 32 || len < 1 + bytes + 4)
            return;
        u8 dst[4] = {0};
        memcpy(dst, p + 1, bytes);
        u32 router = get_raw(p + 1 + bytes);
        config->routes[config->nr_routes++] = (struct config_route){
            .dst = addr_from_v4(get_raw(dst)),
            .prefix = (u8)prefix,
            .gateway = router ? addr_from_v4(router) : (struct ip_addr){.family = ADDR_NONE}};
        p += 1 + bytes + 4;
        len -= 1 + bytes + 4;
    }
}

static void get_name_servers(struct ip_config *config, const u8 *value, u32 len)
{
    for (; len >= 4 && config->nr_name_servers < ARRAY_LEN(config->name_servers);
         len -= 4, value += 4)
        config->name_servers[config->nr_name_servers++] = addr_from_v4(get_raw(value));
}

static void get_number(struct dhcp_answer *a, u8 code, const u8 *value)
{
    u32 number = get_u32(value);

    switch (code) {
    case OPT_MASK:
        a->config.prefix = number == UINT32_MAX ? 32 : (u8)__builtin_clz(~number);
        break;
    case OPT_ROUTER:
        a->config.gateway = addr_from_v4(get_raw(value));
        break;
    case OPT_SERVER:
        a->server = get_raw(value);
        break;
    case OPT_LEASE:
        a->lease_s = number;
        break;
    case OPT_T1:
        a->t1_s = number;
        break;
    case OPT_T2:
        a->t2_s = number;
        break;
    default:
        break;
    }
}

static void get_option(struct dhcp_answer *a, u8 code, const u8 *value, u32 len)
{
    switch (code) {
    case OPT_TYPE:
        a->type = len ? value[0] : 0;
        break;
    case OPT_DNS:
        get_name_servers(&a->config, value, len);
        break;
    case OPT_HOSTNAME:
        get_name(a->config.hostname, sizeof(a->config.hostname), value, len);
        break;
    case OPT_DOMAIN:
        get_name(a->config.domain, sizeof(a->config.domain), value, len);
        break;
    case OPT_MTU:
        a->config.mtu = len >= 2 ? (u16)(value[0] << 8 | value[1]) : 0;
        break;
    case OPT_ROUTES:
        get_routes(&a->config, value, len);
        break;
    default:
        if (len >= 4)
            get_number(a, code, value);
    }
}

/* Options from @p to @end. Returns what option 52 says: which header fields hold more. */
static u8 get_options(struct dhcp_answer *a, const u8 *p, const u8 *end)
{
    u8 overload = 0;

    while (p < end && *p != OPT_END) {
        if (*p == OPT_PAD) {
            p++;
            continue;
        }
        if (end - p < 2 || end - p < 2 + p[1])
            break;
        if (p[0] == OPT_OVERLOAD && p[1])
            overload = p[2];
        else
            get_option(a, p[0], p + 2, p[1]);
        p += 2 + p[1];
    }
    return overload;
}

static bool decode(const u8 *bytes, u32 len, const struct dhcp *d, struct dhcp_answer *a)
{
    const struct dhcp_hdr *hdr = (const void *)bytes;

    *a = (struct dhcp_answer){0};
    if (len < sizeof(*hdr) || hdr->op != OP_REPLY || hdr->xid.raw != d->xid ||
        be32_get(hdr->magic) != MAGIC || memcmp(hdr->mac, d->netif->mac, 6))
        return false;
    u8 overload = get_options(a, bytes + sizeof(*hdr), bytes + len);
    if (overload & 1)
        get_options(a, hdr->file, hdr->file + sizeof(hdr->file));
    if (overload & 2)
        get_options(a, hdr->server_name, hdr->server_name + sizeof(hdr->server_name));
    a->config.addr = addr_from_v4(hdr->yours.raw);
    if (!a->config.prefix)
        a->config.prefix = 24;
    if (a->config.mtu < IP4_MIN_MTU || a->config.mtu > d->netif->mtu)
        a->config.mtu = 0;
    return true;
}

/* An address that a host can have. */
static bool is_usable(const struct ip_addr *addr)
{
    return !addr_is_any(addr) && !addr_is_multicast(addr) && !addr_is_loopback(addr) &&
           addr_v4(addr) != UINT32_MAX;
}

static void take_offer(struct dhcp *d, const struct dhcp_answer *a)
{
    if (d->state != SELECTING || !a->server || !is_usable(&a->config.addr))
        return;
    d->server = a->server;
    d->offered = addr_v4(&a->config.addr);
    d->state = REQUESTING;
    d->tries = 0;
    send(d, REQUEST);
    set_retry(d);
}

static u64 after_s(u64 now, u64 seconds)
{
    return now + seconds * NSEC_PER_SEC;
}

static void set_times(struct dhcp *d, const struct dhcp_answer *a)
{
    u64 now = time_ns();
    u32 lease = max(a->lease_s, 60u);

    if (a->lease_s == UINT32_MAX || !a->lease_s) { /* for ever */
        d->t1_ns = d->t2_ns = d->end_ns = TIME_NEVER;
        return;
    }
    u32 t1 = a->t1_s && a->t1_s < lease ? a->t1_s : lease / 2;
    u32 t2 = a->t2_s > t1 && a->t2_s < lease ? a->t2_s : (u32)((u64)lease * 7 / 8);
    d->t1_ns = after_s(now, t1);
    d->t2_ns = after_s(now, max(t1, t2));
    d->end_ns = after_s(now, lease);
}

static void take_ack(struct dhcp *d, const struct dhcp_answer *a)
{
    bool fresh = d->state == REQUESTING;

    if (d->state == SELECTING || d->state == BOUND || d->state == DECLINED || d->state == STOPPED ||
        !is_usable(&a->config.addr))
        return;
    bool other = !fresh && !addr_equal(&a->config.addr, &d->answer.config.addr);
    if (other)
        ipconfig_withdraw(d->netif, &d->answer.config);
    d->answer = *a;
    if (a->server)
        d->server = a->server;
    d->state = BOUND;
    set_times(d, a);
    timer_set(&d->timer, d->t1_ns);
    ipconfig_apply(d->netif, &d->answer.config);
    ipconfig_done(d->netif);
    if (fresh || other) {
        d->probes = 0;
        probe(d);
        char text[ADDR_TEXT_MAX];
        log_info("%s: %s/%u by DHCP", d->netif->name, addr_format(&a->config.addr, text),
                 a->config.prefix);
    }
}

static void take_nak(struct dhcp *d)
{
    if (d->state == REQUESTING)
        discover(d);
    else if (d->state == RENEWING || d->state == REBINDING)
        drop_lease(d, "the server refuses it");
}

void dhcp_input(struct pkt *pkt, const struct ip_info *info)
{
    static struct dhcp_answer answer; /* answers come one at a time */
    static u8 bytes[1500];
    u32 len = min(pkt->total, (u32)sizeof(bytes));
    struct dhcp *d;

    pkt_copy_out(pkt, 0, bytes, len);
    list_for_each(d, &clients, node) {
        if (d->netif != info->netif || !decode(bytes, len, d, &answer))
            continue;
        if (answer.type == OFFER)
            take_offer(d, &answer);
        else if (answer.type == ACK)
            take_ack(d, &answer);
        else if (answer.type == NAK)
            take_nak(d);
        return;
    }
}

static struct dhcp *find(const struct netif *netif)
{
    struct dhcp *d;

    list_for_each(d, &clients, node) {
        if (d->netif == netif)
            return d;
    }
    return NULL;
}

void dhcp_stop(struct netif *netif)
{
    struct dhcp *d = find(netif);

    if (!d)
        return;
    (void)timer_cancel(&d->timer); /* set or not, it does not run from here on */
    if (has_lease(d))
        ipconfig_withdraw(netif, &d->answer.config);
    d->probes = 0;
    d->state = STOPPED;
    ipconfig_done(netif);
}

void dhcp_restart(struct netif *netif)
{
    struct dhcp *d = find(netif);

    if (!d || d->state == STOPPED)
        return;
    dhcp_stop(netif);
    discover(d);
}

void dhcp_link_up(struct netif *netif)
{
    struct dhcp *d = find(netif);

    if (!d || d->state != SELECTING)
        return;
    d->tries = 0;
    timer_set(&d->timer, time_ns());
}

void dhcp_start(struct netif *netif)
{
    struct dhcp *d = find(netif);

    if (d) {
        discover(d);
        return;
    }
    d = kzalloc(sizeof(*d));

    if (!d) {
        log_err("%s: no memory for DHCP", netif->name);
        ipconfig_done(netif);
        return;
    }
    d->netif = netif;
    timer_init(&d->timer, timer_fired);
    list_add_tail(&clients, &d->node);
    discover(d);
}
