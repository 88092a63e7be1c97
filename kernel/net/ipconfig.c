/* The words ip= and ingot.ip6=, and what they or a lease do to an interface.
 *   ip=dhcp | off | CLIENT:SERVER:GATEWAY:MASK:HOST:DEVICE:AUTOCONF:DNS0:DNS1
 * CLIENT may carry /PREFIX in place of MASK; IPv6 addresses stand in brackets.
 *   ingot.ip6=auto | off | ADDRESS/PREFIX[,GATEWAY]
 * Without ip= an interface asks by DHCP. */
#include "abi/errno.h"
#include "core/cmdline.h"
#include "core/hostname.h"
#include "core/log.h"
#include "core/time.h"
#include "lib/string.h"
#include "net/config.h"
#include "net/ip6.h"
#include "net/net_priv.h"
#include "sched/wait.h"

enum { FIELDS = 9, FIELD_MAX = 64, NAME_SERVERS = 3 };
enum field { CLIENT, SERVER, GATEWAY, MASK, HOST, DEVICE, AUTOCONF, DNS0, DNS1 };
static const u64 wait_ns = 10 * NSEC_PER_SEC;

static struct ip_addr name_servers[NAME_SERVERS]; /* [N] */
static u32 nr_name_servers;                       /* [N] */
static char domain[128];                          /* [N] */
static u64 resolver_changed_ns;                   /* [A] written under N */
static u64 deadline_ns;                           /* [I] of net_wait_configured */
static struct waitq waiting;

u32 net_name_servers(struct ip_addr out[3])
{
    spin_lock(&net_config_lock);
    memcpy(out, name_servers, sizeof(name_servers));
    u32 n = nr_name_servers;
    spin_unlock(&net_config_lock);
    return n;
}

const char *net_domain(void)
{
    return domain;
}

u64 net_resolver_changed_ns(void)
{
    return __atomic_load_n(&resolver_changed_ns, __ATOMIC_ACQUIRE);
}

static void resolver_changed_locked(void)
{
    __atomic_store_n(&resolver_changed_ns, time_ns(), __ATOMIC_RELEASE);
}

/* NAME_SERVERS: it is none of them. */
static u32 find_name_server_locked(const struct ip_addr *addr)
{
    for (u32 i = 0; i < nr_name_servers; i++)
        if (addr_equal(&name_servers[i], addr))
            return i;
    return NAME_SERVERS;
}

int ipconfig_add_name_server(const struct ip_addr *addr)
{
    int err = 0;

    spin_lock(&net_config_lock);
    if (find_name_server_locked(addr) < NAME_SERVERS)
        err = -EEXIST;
    else if (nr_name_servers == NAME_SERVERS)
        err = -ENOSPC;
    else {
        name_servers[nr_name_servers++] = *addr;
        resolver_changed_locked();
    }
    spin_unlock(&net_config_lock);
    return err;
}

/* Those behind it move up: they are asked in this order. */
void ipconfig_remove_name_server(const struct ip_addr *addr)
{
    spin_lock(&net_config_lock);
    u32 at = find_name_server_locked(addr);
    if (at < NAME_SERVERS) {
        nr_name_servers--;
        memmove(&name_servers[at], &name_servers[at + 1],
                (nr_name_servers - at) * sizeof(name_servers[0]));
        resolver_changed_locked();
    }
    spin_unlock(&net_config_lock);
}

static void add_gateway(struct netif *netif, const struct ip_addr *gateway)
{
    struct route_entry line = {
        .dst = {.family = gateway->family}, .gateway = *gateway, .netif = netif};

    if (gateway->family == ADDR_INET) {
        line.dst = addr_from_v4(0);
        netif->gateway4 = *gateway;
    } else {
        netif->gateway6 = *gateway;
    }
    (void)route_add(&line); /* there already, or the table is full of what matters more */
}

static void add_routes(struct netif *netif, const struct ip_config *config)
{
    for (u32 i = 0; i < config->nr_routes; i++) {
        const struct config_route *r = &config->routes[i];
        struct route_entry line = {
            .dst = r->dst, .prefix = r->prefix, .gateway = r->gateway, .netif = netif};
        if (r->prefix == 0)
            netif->gateway4 = r->gateway;
        (void)route_add(&line); /* as above */
    }
}

static void set_domain(const char *name)
{
    spin_lock(&net_config_lock);
    if (strcmp(domain, name)) {
        str_copy(domain, name, sizeof(domain));
        resolver_changed_locked();
    }
    spin_unlock(&net_config_lock);
}

void ipconfig_apply(struct netif *netif, const struct ip_config *config)
{
    if (config->mtu)
        netif->mtu = config->mtu;
    if (config->addr.family)
        (void)netif_add_addr(netif, &config->addr, config->prefix); /* renewed: it has it */
    if (config->nr_routes)
        add_routes(netif, config);
    else if (config->gateway.family)
        add_gateway(netif, &config->gateway);
    for (u32 i = 0; i < config->nr_name_servers; i++)
        (void)ipconfig_add_name_server(&config->name_servers[i]); /* known, or one too many */
    if (config->domain[0])
        set_domain(config->domain);
    if (config->hostname[0] && !cmdline_get("ingot.hostname"))
        str_copy(hostname, config->hostname, sizeof(hostname));
    net_config_changed();
}

void netif_announce(struct netif *netif)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        struct ip_addr addr = netif->addrs[i].addr;
        if (addr.family == ADDR_INET)
            arp_announce(netif, &addr);
        else if (addr.family == ADDR_INET6)
            ndp_announce(netif, &addr);
    }
}

void ipconfig_withdraw(struct netif *netif, const struct ip_config *config)
{
    struct route_entry line = {.dst = addr_from_v4(0), .netif = netif, .gateway = config->gateway};

    for (u32 i = 0; i < config->nr_routes; i++) {
        const struct config_route *r = &config->routes[i];
        struct route_entry other = {
            .dst = r->dst, .prefix = r->prefix, .gateway = r->gateway, .netif = netif};
        (void)route_remove(&other); /* the program may have done so */
    }
    for (u32 i = 0; i < config->nr_name_servers; i++)
        ipconfig_remove_name_server(&config->name_servers[i]);
    (void)route_remove(&line);                     /* likewise */
    (void)netif_remove_addr(netif, &config->addr); /* likewise */
    netif->gateway4.family = ADDR_NONE;
}

void ipconfig_clear(struct netif *netif)
{
    struct route_entry line = {.dst = addr_from_v4(0), .netif = netif, .gateway = netif->gateway4};

    dhcp_stop(netif);
    (void)route_remove(&line); /* there need not be one */
    netif->gateway4.family = ADDR_NONE;
    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        struct ip_addr addr = netif->addrs[i].addr;
        if (addr.family == ADDR_INET)
            (void)netif_remove_addr(netif, &addr); /* the program was quicker */
    }
    spin_lock(&net_config_lock);
    nr_name_servers = 0;
    spin_unlock(&net_config_lock);
}

void ipconfig_done(struct netif *netif)
{
    netif->flags &= ~(u32)NETIF_CONFIGURING;
    net_config_changed();
    waitq_wake_all(&waiting, 0);
}

static int is_configuring(struct netif *netif, void *arg)
{
    (void)arg;
    return (netif->flags & NETIF_CONFIGURING) != 0 &&
           !netif_source(netif, &(struct ip_addr){.family = ADDR_INET});
}

int net_wait_configured(void)
{
    int err = wait_event(&waiting, !netif_for_each(is_configuring, NULL), true, deadline_ns);

    return err == -EINTR ? err : 0;
}

/* ---- the command line ---- */

/* Split at colons that are not inside brackets; the brackets go. Returns the number of fields. */
static u32 split(const char *text, char fields[FIELDS][FIELD_MAX])
{
    u32 n = 0, len = 0;
    bool inside = false;

    memset(fields, 0, FIELDS * FIELD_MAX);
    for (; *text; text++) {
        if (*text == '[' || *text == ']') {
            inside = *text == '[';
        } else if (*text == ':' && !inside) {
            len = 0;
            if (++n == FIELDS)
                return n;
        } else if (len < FIELD_MAX - 1) {
            fields[n][len++] = *text;
        }
    }
    return n + 1;
}

static u8 prefix_of_mask(u32 mask)
{
    return mask == UINT32_MAX ? 32 : (u8)__builtin_clz(~__builtin_bswap32(mask));
}

/* RFC 791's classes, as Linux falls back to. */
static u8 class_prefix(const struct ip_addr *addr)
{
    if (addr->family == ADDR_INET6)
        return 64;
    return addr->bytes[12] < 128 ? 8 : addr->bytes[12] < 192 ? 16 : 24;
}

/* ADDRESS or ADDRESS/PREFIX; *@prefix stays where there is none. */
static bool parse_with_prefix(char *text, struct ip_addr *addr, u8 *prefix)
{
    char *slash = strchr(text, '/');
    u64 value;

    if (slash)
        *slash = '\0';
    if (!addr_parse(text, addr))
        return false;
    if (!slash)
        return true;
    if (str_to_u64(slash + 1, &value) || value > addr_bits(addr))
        return false;
    *prefix = (u8)value;
    return true;
}

/* MASK is a prefix length or a dotted mask. */
static bool parse_mask(const char *text, const struct ip_addr *addr, u8 *prefix)
{
    struct ip_addr mask;
    u64 value;

    if (!str_to_u64(text, &value) && value <= addr_bits(addr)) {
        *prefix = (u8)value;
        return true;
    }
    if (!addr_parse(text, &mask) || mask.family != ADDR_INET)
        return false;
    *prefix = prefix_of_mask(addr_v4(&mask));
    return true;
}

static bool parse_static(char fields[FIELDS][FIELD_MAX], struct ip_config *config)
{
    u8 prefix = UINT8_MAX;

    if (!parse_with_prefix(fields[CLIENT], &config->addr, &prefix))
        return false;
    if (fields[MASK][0] && !parse_mask(fields[MASK], &config->addr, &prefix))
        return false;
    config->prefix = prefix == UINT8_MAX ? class_prefix(&config->addr) : prefix;
    if (fields[GATEWAY][0] && !addr_parse(fields[GATEWAY], &config->gateway))
        return false;
    for (u32 i = DNS0; i <= DNS1; i++) {
        if (!fields[i][0])
            continue;
        if (!addr_parse(fields[i], &config->name_servers[config->nr_name_servers++]))
            return false;
    }
    str_copy(config->hostname, fields[HOST], sizeof(config->hostname));
    return true;
}

static bool is_dhcp(const char *word)
{
    return !strcmp(word, "dhcp") || !strcmp(word, "on") || !strcmp(word, "any") ||
           !strcmp(word, "both");
}

static bool is_off(const char *word)
{
    return !strcmp(word, "off") || !strcmp(word, "none");
}

static void start_dhcp(struct netif *netif)
{
    netif->flags |= NETIF_CONFIGURING;
    dhcp_start(netif);
}

/* One whose link is down will do. */
static struct netif *any_netif(void)
{
    struct netif *netif = netif_default();

    return netif ? netif : netif_by_name("eth0");
}

void ipconfig_configure(const char *text)
{
    static struct ip_config config; /* at start, then by the operator's line: one at a time */
    char fields[FIELDS][FIELD_MAX];
    u32 n = split(text, fields);
    bool one_word = n == 1 && (is_dhcp(fields[0]) || is_off(fields[0]));
    const char *how = one_word ? fields[0] : fields[AUTOCONF];
    struct netif *netif = fields[DEVICE][0] ? netif_by_name(fields[DEVICE]) : any_netif();

    config = (struct ip_config){0};
    if (!netif) {
        log_warn("ip=%s: there is no such interface", text);
        return;
    }
    if (one_word && is_off(how))
        return;
    if (!fields[CLIENT][0] || one_word) {
        if (!is_off(how))
            start_dhcp(netif);
        return;
    }
    if (!parse_static(fields, &config)) {
        log_warn("ip=%s: not an address, or not Linux's syntax", text);
        return;
    }
    ipconfig_apply(netif, &config);
    if (config.addr.family == ADDR_INET)
        arp_announce(netif, &config.addr);
}

static int start_dhcp_on(struct netif *netif, void *arg)
{
    (void)arg;
    if (!(netif->flags & NETIF_LOOPBACK))
        start_dhcp(netif);
    return 0;
}

static int start_slaac_on(struct netif *netif, void *arg)
{
    (void)arg;
    if (!(netif->flags & NETIF_LOOPBACK))
        slaac_start(netif);
    return 0;
}

static void configure6(void)
{
    static struct ip_config config;
    const char *word = cmdline_get("ingot.ip6");
    struct netif *netif = netif_default();
    char text[2 * FIELD_MAX];

    if (word && is_off(word))
        return;
    netif_for_each(start_slaac_on, NULL);
    if (!word || !strcmp(word, "auto"))
        return;
    str_copy(text, word, sizeof(text));
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '\0';
    config.prefix = 64;
    if (!netif || !parse_with_prefix(text, &config.addr, &config.prefix) ||
        (comma && !addr_parse(comma + 1, &config.gateway))) {
        log_warn("ingot.ip6=%s: not ADDRESS/PREFIX[,GATEWAY]", word);
        return;
    }
    ipconfig_apply(netif, &config);
}

void ipconfig_init(void)
{
    const char *word;
    u32 pos = 0;
    bool any = false;

    waitq_init(&waiting);
    deadline_ns = time_after_ns(wait_ns);
    while ((word = cmdline_next("ip", &pos))) {
        any = true;
        ipconfig_configure(word);
    }
    if (!any)
        netif_for_each(start_dhcp_on, NULL);
    configure6();
}
