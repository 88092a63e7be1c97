/* A CPU without work.  Where somebody else may give it some (another CPU, the device process) it
 * looks for a while before it sleeps, as long as that has paid lately: to be woken costs more than
 * most answers take. */
#include "arch/atomic.h"
#include "core/irq.h"
#include "core/time.h"
#include "plat/hosted/hosted.h"

static const u64 spin_least_ns = 5 * NSEC_PER_USEC, spin_most_ns = 40 * NSEC_PER_USEC;

/* True if something became pending meanwhile. */
static bool spin(u64 ns)
{
    u64 end = time_ns() + ns;

    while (!irq_is_pending()) {
        if (time_ns() >= end)
            return false;
        for (u32 i = 0; i < 16; i++)
            cpu_relax();
    }
    return true;
}

/* As long as sleeps are short, looking would have been cheaper. */
static void learn(struct hosted_vcpu *own, u64 slept_ns)
{
    if (slept_ns <= spin_most_ns)
        own->spin_ns = own->spin_ns ? min(2 * own->spin_ns, spin_most_ns) : spin_least_ns;
    else
        own->spin_ns /= 2;
    if (own->spin_ns < spin_least_ns)
        own->spin_ns = 0;
}

/* Who gives us work sets the bit, then asks how we rest: we tell it before we look for the last
 * time. */
static void rest(struct hosted_vcpu *own)
{
    __atomic_store_n(&own->rest, REST_LOOKS, __ATOMIC_SEQ_CST);
    if (own->spin_ns && spin(own->spin_ns))
        return;
    u64 start = time_ns();
    hosted_devices_sleep();
    __atomic_store_n(&own->rest, REST_SLEEPS, __ATOMIC_SEQ_CST);
    hosted_streams_wait();
    hosted_devices_wake();
    learn(own, time_ns() - start);
}

void hosted_idle(void)
{
    struct hosted_vcpu *own = this_vcpu();

    if (!plat.window && cpu_count == 1) {
        hosted_streams_wait();
        return;
    }
    rest(own);
    __atomic_store_n(&own->rest, REST_NONE, __ATOMIC_SEQ_CST);
}
