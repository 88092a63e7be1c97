/* A machine that goes on as another one: a copy of a snapshot, on the network of its original. It
 * gets a MAC address, and gives up what it had by the old one: leases, what routers told, addresses
 * that were made of it. Its link is down meanwhile, if whoever operates it is careful. */
#include "net/identity.h"

#include "abi/errno.h"
#include "core/log.h"
#include "lib/string.h"
#include "net/config.h"
#include "net/ip6.h"
#include "net/net_priv.h"

static int is_real(struct netif *netif, void *found)
{
    if (netif->flags & NETIF_LOOPBACK)
        return 0;
    *(struct netif **)found = netif;
    return 1;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

bool net_parse_mac(const char *text, u8 mac[6])
{
    for (u32 i = 0; i < 6; i++, text += 3) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0 || text[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (u8)(high << 4 | low);
    }
    return !(mac[0] & 1);
}

int net_change_identity(const u8 mac[6], const char *word)
{
    struct netif *netif = NULL;

    net_init(); /* by the old address, which is changed like any other */
    if (!netif_for_each(is_real, &netif))
        return -ENODEV;
    bool has_ip6 = slaac_stop(netif);
    if (word)
        ipconfig_clear(netif);
    netif_flush_all(); /* goodbyes by the old address end where there is no link, not after it */
    spin_lock(&net_config_lock);
    memcpy(netif->mac, mac, 6);
    spin_unlock(&net_config_lock);
    net_config_changed();
    if (has_ip6)
        slaac_restart(netif);
    if (word)
        ipconfig_configure(word);
    else
        dhcp_restart(netif);
    log_info("%s: is another machine's now", netif->name);
    return 0;
}
