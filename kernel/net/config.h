/* How the interfaces get their addresses: ip= as Linux's nfsroot document has it, DHCP, and what
 * both leave behind for the program: name servers and a domain. */
#pragma once

#include "net/netif.h"

/** Read ip= and ingot.ip6=, set fixed addresses, start DHCP where it is asked for. By net_init. */
void ipconfig_init(void);

/* What a fixed configuration or a lease says about an interface. */
struct ip_config {
    struct ip_addr addr, gateway; /* family 0: none */
    u8 prefix;
    u16 mtu; /* 0: as it is */
    struct ip_addr name_servers[3];
    u32 nr_name_servers;
    char domain[128];  /* "": none */
    char hostname[64]; /* "": none */
    struct config_route {
        struct ip_addr dst, gateway;
        u8 prefix;
    } routes[16]; /* option 121; in place of .gateway */
    u32 nr_routes;
};

/** One more ip= word, after the start. */
void ipconfig_configure(const char *word);
/** Take all of an interface's IPv4 away, and the name servers; nobody asks for a lease any more. */
void ipconfig_clear(struct netif *netif);

/** Make it so; what the interface had by an earlier call for this family is gone. */
void ipconfig_apply(struct netif *netif, const struct ip_config *config);
/** Take all of it back. */
void ipconfig_withdraw(struct netif *netif, const struct ip_config *config);
/** DHCP on this interface has an answer (or has given up for now): who waits goes on. */
void ipconfig_done(struct netif *netif);
/** Add a name server. 0, -EEXIST, -ENOSPC. */
int ipconfig_add_name_server(const struct ip_addr *addr);
void ipconfig_remove_name_server(const struct ip_addr *addr);
/** The domain to search in, "" for none; static. */
const char *net_domain(void);

/* dhcp.c */
struct pkt;
struct ip_info;
/** Ask for a lease on @netif, and keep it from then on; once more if it was stopped. */
void dhcp_start(struct netif *netif);
/** Ask for another lease, if one was asked for at all. */
void dhcp_restart(struct netif *netif);
/** Give the lease up and ask for none. */
void dhcp_stop(struct netif *netif);
/** The link has come back: who asks in vain asks at once. */
void dhcp_link_up(struct netif *netif);
/**
 * Another host uses @addr of @netif's. True: it was a lease, and it has been declined because
 * nobody is sure of it yet, or because the other host has not given in (@again).
 */
bool dhcp_conflict(struct netif *netif, const struct ip_addr *addr, bool again);
/** A datagram for the client's port, .data at its payload. Borrows @pkt. */
void dhcp_input(struct pkt *pkt, const struct ip_info *info);
