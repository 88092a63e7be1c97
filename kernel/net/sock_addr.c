/* Socket addresses of the two internet families. */
#include "net/socket.h"

#include "lib/string.h"

static void set_ipv4(struct ip_addr *addr, const u8 bytes[4])
{
    memset(addr, 0, sizeof(*addr));
    addr->bytes[10] = addr->bytes[11] = 0xff;
    memcpy(addr->bytes + 12, bytes, 4);
    addr->family = ADDR_INET;
}

static bool is_mapped(const u8 bytes[16])
{
    static const u8 prefix[12] = {[10] = 0xff, [11] = 0xff};

    return !memcmp(bytes, prefix, sizeof(prefix));
}

static int from_inet(const struct sock_addr *addr, struct endpoint *out)
{
    struct sockaddr_in_abi in;

    if (addr->len < sizeof(in))
        return -EINVAL;
    memcpy(&in, addr->bytes, sizeof(in));
    if (in.family != AF_INET)
        return -EAFNOSUPPORT;
    set_ipv4(&out->addr, in.addr);
    out->port = (u16)(in.port[0] << 8 | in.port[1]);
    out->scope = 0;
    return 0;
}

static int from_inet6(const struct sock_addr *addr, struct endpoint *out)
{
    struct sockaddr_in6_abi in = {0};

    if (addr->len < SOCKADDR_IN6_MIN)
        return -EINVAL;
    memcpy(&in, addr->bytes, min((size_t)addr->len, sizeof(in)));
    if (in.family != AF_INET6)
        return -EAFNOSUPPORT;
    out->port = (u16)(in.port[0] << 8 | in.port[1]);
    out->scope = in.scope;
    if (is_mapped(in.addr)) {
        set_ipv4(&out->addr, in.addr + 12);
        return 0;
    }
    memcpy(out->addr.bytes, in.addr, sizeof(in.addr));
    out->addr.family = ADDR_INET6;
    return 0;
}

int endpoint_from_addr(const struct sock_addr *addr, int family, struct endpoint *out)
{
    return family == AF_INET ? from_inet(addr, out) : from_inet6(addr, out);
}

void endpoint_to_addr(const struct endpoint *from, int family, struct sock_addr *out)
{
    u8 port[2] = {(u8)(from->port >> 8), (u8)from->port};

    if (family == AF_INET) {
        struct sockaddr_in_abi in = {.family = AF_INET, .port = {port[0], port[1]}};
        if (from->addr.family)
            memcpy(in.addr, from->addr.bytes + 12, sizeof(in.addr));
        memcpy(out->bytes, &in, sizeof(in));
        out->len = sizeof(in);
        return;
    }
    struct sockaddr_in6_abi in6 = {.family = AF_INET6, .port = {port[0], port[1]}};
    if (from->addr.family)
        memcpy(in6.addr, from->addr.bytes, sizeof(in6.addr));
    in6.scope = from->scope;
    memcpy(out->bytes, &in6, sizeof(in6));
    out->len = sizeof(in6);
}
