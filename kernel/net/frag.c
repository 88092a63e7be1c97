/* Fragments of both versions. Joining: RFC 815's aim by a sorted list; what overlaps kills the
 * whole datagram (RFC 5722, which Linux keeps for IPv4 too), an exact repetition is ignored.
 * Bounded in memory, number and time; the oldest goes first. Cutting: RFC 791. */
#include "abi/errno.h"
#include "core/spinlock.h"
#include "core/time.h"
#include "core/timer.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum {
    MAX_DATAGRAMS = 64,
    MAX_FRAGMENTS = 128, /* of one datagram */
    MAX_BYTES = 1 << 20, /* that all of them hold */
};
static const u64 lifetime_ns = 30 * NSEC_PER_SEC; /* Linux's; RFC 8200 allows up to 60 */

/* A datagram with holes. Its fragments carry their place in .seq and .end_seq. [L] */
struct datagram {
    struct list_head node; /* by age */
    struct frag_key key;
    struct netif *netif;
    struct list_head fragments; /* sorted */
    u32 nr_fragments, bytes, truesize;
    u32 end; /* length in all; 0: the last fragment is not here yet */
    u64 until_ns;
};

static struct spinlock lock;                              /* a leaf but for memory */
static struct list_head datagrams = LIST_INIT(datagrams); /* [L] the oldest first */
static u32 nr_datagrams, bytes_held;                      /* [L] */
static struct timer timer;

static bool is_v4(const struct frag_key *key)
{
    return key->src.family == ADDR_INET;
}

static void count_fail(const struct frag_key *key)
{
    if (is_v4(key))
        NET_COUNT(ip_reasm_fails);
    else
        NET_COUNT(ip6_reasm_fails);
}

static void unlink_locked(struct datagram *d)
{
    list_remove(&d->node);
    nr_datagrams--;
    bytes_held -= d->truesize;
}

static void destroy(struct datagram *d)
{
    pkt_free_list(&d->fragments);
    kfree(d);
}

static void drop_locked(struct datagram *d)
{
    count_fail(&d->key);
    unlink_locked(d);
    destroy(d);
}

/* RFC 792: only who holds the first fragment tells the sender that time is up. */
static void time_out(struct datagram *d)
{
    struct ip_info info = {.src = d->key.src,
                           .dst = d->key.dst,
                           .protocol = d->key.protocol,
                           .id = (u16)d->key.id,
                           .netif = d->netif,
                           .ttl = 1};

    if (is_v4(&d->key))
        NET_COUNT(ip_reasm_timeout);
    else
        NET_COUNT(ip6_reasm_timeout);
    count_fail(&d->key);
    if (!list_empty(&d->fragments)) {
        struct pkt *first = list_first(&d->fragments, struct pkt, node);
        if (first->seq == 0)
            icmp_send_error(first, &info, WHY_REASSEMBLY_TIME, 0);
    }
    destroy(d);
}

static void expire(struct timer *t)
{
    struct list_head old = LIST_INIT(old);
    struct datagram *d, *tmp;
    u64 now = time_ns(), next = TIME_NEVER;

    spin_lock(&lock);
    list_for_each_safe(d, tmp, &datagrams, node)
    {
        if (d->until_ns > now) {
            next = d->until_ns;
            break;
        }
        unlink_locked(d);
        list_add_tail(&old, &d->node);
    }
    spin_unlock(&lock);
    list_for_each_safe(d, tmp, &old, node) time_out(d);
    timer_set(t, next);
}

static bool key_equal(const struct frag_key *a, const struct frag_key *b)
{
    return a->id == b->id && a->protocol == b->protocol && a->src.family == b->src.family &&
           addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst);
}

static struct datagram *find_locked(const struct frag_key *key, struct netif *netif)
{
    struct datagram *d;

    list_for_each(d, &datagrams, node) {
        if (d->netif == netif && key_equal(&d->key, key))
            return d;
    }
    return NULL;
}

static struct datagram *get_locked(const struct frag_key *key, struct netif *netif)
{
    struct datagram *d = find_locked(key, netif);
    if (d)
        return d;
    while (nr_datagrams && (nr_datagrams >= MAX_DATAGRAMS || bytes_held > MAX_BYTES))
        drop_locked(list_first(&datagrams, struct datagram, node));
    d = kzalloc(sizeof(*d));
    if (!d)
        return NULL;
    d->key = *key;
    d->netif = netif;
    d->until_ns = time_after_ns(lifetime_ns);
    list_init(&d->fragments);
    list_add_tail(&datagrams, &d->node);
    nr_datagrams++;
    return d;
}

enum placed { PLACED, REPEATED, OVERLAPS };

/* Put @pkt where it belongs in the sorted list. */
static enum placed place(struct datagram *d, struct pkt *pkt)
{
    struct list_head *before = &d->fragments;
    struct pkt *other;

    list_for_each(other, &d->fragments, node) {
        if (other->seq == pkt->seq && other->end_seq == pkt->end_seq)
            return REPEATED;
        if (other->seq < pkt->end_seq && pkt->seq < other->end_seq)
            return OVERLAPS;
        if (other->seq >= pkt->end_seq) {
            before = &other->node;
            break;
        }
    }
    list_insert_between(&pkt->node, before->prev, before);
    return PLACED;
}

/* Do the claims about the datagram's end agree? */
static bool end_agrees(struct datagram *d, const struct pkt *pkt, bool more)
{
    if (!more) {
        if (d->end && d->end != pkt->end_seq)
            return false;
        d->end = pkt->end_seq;
    }
    if (!d->end)
        return true;
    return pkt->end_seq <= d->end &&
           (list_empty(&d->fragments) ||
            list_last(&d->fragments, struct pkt, node)->end_seq <= d->end);
}

static bool append_pkt(struct pkt *out, const struct pkt *from)
{
    if (!pkt_append(out, from->data, from->len))
        return false;
    for (u32 i = 0; i < from->nr_frags; i++)
        if (!pkt_append(out, from->frags[i].data, from->frags[i].len))
            return false;
    return true;
}

/* The pieces may be more than a packet has slots for, so their bytes move together. */
static struct pkt *join(struct datagram *d)
{
    struct pkt *out = pkt_alloc(), *part;
    if (!out)
        return NULL;
    out->netif = d->netif;
    list_for_each(part, &d->fragments, node) {
        out->ecn = max(out->ecn, part->ecn); /* congestion seen by any counts: RFC 3168, 5.3 */
        if (!append_pkt(out, part)) {
            pkt_free(out);
            return NULL;
        }
    }
    return out;
}

/* Take in @pkt; the complete datagram, unlinked, or NULL. */
static struct datagram *add_locked(struct datagram *d, struct pkt *pkt, bool more)
{
    bool sound = end_agrees(d, pkt, more) && d->nr_fragments < MAX_FRAGMENTS;
    enum placed placed = sound ? place(d, pkt) : OVERLAPS;

    if (placed == OVERLAPS) {
        NET_COUNT(ip_reasm_overlaps);
        drop_locked(d);
    }
    if (placed != PLACED) {
        pkt_free(pkt);
        return NULL;
    }
    u32 size = pkt_truesize(pkt);
    d->nr_fragments++;
    d->bytes += pkt->total;
    d->truesize += size;
    bytes_held += size;
    if (!d->end || d->bytes != d->end)
        return NULL;
    unlink_locked(d);
    return d;
}

struct pkt *reasm_add(const struct frag_key *key, struct netif *netif, struct pkt *pkt, u32 offset,
                      bool more)
{
    if (is_v4(key))
        NET_COUNT(ip_reasm_reqds);
    else
        NET_COUNT(ip6_reasm_reqds);
    if ((more && (pkt->total & 7)) || !pkt->total || offset + pkt->total > IP_MAX_LEN) {
        count_fail(key);
        pkt_free(pkt);
        return NULL;
    }
    pkt->seq = offset;
    pkt->end_seq = offset + pkt->total;

    spin_lock(&lock);
    struct datagram *d = get_locked(key, netif), *whole = NULL;
    if (d)
        whole = add_locked(d, pkt, more);
    else
        pkt_free(pkt);
    u64 next = list_empty(&datagrams) ? TIME_NEVER
                                      : list_first(&datagrams, struct datagram, node)->until_ns;
    spin_unlock(&lock);
    if (!timer_is_set(&timer))
        timer_set(&timer, next);
    if (!whole)
        return NULL;

    struct pkt *out = join(whole);
    if (!out)
        count_fail(key);
    else if (is_v4(key))
        NET_COUNT(ip_reasm_oks);
    else
        NET_COUNT(ip6_reasm_oks);
    destroy(whole);
    return out;
}

void frag_init(void)
{
    timer_init(&timer, expire);
}

/* One piece of @pkt's payload under a copy of its header. */
static bool send_piece(const struct pkt *pkt, const struct route *route, u32 header_len, u32 at,
                       u32 n)
{
    bool last = header_len + at + n == pkt->total;
    struct pkt *piece = pkt_slice(pkt, header_len + at, n);
    if (!piece)
        return false;
    struct ip4_hdr *hdr = (void *)pkt_push(piece, header_len);

    memcpy(hdr, pkt->data, header_len);
    hdr->total_len = be16_of((u16)(header_len + n));
    hdr->frag = be16_of((u16)(at / 8 | (last ? 0 : IP4_MF)));
    hdr->csum.raw = 0;
    hdr->csum.raw = csum_fold(csum_add(hdr, header_len, 0));
    NET_COUNT(ip_frag_creates);
    ip_transmit(piece, route, ETH_IP4);
    return true;
}

int ip4_fragment(struct pkt *pkt, const struct route *route)
{
    u32 header_len = (pkt->data[0] & 15) * 4u;
    u32 step = (route->mtu - header_len) & ~7u, payload = pkt->total - header_len;
    bool ok = pkt->csum != CSUM_PARTIAL || pkt_csum_finish(pkt);

    for (u32 at = 0; ok && at < payload; at += step)
        ok = send_piece(pkt, route, header_len, at, min(step, payload - at));
    if (ok)
        NET_COUNT(ip_frag_oks);
    else
        NET_COUNT(ip_frag_fails);
    pkt_free(pkt);
    return ok ? 0 : -ENOBUFS;
}
