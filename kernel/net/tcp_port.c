/* Ports: which ones bind(2) has given out, and which ones connect(2) tries.  Only sockets that were
 * bound are known here; connections that listeners accept, and those that connect without a bind,
 * need no more than that their four numbers are their own.  RFC 6056. */
#include "core/random.h"
#include "lib/string.h"
#include "net/tcp_priv.h"

enum { BUCKETS = 64, PORT_FIRST = 32768, PORT_LAST = 60999, COUNTERS = 256 };

static struct spinlock ports_lock;
static struct list_head buckets[BUCKETS]; /* [ports_lock] connections by .bind_node */
static bool ready;                        /* [ports_lock] */
static struct siphash_key offset_key;     /* [I] with .ready */
static u32 counters[COUNTERS];            /* [A] RFC 6056 3.3.4 */

static struct list_head *bucket_of(u16 port)
{
    return &buckets[port % BUCKETS];
}

static void lock_ports(void)
{
    spin_lock(&ports_lock);
    if (likely(ready))
        return;
    random_bytes(&offset_key, sizeof(offset_key));
    for (u32 i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
    __atomic_store_n(&ready, true, __ATOMIC_RELEASE);
}

/* The families that a socket at @addr hears: bit 0 IPv4, bit 1 IPv6. */
static u32 families(const struct tcp_conn *c, const struct ip_addr *addr)
{
    if (addr->family)
        return addr->family == ADDR_INET ? 1 : 2;
    if (c->sock->family == AF_INET || c->v4_any)
        return 1;
    return c->v6only ? 2 : 3;
}

static bool overlap(const struct tcp_conn *a, const struct ip_addr *addr, const struct tcp_conn *b)
{
    if (!(families(a, addr) & families(b, &b->bind_addr)))
        return false;
    return !addr->family || !b->bind_addr.family || addr_equal(addr, &b->bind_addr);
}

static bool tolerate(const struct tcp_conn *a, const struct tcp_conn *b)
{
    const struct sock_options *x = &a->sock->options, *y = &b->sock->options;

    return (x->reuse_port && y->reuse_port) ||
           (x->reuse_addr && y->reuse_addr && b->state != TCP_LISTEN);
}

static bool is_free(const struct tcp_conn *c, const struct ip_addr *addr, u16 port, bool share)
{
    struct tcp_conn *other;

    list_for_each(other, bucket_of(port), bind_node) {
        if (other == c || other->bind_port != port || !other->sock)
            continue;
        if (overlap(c, addr, other) && !(share && tolerate(c, other)))
            return false;
    }
    return true;
}

static u16 find_free(const struct tcp_conn *c, const struct ip_addr *addr)
{
    u32 range = PORT_LAST - PORT_FIRST + 1, start = (u32)random_below(range);

    for (u32 i = 0; i < range; i++) {
        u16 port = (u16)(PORT_FIRST + (start + i) % range);
        if (is_free(c, addr, port, false))
            return port;
    }
    return 0;
}

int tcp_port_bind(struct tcp_conn *c, const struct ip_addr *addr, u16 port)
{
    int err = -EADDRINUSE;

    lock_ports();
    if (c->bind_port) { /* another thread was quicker */
        spin_unlock(&ports_lock);
        return -EINVAL;
    }
    if (!port)
        port = find_free(c, addr);
    else if (!is_free(c, addr, port, true))
        port = 0;
    if (port) {
        err = 0;
        c->bind_addr = *addr;
        c->bind_port = port;
        list_add_tail(bucket_of(port), &c->bind_node);
    }
    spin_unlock(&ports_lock);
    return err;
}

void tcp_port_release(struct tcp_conn *c)
{
    if (!c->bind_port)
        return;
    lock_ports();
    list_remove(&c->bind_node);
    c->bind_port = 0;
    spin_unlock(&ports_lock);
}

bool tcp_port_may_listen(struct tcp_conn *c)
{
    struct tcp_conn *other;
    bool may = true;

    lock_ports();
    list_for_each(other, bucket_of(c->bind_port), bind_node) {
        if (other == c || other->bind_port != c->bind_port || other->state != TCP_LISTEN ||
            !other->sock || !overlap(c, &c->bind_addr, other))
            continue;
        may &= c->sock->options.reuse_port && other->sock->options.reuse_port;
    }
    spin_unlock(&ports_lock);
    return may;
}

bool tcp_port_is_bound(u16 port)
{
    const struct tcp_conn *c;
    bool found = false;

    lock_ports();
    list_for_each(c, bucket_of(port), bind_node) {
        if (c->bind_port == port) {
            found = true;
            break;
        }
    }
    spin_unlock(&ports_lock);
    return found;
}

u16 tcp_port_candidate(const struct flow *flow, u32 attempt)
{
    u64 words[5] = {flow->local[0], flow->local[1], flow->remote[0], flow->remote[1],
                    flow->remote_port};
    u32 range = PORT_LAST - PORT_FIRST + 1;

    if (attempt >= range)
        return 0;
    if (unlikely(!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))) {
        lock_ports();
        spin_unlock(&ports_lock);
    }
    u64 offset = siphash(&offset_key, words, ARRAY_LEN(words));
    u32 count = __atomic_fetch_add(&counters[(offset >> 32) % COUNTERS], 1, __ATOMIC_RELAXED);
    return (u16)(PORT_FIRST + ((u32)offset + count) % range);
}
