/* Data that has arrived: in order it waits for the program, ahead of order it waits in ranges for
 * what is missing (RFC 9293 3.10.7.4, RFC 2018, RFC 2883).  The window is half of the buffer, since
 * packets take more memory than the bytes in them; memory itself is counted and bounded. */
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/tcp_priv.h"

enum {
    OOO_FIRST = 4,
    CHARGE_SOFT = 2, /* times the buffer: small packets are copied together from here on */
    CHARGE_HARD = 4, /* and dropped from here on */
};

void recvq_init(struct recvq *q)
{
    *q = (struct recvq){0};
    list_init(&q->pkts);
}

/* What a packet was charged is kept with it, since its parts may come and go. */
static u32 charge_of(const struct pkt *pkt)
{
    return (u32)(uintptr_t)pkt->owner;
}

static void charge(struct tcp_conn *c, struct pkt *pkt, u32 size)
{
    pkt->owner = (void *)(uintptr_t)size;
    c->recvq.charged += size;
    tcp_charge(c->shard, size);
}

void tcp_uncharge(struct tcp_conn *c, const struct pkt *pkt)
{
    u32 size = charge_of(pkt);

    c->recvq.charged -= size;
    tcp_charge(c->shard, -(s64)size);
}

static void drop_pkts(struct tcp_conn *c, struct list_head *pkts)
{
    struct pkt *pkt, *tmp;

    list_for_each_safe(pkt, tmp, pkts, node)
    {
        list_remove(&pkt->node);
        tcp_uncharge(c, pkt);
        pkt_free(pkt);
    }
}

static void drop_ooo(struct tcp_conn *c)
{
    struct recvq *q = &c->recvq;

    while (q->nr_ooo)
        drop_pkts(c, &q->ooo[--q->nr_ooo].pkts);
    kfree(q->ooo);
    q->ooo = NULL;
    q->cap_ooo = 0;
}

void recvq_fini(struct tcp_conn *c)
{
    drop_ooo(c);
    drop_pkts(c, &c->recvq.pkts);
}

/* ---- the window ---- */

u32 tcp_window_space(const struct tcp_conn *c)
{
    u32 space = c->rcvbuf / 2;

    return c->window_clamp ? min(space, c->window_clamp) : space;
}

u32 tcp_window(struct tcp_conn *c)
{
    u32 given = seq_after(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
    u32 space = tcp_window_space(c), queued = c->rcv_nxt - c->copied;
    u32 room = space > queued ? space - queued : 0;
    u32 most = 65535u << c->rcv_wscale;

    if (unlikely(c->shard->memory > c->shard->memory_high))
        room = min(room, max(given, 4u * c->rcv_mss));
    if (room < min((u32)c->rcv_mss, space / 2)) /* no silly windows: RFC 9293 3.8.6.2.2 */
        room = 0;
    room &= ~((1u << c->rcv_wscale) - 1);
    room = max(room, given);
    return min(room, most);
}

/* The buffer follows what the program takes in a round trip: twice as much must fit, so that the
 * sender can double what it has under way. */
static void grow_buffer(struct tcp_conn *c)
{
    u32 taken = c->copied - c->copied_mark;

    if (likely(taken < c->rcvbuf / 8))
        return;
    u32 now = shard_now(c->shard), rtt_ms = max(c->srtt_us8 / 8000, c->rcv_rtt_ms);
    if (now - c->copied_mark_tick < max(rtt_ms, 1u))
        return;
    c->copied_mark = c->copied;
    c->copied_mark_tick = now;
    if (c->sock && c->sock->options.recv_buffer_fixed)
        return;
    u32 want = 2 * min(taken, (u32)TCP_RCVBUF_MAX) + 16u * c->advmss;
    want = min(want * 2, (u32)TCP_RCVBUF_MAX);
    if (want <= c->rcvbuf || c->shard->memory >= c->shard->memory_high)
        return;
    c->rcvbuf = want;
    c->rcv_whole = 0;
}

void tcp_receive_taken_some(struct tcp_conn *c)
{
    u32 given = seq_after(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
    u32 space = tcp_window_space(c), enough = min(space / 2, 2u * c->rcv_mss);

    enough = max(enough, 2 * given);
    grow_buffer(c);
    if (!tcp_synchronized(c->state) || c->fin_rcvd)
        return;
    if (given * 2 <= space && tcp_window(c) >= enough) {
        shard_now(c->shard);
        tcp_send_ack(c);
    }
}

/* ---- memory ---- */

/* A packet that begins like @pkt, with a page to copy into. NULL: no memory. */
static struct pkt *roomy_pkt(const struct pkt *pkt)
{
    struct page *page = page_alloc(0, PAGE_NORECLAIM);
    struct pkt *roomy = page ? pkt_alloc() : NULL;

    if (!roomy) {
        if (page)
            page_put(page);
        return NULL;
    }
    pkt_add_frag(roomy, page, page_to_virt(page), 0);
    roomy->seq = roomy->end_seq = pkt->seq;
    return roomy;
}

/* Copy packets that hold little for their size into a few full ones. */
static void collapse(struct tcp_conn *c)
{
    struct pkt *pkt, *tmp, *into = NULL;

    list_for_each_safe(pkt, tmp, &c->recvq.pkts, node)
    {
        if (pkt->total >= PAGE_SIZE / 2) {
            into = NULL;
            continue;
        }
        if (!into || into->total + pkt->total > PAGE_SIZE) {
            into = roomy_pkt(pkt);
            if (!into)
                return;
            list_add_tail(&pkt->node, &into->node); /* before @pkt */
            charge(c, into, pkt_truesize(into) + PAGE_SIZE);
        }
        pkt_copy_out(pkt, 0, into->frags[0].data + into->total, pkt->total);
        into->frags[0].len += pkt->total;
        into->total += pkt->total;
        into->end_seq = pkt->end_seq;
        list_remove(&pkt->node);
        tcp_uncharge(c, pkt);
        pkt_free(pkt);
    }
}

static bool fits(const struct tcp_conn *c, u32 size, u32 times)
{
    const struct shard *shard = c->shard;

    return c->recvq.charged + size <= times * c->rcvbuf &&
           shard->memory + size <= shard->memory_max;
}

/* Is there memory for a packet of @size? A packet in order is let in where the queue is empty,
 * whatever the memory, so that every connection goes on. */
static bool admit(struct tcp_conn *c, u32 size, bool in_order)
{

    if (likely(fits(c, size, CHARGE_SOFT)))
        return true;
    if (tcp_recvq_claim(c)) {
        collapse(c);
        tcp_recvq_release(c);
    }
    if (in_order && c->recvq.nr_ooo && !fits(c, size, CHARGE_HARD)) {
        drop_ooo(c); /* RFC 2018 8: what was reported may be taken back */
        c->shard->stats.rcv_pruned++;
    }
    if (fits(c, size, CHARGE_HARD) || (in_order && list_empty(&c->recvq.pkts)))
        return true;
    c->shard->stats.rcv_dropped++;
    return false;
}

/* ---- ahead of order ---- */

static void report_dup(struct tcp_conn *c, u32 start, u32 end)
{
    if (!c->sack_ok)
        return;
    c->recvq.dsack = (struct seq_range){start, end};
    c->shard->stats.dsacks_sent++;
}

u32 tcp_sack_blocks(struct tcp_conn *c, struct seq_range *out, u32 most)
{
    struct recvq *q = &c->recvq;
    u32 n = 0;

    if (!c->sack_ok)
        return 0;
    if (q->dsack.start != q->dsack.end)
        out[n++] = q->dsack;
    for (u32 i = 0; i < q->nr_ooo && n < most; i++) {
        const struct ooo_range *range = &q->ooo[(q->last_ooo + i) % q->nr_ooo];
        out[n++] = (struct seq_range){range->start, range->end};
    }
    return n;
}

/* A list's head must not simply be copied: its neighbours point at it. */
static void range_move(struct ooo_range *to, struct ooo_range *from)
{
    *to = *from;
    to->pkts.next->prev = &to->pkts;
    to->pkts.prev->next = &to->pkts;
}

static bool grow_ranges(struct recvq *q)
{
    u32 cap = q->cap_ooo ? q->cap_ooo * 4 : OOO_FIRST;

    if (cap > OOO_RANGES)
        return false;
    struct ooo_range *bigger = kmalloc(cap * sizeof(*bigger));
    if (!bigger)
        return false;
    for (u32 i = 0; i < q->nr_ooo; i++)
        range_move(&bigger[i], &q->ooo[i]);
    kfree(q->ooo);
    q->ooo = bigger;
    q->cap_ooo = cap;
    return true;
}

static void range_remove(struct recvq *q, u32 at)
{
    q->nr_ooo--;
    for (u32 i = at; i < q->nr_ooo; i++)
        range_move(&q->ooo[i], &q->ooo[i + 1]);
    if (q->last_ooo > at || q->last_ooo == q->nr_ooo)
        q->last_ooo -= q->last_ooo != 0;
}

/* A new range before the one at @at. */
static bool range_insert(struct recvq *q, u32 at, struct pkt *pkt)
{
    if (q->nr_ooo == q->cap_ooo && !grow_ranges(q))
        return false;
    for (u32 i = q->nr_ooo; i > at; i--)
        range_move(&q->ooo[i], &q->ooo[i - 1]);
    q->nr_ooo++;
    struct ooo_range *range = &q->ooo[at];
    range->start = pkt->seq;
    range->end = pkt->end_seq;
    list_init(&range->pkts);
    list_add(&range->pkts, &pkt->node);
    q->last_ooo = at;
    return true;
}

/* Append all of @from to @to. */
static void append_all(struct list_head *to, struct list_head *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* Put @pkt, which overlaps nothing, before the range at @at; join what touches. */
static bool place(struct recvq *q, u32 at, struct pkt *pkt)
{
    struct ooo_range *left = at ? &q->ooo[at - 1] : NULL;
    struct ooo_range *right = at < q->nr_ooo ? &q->ooo[at] : NULL;
    bool touches_left = left && left->end == pkt->seq;
    bool touches_right = right && right->start == pkt->end_seq;

    if (!touches_left && !touches_right)
        return range_insert(q, at, pkt);
    if (!touches_left) {
        list_add(&right->pkts, &pkt->node);
        right->start = pkt->seq;
        q->last_ooo = at;
        return true;
    }
    list_add_tail(&left->pkts, &pkt->node);
    left->end = pkt->end_seq;
    q->last_ooo = at - 1;
    if (touches_right) {
        left->end = right->end;
        append_all(&left->pkts, &right->pkts);
        q->nr_ooo--;
        for (u32 i = at; i < q->nr_ooo; i++)
            range_move(&q->ooo[i], &q->ooo[i + 1]);
    }
    return true;
}

/* Cut from @pkt what is here already. The range before which the rest goes; false: nothing new. */
static bool cut_overlap(struct tcp_conn *c, struct pkt *pkt, u32 *at)
{
    struct recvq *q = &c->recvq;
    u32 i = 0;

    while (i < q->nr_ooo && !seq_after(q->ooo[i].end, pkt->seq))
        i++;
    *at = i;
    if (i == q->nr_ooo || !seq_after(pkt->end_seq, q->ooo[i].start))
        return true;
    report_dup(c, seq_max(pkt->seq, q->ooo[i].start), seq_min(pkt->end_seq, q->ooo[i].end));
    if (seq_before(pkt->seq, q->ooo[i].start)) { /* what lies beyond the range comes again */
        pkt_trim(pkt, q->ooo[i].start - pkt->seq);
        pkt->end_seq = q->ooo[i].start;
        return true;
    }
    if (!seq_after(pkt->end_seq, q->ooo[i].end)) {
        q->last_ooo = i;
        return false;
    }
    pkt_pull(pkt, q->ooo[i].end - pkt->seq);
    pkt->seq = q->ooo[i].end;
    *at = ++i;
    if (i < q->nr_ooo && seq_after(pkt->end_seq, q->ooo[i].start)) {
        pkt_trim(pkt, q->ooo[i].start - pkt->seq);
        pkt->end_seq = q->ooo[i].start;
    }
    return pkt->seq != pkt->end_seq;
}

static void queue_ahead(struct tcp_conn *c, struct pkt *pkt)
{
    u32 at;

    c->ack_now = true; /* RFC 5681 4.2 */
    u32 size = pkt_truesize(pkt);
    if (!admit(c, size, false) || !cut_overlap(c, pkt, &at) || !place(&c->recvq, at, pkt)) {
        c->shard->stats.ooo_dropped++;
        pkt_free(pkt);
        return;
    }
    charge(c, pkt, size);
    c->ooo_packets++;
    c->shard->stats.ooo_queued++;
}

/* ---- in order ---- */

static void append(struct tcp_conn *c, struct pkt *pkt)
{
    list_add_tail(&c->recvq.pkts, &pkt->node);
    __atomic_store_n(&c->rcv_nxt, pkt->end_seq, __ATOMIC_RELEASE);
}

/* The first range begins at or before what is expected: its packets are in order now. */
static void take_range(struct tcp_conn *c)
{
    struct pkt *pkt, *tmp;

    list_for_each_safe(pkt, tmp, &c->recvq.ooo[0].pkts, node)
    {
        list_remove(&pkt->node);
        if (!seq_after(pkt->end_seq, c->rcv_nxt)) {
            tcp_uncharge(c, pkt);
            pkt_free(pkt);
            continue;
        }
        if (seq_before(pkt->seq, c->rcv_nxt)) {
            pkt_pull(pkt, c->rcv_nxt - pkt->seq);
            pkt->seq = c->rcv_nxt;
        }
        append(c, pkt);
    }
    range_remove(&c->recvq, 0);
}

static void take_ranges(struct tcp_conn *c)
{
    struct recvq *q = &c->recvq;

    while (q->nr_ooo && !seq_after(q->ooo[0].start, c->rcv_nxt))
        take_range(c);
    c->ack_now = true; /* a hole is filled, or the next one is seen: RFC 5681 4.2 */
    if (q->nr_ooo)
        return;
    kfree(q->ooo);
    q->ooo = NULL;
    q->cap_ooo = q->last_ooo = 0;
}

static void note_received(struct tcp_conn *c, const struct pkt *pkt, const struct tcp_segment *seg)
{
    u32 size = pkt->gso_size ? pkt->gso_size : seg->len, now = c->shard->now;

    if (size > c->rcv_mss)
        c->rcv_mss = (u16)min(size, (u32)c->advmss);
    if (seg->options.saw_ts && size >= c->rcv_mss && seg->options.tsecr)
        c->rcv_rtt_ms = min(now + c->ts_offset - seg->options.tsecr, 10000u);
    if (now - c->last_recv > c->rto_ms && c->last_recv)
        c->interactive = false;
    c->last_recv = now;
    c->data_segs_in++;
}

/* RFC 9293 3.8.6.3: every second full segment at least, others after a while. */
static void ack_received(struct tcp_conn *c)
{
    if (c->rcv_nxt - c->rcv_acked >= 2u * c->rcv_mss)
        c->ack_now = true;
    else if (!c->ack_now)
        tcp_schedule_ack(c);
}

static bool program_hears(struct tcp_conn *c)
{
    u32 low = c->sock ? c->sock->options.recv_low : 1;

    return c->rcv_nxt - c->copied >= low || c->recvq.charged > c->rcvbuf;
}

static void receive_in_order(struct tcp_conn *c, struct pkt *pkt)
{
    u32 size = pkt_truesize(pkt);

    if (unlikely(!admit(c, size, true))) {
        c->ack_now = true;
        pkt_free(pkt);
        return;
    }
    charge(c, pkt, size);
    c->bytes_received += pkt->total;
    append(c, pkt);
    if (unlikely(c->recvq.nr_ooo))
        take_ranges(c);
    ack_received(c);
    if (program_hears(c))
        tcp_wake(c, POLLIN | POLLRDNORM);
}

void tcp_receive_expected(struct tcp_conn *c, struct pkt *pkt, u32 tsecr)
{
    u32 size = pkt->gso_size ? pkt->gso_size : pkt->total, now = c->shard->now;

    if (size >= c->rcv_mss) {
        c->rcv_mss = (u16)min(size, (u32)c->advmss);
        if (tsecr)
            c->rcv_rtt_ms = min(now + c->ts_offset - tsecr, 10000u);
    }
    if (unlikely(now - c->last_recv > c->rto_ms) && c->last_recv)
        c->interactive = false;
    c->last_recv = now;
    c->data_segs_in++;
    c->bytes_received += pkt->total;
    pkt->seq = c->rcv_nxt;
    pkt->end_seq = pkt->seq + pkt->total;
    charge(c, pkt, pkt_truesize(pkt));
    append(c, pkt);
    ack_received(c);
    if (likely(program_hears(c)))
        tcp_wake(c, POLLIN | POLLRDNORM);
}

/* Cut @pkt to the window; false: nothing is left. */
static bool cut_to_window(struct tcp_conn *c, struct pkt *pkt)
{
    u32 right = seq_max(c->rcv_adv, c->rcv_nxt);

    if (!seq_after(pkt->end_seq, c->rcv_nxt)) {
        report_dup(c, pkt->seq, pkt->end_seq);
        return false;
    }
    if (seq_before(pkt->seq, c->rcv_nxt)) {
        report_dup(c, pkt->seq, c->rcv_nxt);
        pkt_pull(pkt, c->rcv_nxt - pkt->seq);
        pkt->seq = c->rcv_nxt;
        c->ack_now = true;
    }
    if (seq_after(pkt->end_seq, right)) {
        if (!seq_before(pkt->seq, right))
            return false;
        pkt_trim(pkt, right - pkt->seq);
        pkt->end_seq = right;
        c->ack_now = true;
    }
    return true;
}

void tcp_receive(struct tcp_conn *c, struct pkt *pkt, const struct tcp_segment *seg)
{
    note_received(c, pkt, seg);
    pkt_strip(pkt, seg->header);
    pkt->seq = seg->seq;
    pkt->end_seq = seg->seq + seg->len;
    if (unlikely(pkt->seq != c->rcv_nxt || seq_after(pkt->end_seq, c->rcv_adv)) &&
        !cut_to_window(c, pkt)) {
        c->ack_now = true;
        pkt_free(pkt);
        return;
    }
    if (likely(pkt->seq == c->rcv_nxt))
        receive_in_order(c, pkt);
    else
        queue_ahead(c, pkt);
}

void tcp_receive_fin(struct tcp_conn *c)
{
    if (c->fin_rcvd || c->rcv_nxt != c->fin_seq)
        return;
    c->fin_pending = false;
    c->fin_rcvd = true;
    c->rcv_nxt++;
    c->ack_now = true;
    drop_ooo(c); /* nothing can follow */
    switch (c->state) {
    case TCP_ESTABLISHED:
        tcp_set_state(c, TCP_CLOSE_WAIT);
        break;
    case TCP_FIN_WAIT1:
        tcp_set_state(c, TCP_CLOSING);
        break;
    case TCP_FIN_WAIT2:
        tcp_send_ack(c);
        tcp_conn_time_wait(c);
        break;
    default:
        break;
    }
    tcp_wake(c, POLLIN | POLLRDNORM | POLLRDHUP);
}
