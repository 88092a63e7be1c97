/* Start-up of the network, which happens once somebody has use for it. */
#include "core/init.h"
#include "net/neigh.h"
#include "net/net_priv.h"

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
}

void net_start(void)
{
    if (netif_any())
        net_init();
}

int net_wait_configured(void)
{
    return 0;
}

u32 net_name_servers(struct ip_addr out[3])
{
    (void)out;
    return 0;
}
