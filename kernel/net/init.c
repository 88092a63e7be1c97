/* Start-up of the network, which happens once somebody has use for it: the program's first socket,
 * or who asks from outside for a program that has run for a while. A short one does not pay for it.
 */
#include "core/init.h"
#include "core/cmdline.h"
#include "core/time.h"
#include "core/timer.h"
#include "net/config.h"
#include "net/ip6.h"
#include "net/mcast.h"
#include "net/neigh.h"
#include "net/net_priv.h"
#include "net/netlink.h"
#include "net/packet.h"
#include "net/ping.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "net/vsock.h"
#include "sched/wait.h"

static const u64 unasked_ns = 50 * NSEC_PER_MSEC;
static struct mutex lock = {.waiters = LIST_INIT(lock.waiters)};
static bool done; /* [A] */

/* Must not sleep.  False: there is no memory for it now, and nothing has begun. */
static bool init_locked(void)
{
    if (!tcp_init())
        return false;
    slaac_init();
    netif_start_offers();
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
    packet_init();
    vsock_init();
    ipconfig_init();
    return true;
}

static void init_and_unlock(void)
{
    if (!done && init_locked())
        __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    mutex_unlock(&lock);
}

bool net_is_started(void)
{
    return __atomic_load_n(&done, __ATOMIC_ACQUIRE);
}

void net_init(void)
{
    if (likely(net_is_started()))
        return;
    mutex_lock(&lock);
    init_and_unlock();
}

static void init_unasked(struct timer *t)
{
    if (!net_is_started() && mutex_trylock(&lock))
        init_and_unlock();
    if (!net_is_started()) /* out of memory, perhaps not for ever */
        timer_set(t, time_after_ns(NSEC_PER_SEC));
}

void net_start(void)
{
    static struct timer unasked;

    if (!netif_is_offered() || cmdline_get("ingot.net"))
        return;
    timer_init(&unasked, init_unasked);
    timer_set(&unasked, time_after_ns(unasked_ns));
}
