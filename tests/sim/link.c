#include "sim/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/tcp_world.h"
#include "net/tcp_wire.h"

struct link links[2];
u64 link_down_until_ns;

struct flying {
    u64 arrives_ns, order;
    u8 *data;
    u32 len;
    struct ip_addr src, dst;
    u8 ecn;
};

enum { FLYING_MAX = 1 << 16 };
static struct flying *flying[FLYING_MAX]; /* a heap */
static u32 nr_flying;
static u64 order;

static bool before(const struct flying *a, const struct flying *b)
{
    return a->arrives_ns != b->arrives_ns ? a->arrives_ns < b->arrives_ns : a->order < b->order;
}

static void heap_push(struct flying *f)
{
    u32 i = nr_flying++;

    if (nr_flying > FLYING_MAX)
        abort();
    for (; i && before(f, flying[(i - 1) / 2]); i = (i - 1) / 2)
        flying[i] = flying[(i - 1) / 2];
    flying[i] = f;
}

static struct flying *heap_pop(void)
{
    struct flying *top = flying[0], *last = flying[--nr_flying];
    u32 i = 0;

    for (u32 child; (child = 2 * i + 1) < nr_flying; i = child) {
        if (child + 1 < nr_flying && before(flying[child + 1], flying[child]))
            child++;
        if (!before(flying[child], last))
            break;
        flying[i] = flying[child];
    }
    flying[i] = last;
    return top;
}

static void fly(struct link *link, const u8 *data, u32 len, const struct ip_addr *src,
                const struct ip_addr *dst, u8 ecn)
{
    struct flying *f = malloc(sizeof(*f));
    u64 now = world_ns, start = max(now, link->busy_until_ns);

    if (!f || !(f->data = malloc(len)))
        abort();
    link->busy_until_ns = start + len * link->ns_per_byte;
    f->arrives_ns = link->busy_until_ns + link->delay_ns;
    if (world_chance(link->reorder))
        f->arrives_ns += world_below(link->jitter_ns + 1);
    f->order = order++;
    f->len = len;
    f->src = *src;
    f->dst = *dst;
    f->ecn = ecn == 2 && world_chance(link->mark) ? 3 : ecn;
    memcpy(f->data, data, len);
    if (world_chance(link->corrupt))
        f->data[world_below(len)] ^= (u8)(1u << world_below(8));
    heap_push(f);
}

static void finish_csum(u8 *segment, u32 len, const struct ip_addr *src, const struct ip_addr *dst)
{
    memset(segment + 16, 0, 2);
    u32 sum = ip_pseudo_csum(src, dst, 6, len);
    u16 check = csum_fold(csum_add(segment, len, sum));
    memcpy(segment + 16, &check, 2);
}

/* A segment as it would be on the wire. @partial: the sum that the stack left in place. */
static void wire(u8 *segment, u32 len, const struct ip_addr *src, const struct ip_addr *dst, u8 ecn)
{
    struct link *link = &links[src->bytes[15] == 1 ? 0 : 1];
    u32 header = dst->family == ADDR_INET ? 20 : 40;

    link->sent++;
    finish_csum(segment, len, src, dst);
    if (link->mtu && len + header > link->mtu) {
        if (!link->black_hole)
            world_error(src, dst, EMSGSIZE, link->mtu, segment);
        link->lost++;
        return;
    }
    u64 waiting = link->busy_until_ns > world_ns ? link->busy_until_ns - world_ns : 0;
    bool full = link->ns_per_byte && waiting / link->ns_per_byte > link->queue_bytes;
    if (full || world_ns < link_down_until_ns || world_chance(link->loss)) {
        link->lost++;
        return;
    }
    fly(link, segment, len, src, dst, ecn);
    if (world_chance(link->duplicate))
        fly(link, segment, len, src, dst, ecn);
}

struct outgoing {
    struct outgoing *next;
    u8 *data;
    u32 len;
    struct ip_addr src, dst;
    u8 ecn;
    u32 gso_size;
};
static struct outgoing *outgoing, **outgoing_end = &outgoing;

/* Cut a packet of the stack as an interface does. */
static void cut(struct outgoing *o)
{
    u32 header = (u32)(o->data[12] >> 4) * 4, data = o->len - header, seq = wire_get32(o->data + 4);
    u8 segment[65535];

    for (u32 at = 0; at == 0 || at < data; at += o->gso_size) {
        u32 part = min(o->gso_size, data - at);
        memcpy(segment, o->data, header);
        memcpy(segment + header, o->data + header + at, part);
        wire_put32(segment + 4, seq + at);
        if (at + part < data)
            segment[13] &= (u8) ~(TCP_FIN | TCP_PSH);
        if (at)
            segment[13] &= (u8)~TCP_CWR;
        wire(segment, header + part, &o->src, &o->dst, o->ecn);
    }
}

static void check_partial(const struct outgoing *o)
{
    u16 want = csum_fold_partial(ip_pseudo_csum(&o->src, &o->dst, 6, o->len)), got;

    memcpy(&got, o->data + 16, 2);
    if (got != want) {
        fprintf(stderr, "link: pseudo-header's sum %04x, want %04x\n", got, want);
        abort();
    }
}

/* Only noted: what the link says of it must not run inside of the stack. */
static int output(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst,
                  const struct ip_meta *meta)
{
    struct outgoing *o = calloc(1, sizeof(*o));

    if (!o || !(o->data = malloc(pkt->total)))
        abort();
    pkt_copy_out(pkt, 0, o->data, pkt->total);
    o->len = pkt->total;
    o->src = *src;
    o->dst = *dst;
    o->ecn = meta->tos & 3;
    o->gso_size = pkt->gso ? pkt->gso_size : pkt->total;
    if (pkt->csum != CSUM_PARTIAL || pkt->csum_offset != 16 || !meta->dont_fragment)
        abort();
    check_partial(o);
    pkt_free(pkt);
    *outgoing_end = o;
    outgoing_end = &o->next;
    return 0;
}

static void flush(void)
{
    while (outgoing) {
        struct outgoing *o = outgoing;
        outgoing = o->next;
        if (!outgoing)
            outgoing_end = &outgoing;
        cut(o);
        free(o->data);
        free(o);
    }
}

static void deliver(struct flying *f)
{
    struct link *link = &links[f->src.bytes[15] == 1 ? 0 : 1];
    struct pkt *pkt = pkt_alloc();

    link->delivered++;
    if (pkt && pkt_append(pkt, f->data, f->len)) {
        pkt->csum = link->verified ? CSUM_GOOD : CSUM_NONE;
        world_deliver(pkt, &f->src, &f->dst, f->ecn);
    } else if (pkt) {
        pkt_free(pkt);
    }
    free(f->data);
    free(f);
}

void link_start(void)
{
    world_output = output;
}

u64 link_next_ns(void)
{
    flush();
    return nr_flying ? flying[0]->arrives_ns : UINT64_MAX;
}

void link_run_to(u64 ns)
{
    flush();
    while (nr_flying && flying[0]->arrives_ns <= ns) {
        deliver(heap_pop());
        flush();
    }
}

void link_clear(void)
{
    flush();
    while (nr_flying) {
        struct flying *f = heap_pop();
        free(f->data);
        free(f);
    }
}
