/* Start-up of the network, which happens once somebody has use for it. */
#include "core/init.h"
#include "net/config.h"
#include "net/mcast.h"
#include "net/neigh.h"
#include "net/net_priv.h"
#include "net/netlink.h"
#include "net/ping.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "sched/wait.h"

static void init(void)
{
    neigh_init();
    frag_init();
    ip4_init();
    icmp_init();
    icmp6_init();
    mcast_init();
    loopback_init();
    udp_init();
    netlink_init();
    raw_init();
    tcp_init();
    ipconfig_init();
}

void net_init(void)
{
    static struct mutex lock = {.waiters = LIST_INIT(lock.waiters)};
    static bool done; /* [A] */

    if (likely(__atomic_load_n(&done, __ATOMIC_ACQUIRE)))
        return;
    mutex_lock(&lock);
    if (!done)
        init();
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    mutex_unlock(&lock);
}

void net_start(void)
{
    if (netif_any())
        net_init();
}
