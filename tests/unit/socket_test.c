/* What all sockets share: which protocol a call means, options, ancillary data, addresses. */
#include "net/socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/panic.h"
#include "net/netif.h"
#include "unit/test.h"

/* ---- what lies below ---- */

static struct netif eth0 = {.name = "eth0", .index = 2};

struct netif *netif_by_name(const char *name)
{
    return strcmp(name, eth0.name) ? NULL : &eth0;
}

struct netif *netif_by_index(u32 index)
{
    return index == eth0.index ? &eth0 : NULL;
}

u64 time_real_ns(void)
{
    return 1234567890123456789ull;
}

void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

/* ---- protocols that are played ---- */

static int told_name; /* the last option of SOL_SOCKET that was told */

static int fake_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    (void)sock, (void)value, (void)len;
    if (level == SOL_SOCKET)
        told_name = name;
    return level == IPPROTO_TCP && name == 1 ? 0 : -ENOPROTOOPT;
}

static const struct proto_ops stream = {
    .family = AF_INET, .type = SOCK_STREAM, .protocol = IPPROTO_TCP, .setopt = fake_setopt};
static const struct proto_ops dgram = {
    .family = AF_INET, .type = SOCK_DGRAM, .protocol = IPPROTO_UDP};
static const struct proto_ops ping = {
    .family = AF_INET, .type = SOCK_DGRAM, .protocol = IPPROTO_ICMP};
static const struct proto_ops raw = {.family = AF_INET, .type = SOCK_RAW};

static void register_all(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    proto_register(&stream);
    proto_register(&dgram);
    proto_register(&ping);
    proto_register(&raw);
}

static int why(int family, int type, int protocol)
{
    int err = 0;
    return proto_find(family, type, protocol, &err) ? 0 : err;
}

TEST(a_protocol_is_found_as_socket_2_does)
{
    int err;

    register_all();
    EXPECT_TRUE(proto_find(AF_INET, SOCK_STREAM, 0, &err) == &stream, "the default");
    EXPECT_TRUE(proto_find(AF_INET, SOCK_DGRAM, 0, &err) == &dgram, "the first is the default");
    EXPECT_TRUE(proto_find(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, &err) == &ping, "by number");
    EXPECT_TRUE(proto_find(AF_INET, SOCK_RAW, 89, &err) == &raw, "raw takes any");
    EXPECT_EQ(why(AF_INET, SOCK_RAW, 0), -EPROTONOSUPPORT, "but none");
    EXPECT_EQ(why(AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT, "of another type");
    EXPECT_EQ(why(AF_INET, SOCK_SEQPACKET, 0), -ESOCKTNOSUPPORT, "no such type");
    EXPECT_EQ(why(AF_PACKET, SOCK_RAW, 0), -EAFNOSUPPORT, "no such family");
}

static int get(struct socket *sock, int name)
{
    int v = -1;
    u32 len = sizeof(v);
    int err = socket_getopt(sock, SOL_SOCKET, name, &v, &len);
    return err ? err : v;
}

static int set(struct socket *sock, int name, int v)
{
    return socket_setopt(sock, SOL_SOCKET, name, &v, sizeof(v));
}

TEST(options_are_kept_and_told)
{
    struct socket sock;
    int v = 1;

    socket_init(&sock, &stream, 0);
    EXPECT_EQ(get(&sock, SO_PROTOCOL), IPPROTO_TCP, "the real number");
    EXPECT_EQ(set(&sock, SO_KEEPALIVE, 5), 0, "");
    EXPECT_EQ(told_name, SO_KEEPALIVE, "the protocol hears of it");
    EXPECT_EQ(get(&sock, SO_KEEPALIVE), 1, "a truth value");
    EXPECT_EQ(set(&sock, SO_RCVBUF, 10000), 0, "");
    EXPECT_EQ(get(&sock, SO_RCVBUF), 20000, "doubled");
    EXPECT_EQ(set(&sock, SO_RCVBUF, INT32_MAX), 0, "");
    EXPECT_EQ(get(&sock, SO_RCVBUF), 425984, "bounded");
    EXPECT_EQ(set(&sock, SO_RCVBUFFORCE, INT32_MAX), 0, "");
    EXPECT_TRUE(get(&sock, SO_RCVBUF) > 0, "does not wrap");
    EXPECT_EQ(set(&sock, SO_SNDBUF, 0), 0, "");
    EXPECT_EQ(get(&sock, SO_SNDBUF), 4608, "at least");
    EXPECT_EQ(set(&sock, 4711, 1), -ENOPROTOOPT, "unknown");
    EXPECT_EQ(socket_setopt(&sock, SOL_SOCKET, SO_LINGER, &v, sizeof(v)), -EINVAL, "too short");
    EXPECT_EQ(socket_setopt(&sock, IPPROTO_TCP, 1, &v, sizeof(v)), 0, "the protocol's");
    EXPECT_EQ(socket_setopt(&sock, IPPROTO_TCP, 2, &v, sizeof(v)), -ENOPROTOOPT, "unknown there");
    EXPECT_EQ(socket_setopt(&sock, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0, "");
    EXPECT_EQ(get(&sock, SO_BINDTOIFINDEX), 2, "by name");
    EXPECT_EQ(socket_setopt(&sock, SOL_SOCKET, SO_BINDTODEVICE, "eth1", 5), -ENODEV, "");
}

TEST(timeouts_are_checked)
{
    struct socket sock;
    s64 tv[2] = {INT64_MAX, 0};

    socket_init(&sock, &dgram, 0);
    EXPECT_EQ(socket_setopt(&sock, SOL_SOCKET, SO_RCVTIMEO, tv, sizeof(tv)), 0, "for ever");
    EXPECT_EQ(sock.options.recv_timeout_ns, 0, "does not wrap");
    tv[0] = 1, tv[1] = 500000;
    EXPECT_EQ(socket_setopt(&sock, SOL_SOCKET, SO_RCVTIMEO, tv, sizeof(tv)), 0, "");
    EXPECT_EQ(sock.options.recv_timeout_ns, 1500000000ull, "");
    tv[1] = 1000000;
    EXPECT_EQ(socket_setopt(&sock, SOL_SOCKET, SO_SNDTIMEO, tv, sizeof(tv)), -EDOM, "");
    EXPECT_EQ(sock_wait_error(-ETIMEDOUT, 5), -EAGAIN, "");
    EXPECT_EQ(sock_wait_error(-EINTR, 5), -EINTR, "never restarted with a timeout");
    EXPECT_EQ(sock_wait_error(-EINTR, 0), -ERESTARTSYS, "");
}

TEST(an_error_is_told_once)
{
    struct socket sock;

    socket_init(&sock, &dgram, 0);
    sock_set_error(&sock, ECONNREFUSED);
    EXPECT_EQ(get(&sock, SO_ERROR), ECONNREFUSED, "");
    EXPECT_EQ(get(&sock, SO_ERROR), 0, "");
}

TEST(ancillary_data_fits_or_is_cut)
{
    u64 buf[5];
    struct sock_msg msg = {.control = buf, .control_len = sizeof(buf)};
    u32 three[3] = {1, 2, 3};
    struct cmsghdr_abi head;

    sock_put_control(&msg, SOL_SOCKET, SCM_CREDENTIALS, three, sizeof(three));
    EXPECT_EQ(msg.control_done, 32, "padded");
    EXPECT_EQ(msg.out_flags, 0, "");
    memcpy(&head, buf, sizeof(head));
    EXPECT_EQ(head.len, 28, "without the padding");
    sock_put_control(&msg, SOL_SOCKET, SCM_CREDENTIALS, three, sizeof(three));
    EXPECT_EQ(msg.control_done, 32, "no room for a header");
    EXPECT_EQ(msg.out_flags, MSG_CTRUNC, "");
    msg = (struct sock_msg){.control = buf, .control_len = 22};
    sock_put_control(&msg, SOL_SOCKET, SCM_CREDENTIALS, three, sizeof(three));
    EXPECT_EQ(msg.control_done, 22, "cut");
    EXPECT_EQ(msg.out_flags, MSG_CTRUNC, "");
    msg = (struct sock_msg){0};
    sock_put_control(&msg, SOL_SOCKET, SCM_CREDENTIALS, three, sizeof(three));
    EXPECT_EQ(msg.out_flags, MSG_CTRUNC, "nowhere to put it");
}

TEST(addresses_go_both_ways)
{
    struct sock_addr addr = {.len = 28};
    struct sockaddr_in6_abi in6 = {.family = AF_INET6, .port = {0x1f, 0x90}};
    struct endpoint end;

    in6.addr[10] = in6.addr[11] = 0xff;
    in6.addr[12] = 10, in6.addr[15] = 1;
    memcpy(addr.bytes, &in6, sizeof(in6));
    EXPECT_EQ(endpoint_from_addr(&addr, AF_INET6, &end), 0, "");
    EXPECT_EQ(end.addr.family, ADDR_INET, "v4-mapped is IPv4");
    EXPECT_EQ(end.port, 8080, "");
    endpoint_to_addr(&end, AF_INET, &addr);
    EXPECT_EQ(addr.len, 16, "");
    EXPECT_EQ(addr.bytes[4], 10, "");
    EXPECT_EQ(endpoint_from_addr(&addr, AF_INET6, &end), -EINVAL, "too short");
    addr.len = 28;
    EXPECT_EQ(endpoint_from_addr(&addr, AF_INET6, &end), -EAFNOSUPPORT, "of another family");
    addr.len = 15;
    EXPECT_EQ(endpoint_from_addr(&addr, AF_INET, &end), -EINVAL, "too short");
}
