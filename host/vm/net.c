/* --net, --publish: words in, checks before anything starts. */
#include "vm/net.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/err.h"
#include "lib/fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    ENDING_MS = 500, /* patience with what holds a port */
};

/* The network that QEMU's user mode plays: documented, and the same everywhere. */
#define USER_ADDRESS "10.0.2.15"
#define USER_MASK    "255.255.255.0"
#define USER_GATEWAY "10.0.2.2"
#define USER_DNS     "10.0.2.3"

/* Locally administered, in QEMU's own range. */
void vm_net_random_mac(u8 mac[6])
{
    static const u8 prefix[3] = {0x52, 0x54, 0x00};

    memcpy(mac, prefix, sizeof(prefix));
    if (getrandom(mac + 3, 3, 0) != 3)
        memset(mac + 3, 0x56, 3); /* before the pool is up: any will do */
}

static bool net_is_ip(const char *text)
{
    struct in_addr addr;

    return inet_pton(AF_INET, text, &addr) == 1;
}

static int net_set_ip(char out[16], const char *key, const char *text, struct err *err)
{
    if (!net_is_ip(text))
        return err_set(err, ERR_USAGE, "--net: %s='%s' is no IPv4 address", key, text);
    snprintf(out, 16, "%s", text);
    return 0;
}

static int net_set_address(struct vm_net *net, char *text, struct err *err)
{
    char *slash = strchr(text, '/'), *end;
    unsigned long prefix = slash ? strtoul(slash + 1, &end, 10) : 24;

    if (slash && (!slash[1] || *end || prefix < 1 || prefix > 32))
        return err_set(err, ERR_USAGE, "--net: ip='%s' wants a prefix of 1 to 32 behind '/'", text);
    if (slash)
        *slash = 0;
    struct in_addr mask = {htonl(0xffffffffu << (32 - prefix))};
    if (!inet_ntop(AF_INET, &mask, net->mask, sizeof(net->mask)))
        return err_errno(err, errno, "--net");
    net->dhcp = false;
    return net_set_ip(net->address, "ip", text, err);
}

static int net_set_mac(struct vm_net *net, const char *text, struct err *err)
{
    u8 *m = net->mac;
    int end = 0;

    if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", m, m + 1, m + 2, m + 3, m + 4, m + 5,
               &end) != 6 ||
        text[end] || (m[0] & 1))
        return err_set(err, ERR_USAGE, "--net: mac='%s' is no address of one host", text);
    return 0;
}

static int net_set(struct vm_net *net, char *word, struct err *err)
{
    char *value = strchr(word, '=');

    if (!value)
        return err_set(err, ERR_USAGE, "--net: '%s' wants a value: ip=, gw=, dns= or mac=", word);
    *value++ = 0;
    if (strcmp(word, "ip") == 0)
        return net_set_address(net, value, err);
    if (strcmp(word, "gw") == 0)
        return net_set_ip(net->gateway, word, value, err);
    if (strcmp(word, "dns") == 0)
        return net_set_ip(net->dns, word, value, err);
    if (strcmp(word, "mac") == 0)
        return net_set_mac(net, value, err);
    return err_set(err, ERR_USAGE, "--net: unknown word '%s'; there are ip, gw, dns and mac", word);
}

static int net_parse_tap(struct vm_net *net, const char *text, struct err *err)
{
    char *words CLEANUP(mem_free) = str_dup(text), *rest = words;
    const char *name = strsep(&rest, ",");

    if (!*name || strlen(name) >= sizeof(net->ifname))
        return err_set(err, ERR_USAGE, "--net: 'tap:' wants the name of an interface");
    snprintf(net->ifname, sizeof(net->ifname), "%s", name);
    net->kind = VM_NET_TAP;
    net->dhcp = true;
    for (char *word; (word = strsep(&rest, ","));) {
        int failed = net_set(net, word, err);
        if (failed)
            return failed;
    }
    return 0;
}

int vm_net_parse(struct vm_net *net, const char *text, struct err *err)
{
    vm_net_random_mac(net->mac);
    if (text && strcmp(text, "none") == 0)
        return 0;
    if (text && strncmp(text, "tap:", 4) == 0)
        return net_parse_tap(net, text + 4, err);
    if (text && strcmp(text, "user") != 0)
        return err_set(err, ERR_USAGE, "--net: '%s' is none of none, user and tap:NAME", text);
    net->kind = VM_NET_USER;
    snprintf(net->address, sizeof(net->address), USER_ADDRESS);
    snprintf(net->mask, sizeof(net->mask), USER_MASK);
    snprintf(net->gateway, sizeof(net->gateway), USER_GATEWAY);
    snprintf(net->dns, sizeof(net->dns), USER_DNS);
    return 0;
}

/* 1 to 65535, or 0 if it is no port. */
static u16 net_port(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    return *text >= '0' && *text <= '9' && !*end && value <= 65535 ? (u16)value : 0;
}

/* "[[IP:][HOST]:]GUEST[/tcp|/udp]"; a host port that is not named is 0. */
static int net_parse_port(const char *text, struct vm_port *port, struct err *err)
{
    char *words CLEANUP(mem_free) = str_dup(text);
    char *protocol = strchr(words, '/');

    *port = (struct vm_port){.host_ip = "0.0.0.0"};
    if (protocol) {
        *protocol++ = 0;
        port->udp = strcmp(protocol, "udp") == 0;
        if (!port->udp && strcmp(protocol, "tcp") != 0)
            return err_set(err, ERR_USAGE, "--publish: '%s': '%s' is neither tcp nor udp", text,
                           protocol);
    }
    char *guest = strrchr(words, ':');
    if (guest)
        *guest++ = 0;
    char *host = guest ? strrchr(words, ':') : NULL;
    if (host) {
        *host++ = 0;
        if (!net_is_ip(words))
            return err_set(err, ERR_USAGE, "--publish: '%s': '%s' is no IPv4 address", text, words);
        snprintf(port->host_ip, sizeof(port->host_ip), "%s", words);
    } else if (guest) {
        host = words;
    }
    port->guest = net_port(guest ? guest : words);
    port->host = host ? net_port(host) : 0;
    if (!port->guest || (host && *host && !port->host && strcmp(host, "0") != 0))
        return err_set(err, ERR_USAGE, "--publish: '%s': ports are 1 to 65535, as HOST:GUEST",
                       text);
    return 0;
}

int vm_net_publish(struct vm_net *net, const char *text, struct err *err)
{
    struct vm_port port;
    int failed = net_parse_port(text, &port, err);

    if (!failed && !port.host)
        failed = err_set(err, ERR_USAGE, "--publish: '%s' wants HOST:GUEST", text);
    if (failed)
        return failed;
    net->ports = mem_resize(net->ports, net->nr_ports + 1, sizeof(port));
    net->ports[net->nr_ports++] = port;
    return 0;
}

static int net_pick_port(struct vm_port *port, struct err *err)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);
    int fd CLEANUP(fd_close) =
        socket(AF_INET, (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

    if (fd < 0 || inet_pton(AF_INET, port->host_ip, &addr.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return err_errno(err, errno, "--publish: a free port of %s", port->host_ip);
    port->host = ntohs(addr.sin_port);
    return 0;
}

char *vm_net_settle_port(const char *text, bool *picked, struct err *err)
{
    struct vm_port port;

    *picked = false;
    if (net_parse_port(text, &port, err))
        return NULL;
    if (!port.host) {
        if (net_pick_port(&port, err))
            return NULL;
        *picked = true;
    }
    return str_printf("%s:%u:%u/%s", port.host_ip, port.host, port.guest, port.udp ? "udp" : "tcp");
}

/* Who has it may have been killed a moment ago, and ends in its turn. 0, or a negative errno. */
static int bind_soon(int fd, const struct sockaddr_in *addr)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000000L};
    u64 deadline = ticks_ms() + ENDING_MS;

    while (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
        if (errno != EADDRINUSE || ticks_ms() >= deadline)
            return -errno;
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* Bound once and let go: what another program takes in between, the VMM reports. */
static int net_check_port(const struct vm_port *port, struct err *err)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port->host)};
    int fd CLEANUP(fd_close) =
        socket(AF_INET, (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0 || inet_pton(AF_INET, port->host_ip, &addr.sin_addr) != 1)
        return err_errno(err, errno, "--publish");
    if (!port->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return err_errno(err, errno, "--publish");
    int failed = bind_soon(fd, &addr);
    if (!failed)
        return 0;
    if (failed == -EADDRINUSE)
        return err_set(err, EADDRINUSE, "--publish: port %u of %s is taken; choose another",
                       port->host, port->host_ip);
    return err_errno(err, -failed, "--publish: port %u of %s", port->host, port->host_ip);
}

/* The VMM writes it; here it is only made. */
static int net_check_pcap(const struct vm_net *net, struct err *err)
{
    if (net->kind == VM_NET_NONE)
        return err_set(err, EINVAL, "--pcap: there is no network to capture");
    int fd CLEANUP(fd_close) = open(net->pcap, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return fd < 0 ? err_errno(err, errno, "--pcap: %s", net->pcap) : 0;
}

int vm_net_check(const struct vm_net *net, struct err *err)
{
    int failed = net->pcap ? net_check_pcap(net, err) : 0;

    if (failed)
        return failed;
    if (net->nr_ports && net->kind == VM_NET_NONE)
        return err_set(err, EINVAL, "--publish: --net none has no ports; leave it out");
    if (net->nr_ports && net->kind != VM_NET_USER)
        return err_set(err, EINVAL,
                       "--publish: only --net user forwards ports; "
                       "on a tap, connect to the guest's own address");
    for (size_t i = 0; i < net->nr_ports && !net->moving; i++) {
        failed = net_check_port(&net->ports[i], err);
        if (failed)
            return failed;
    }
    if (net->kind != VM_NET_TAP)
        return 0;
    int fd CLEANUP(fd_close) = vm_net_open_tap(net, true, err);
    return min(fd, 0);
}

/* Whether a tap has several queues was said when it was made, and must be said again. */
static int net_attach_tap(int fd, const struct vm_net *net, short more_flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | more_flags)};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", net->ifname);
    return ioctl(fd, TUNSETIFF, &request);
}

unsigned vm_net_queues(const struct vm_net *net, unsigned cpus)
{
    if (!net || net->kind != VM_NET_TAP || cpus < 2 || !if_nametoindex(net->ifname))
        return 1;
    if (net->pcap) /* QEMU captures from one queue only */
        return 1;
    int fd CLEANUP(fd_close) = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0 || net_attach_tap(fd, net, IFF_VNET_HDR | IFF_MULTI_QUEUE) < 0)
        return 1;
    return min(cpus, (unsigned)VM_NET_MAX_QUEUES);
}

int vm_net_open_tap(const struct vm_net *net, bool offloads, struct err *err)
{
    short flags = offloads ? IFF_VNET_HDR : 0;

    if (!if_nametoindex(net->ifname))
        return err_set(err, ENODEV,
                       "--net: no interface '%s'; make it with: ip tuntap add %s mode tap user %u",
                       net->ifname, net->ifname, getuid());
    int fd CLEANUP(fd_close) = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "--net: /dev/net/tun");
    if (net_attach_tap(fd, net, flags) < 0 &&
        (errno != EINVAL || net_attach_tap(fd, net, flags | IFF_MULTI_QUEUE) < 0))
        return err_errno(err, errno, "--net: tap '%s'", net->ifname);
    return TAKE(fd, -1);
}

char *vm_net_word(const struct vm_net *net, const char *hostname)
{
    if (net->kind == VM_NET_NONE)
        return NULL;
    if (net->dhcp)
        return str_dup("ip=dhcp");
    return str_printf("ip=%s::%s:%s:%s:eth0:off%s%s", net->address, net->gateway, net->mask,
                      hostname ? hostname : "", *net->dns ? ":" : "", net->dns);
}

void vm_net_fini(struct vm_net *net)
{
    mem_free(&net->ports);
}
