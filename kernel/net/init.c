/* Start-up of the network, which happens once somebody has use for it. */
#include "core/init.h"
#include "net/config.h"
#include "net/neigh.h"
#include "net/net_priv.h"
#include "net/udp.h"

void net_init(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    neigh_init();
    frag_init();
    ip4_init();
    icmp_init();
    loopback_init();
    udp_init();
    ipconfig_init();
}

void net_start(void)
{
    if (netif_any())
        net_init();
}
