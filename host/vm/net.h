/* The guest's network as the user asks for it: --net, --publish, --pcap.  Parsing and everything
 * that can be checked before a guest starts. */
#pragma once

#include "lib/types.h"

struct err;
struct strs;

enum vm_net_kind {
    VM_NET_NONE, /* no interface at all */
    VM_NET_USER, /* the VMM speaks for the guest, as any program of this user could */
    VM_NET_TAP,  /* an interface of the host's */
};

/** A port of the host that leads to one of the guest's. */
struct vm_port {
    char host_ip[48]; /* numeric IPv4 */
    u16 host, guest;
    bool udp;
};

/** Zero is no network. Strings are owned; free with vm_net_fini(). */
struct vm_net {
    enum vm_net_kind kind;
    char ifname[16];                                  /* of the tap */
    char address[16], mask[16], gateway[16], dns[16]; /* IPv4, dotted; "" where not given */
    bool dhcp;                                        /* the guest asks for its address */
    u8 mac[6];
    struct vm_port *ports;
    size_t nr_ports;
    bool moving;  /* another guest has the ports for now; they are published when it lets go */
    bool late;    /* they are published when there is a guest that answers, and not before */
    bool unasked; /* there only in case: nobody can ask from outside, and few programs do inside */
    const char *pcap; /* borrowed: file for a capture, or NULL */
};

/**
 * Take in --net: "none", "user", or
 * "tap:NAME[,ip=ADDRESS/PREFIX][,gw=ADDRESS][,dns=ADDRESS][,mac=MAC]". NULL is "user". Without ip=
 * a tap guest asks by DHCP. Errors: ERR_USAGE, with the word that was wrong.
 */
int vm_net_parse(struct vm_net *net, const char *text, struct err *err);

/** An address that no other guest has. */
void vm_net_random_mac(u8 mac[6]);

/** Take in one --publish: "[IP:]HOST:GUEST[/tcp|/udp]". Errors: ERR_USAGE. */
int vm_net_publish(struct vm_net *net, const char *text, struct err *err);

/**
 * One --publish in full, for vm_net_publish(); "GUEST", "0:GUEST" and "IP::GUEST" get a port of
 * this machine that is free now.
 * @picked: whether that was so
 * Returns a text that the caller frees, or NULL: ERR_USAGE, or no port is free.
 */
char *vm_net_settle_port(const char *text, bool *picked, struct err *err);

/**
 * Look whether it can be: ports are free, the tap is there and ours to open. Errors: EINVAL for
 * ports that nothing forwards, EADDRINUSE, ENODEV, EPERM, and what to do.
 */
int vm_net_check(const struct vm_net *net, struct err *err);

/**
 * Open the tap, or one more queue of a tap of several. A descriptor, or a negative errno.
 * @offloads: virtio's header lies before each frame (IFF_VNET_HDR), checksums and segments are left
 * to who has the frame last
 */
int vm_net_open_tap(const struct vm_net *net, bool offloads, struct err *err);

enum { VM_NET_MAX_QUEUES = 8 };

/**
 * How many queues a guest of @cpus gets: one a CPU, up to VM_NET_MAX_QUEUES, of a tap that was made
 * with `multi_queue`; of any other network one.
 */
unsigned vm_net_queues(const struct vm_net *net, unsigned cpus);

/** The kernel's `ip=` word for this network, without a blank; the caller frees it. NULL: none. */
char *vm_net_word(const struct vm_net *net, const char *hostname);

/** Free its list of ports. */
void vm_net_fini(struct vm_net *net);
