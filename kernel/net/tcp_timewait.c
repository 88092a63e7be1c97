/* TIME-WAIT: a record of 64 bytes for a minute, so that late segments of a connection find someone
 * who knows them (RFC 9293 3.6.1).  A new SYN that cannot be of the old connection ends the wait
 * (RFC 1122 4.2.2.13, RFC 6191).  All wait equally long, so the oldest is always the first to go;
 * where there is no more room, it goes early. */
#include "mm/heap.h"
#include "mm/page.h"
#include "net/tcp_cookie.h"
#include "net/tcp_priv.h"

enum { ISN_GAP = 1 << 16 };

/* Records are numbered from 1; 0 is none. */
struct tcp_tw *tw_record(const struct tw_table *table, u32 number)
{
    return &table->chunks[(number - 1) / TW_CHUNK][(number - 1) % TW_CHUNK];
}

static u32 *bucket_of(struct tw_table *table, u32 hash)
{
    return &table->buckets[hash % TW_BUCKETS];
}

static void oldest_due(struct shard *shard, struct wheel_timer *timer)
{
    struct tw_table *table = &shard->tw;

    while (table->oldest && (s32)(tw_record(table, table->oldest)->expires - shard->now) <= 0)
        tw_remove(shard, tw_record(table, table->oldest));
    if (table->oldest)
        shard_timer_set(shard, timer, tw_record(table, table->oldest)->expires);
}

void tw_init(struct shard *shard, u64 memory)
{
    u64 chunks = memory / 64 / (TW_CHUNK * sizeof(struct tcp_tw));

    shard->tw.max_chunks = (u32)min(chunks, (u64)TW_CHUNKS - 1) + 1;
    wheel_timer_init(&shard->tw_timer, oldest_due);
}

struct tcp_tw *tw_find(struct shard *shard, const struct flow *flow, u32 hash)
{
    struct tw_table *table = &shard->tw;

    if (!table->count)
        return NULL;
    for (u32 number = *bucket_of(table, hash); number;) {
        struct tcp_tw *tw = tw_record(table, number);
        if (tw->local_port == flow->local_port && tw->remote_port == flow->remote_port &&
            tw->remote[1] == flow->remote[1] && tw->local[1] == flow->local[1] &&
            tw->remote[0] == flow->remote[0] && tw->local[0] == flow->local[0])
            return tw;
        number = tw->hash_next;
    }
    return NULL;
}

static u32 hash_of(const struct tcp_tw *tw)
{
    struct flow flow = {{tw->local[0], tw->local[1]},
                        {tw->remote[0], tw->remote[1]},
                        tw->local_port,
                        tw->remote_port};
    return flow_hash(&flow);
}

/* Where the number of @tw is kept in its bucket. */
static u32 *link_of(struct tw_table *table, const struct tcp_tw *tw)
{
    u32 *link = bucket_of(table, hash_of(tw));

    while (tw_record(table, *link) != tw)
        link = &tw_record(table, *link)->hash_next;
    return link;
}

static void unlink_age(struct tw_table *table, struct tcp_tw *tw)
{
    if (tw->older)
        tw_record(table, tw->older)->newer = tw->newer;
    else
        table->oldest = tw->newer;
    if (tw->newer)
        tw_record(table, tw->newer)->older = tw->older;
    else
        table->newest = tw->older;
}

static void link_newest(struct tw_table *table, struct tcp_tw *tw, u32 number)
{
    tw->older = table->newest;
    tw->newer = 0;
    if (table->newest)
        tw_record(table, table->newest)->newer = number;
    else
        table->oldest = number;
    table->newest = number;
}

void tw_remove(struct shard *shard, struct tcp_tw *tw)
{
    struct tw_table *table = &shard->tw;
    u32 *link = link_of(table, tw), number = *link;

    *link = tw->hash_next;
    unlink_age(table, tw);
    tw->newer = table->free;
    table->free = number;
    table->count--;
}

/* Another block of records onto the free list. */
static bool grow(struct tw_table *table)
{
    if (table->nr_chunks == table->max_chunks)
        return false;
    if (!table->buckets)
        table->buckets = kcalloc(TW_BUCKETS, sizeof(*table->buckets));
    struct page *page = table->buckets ? page_alloc(TW_CHUNK_ORDER, PAGE_NORECLAIM) : NULL;
    if (!page)
        return false;
    table->chunks[table->nr_chunks++] = page_to_virt(page);
    for (u32 i = 0; i < TW_CHUNK; i++) {
        u32 number = table->nr_chunks * TW_CHUNK - i;
        tw_record(table, number)->newer = table->free;
        table->free = number;
    }
    return true;
}

void tw_add(struct tcp_conn *c)
{
    struct shard *shard = c->shard;
    struct tw_table *table = &shard->tw;

    shard->stats.timewaited++;
    if (!table->free && !grow(table)) {
        shard->stats.timewait_overflows++;
        if (!table->oldest)
            return; /* no memory at all: a late segment gets a RST, then */
        tw_remove(shard, tw_record(table, table->oldest));
    }
    u32 number = table->free, *bucket = bucket_of(table, c->hash);
    struct tcp_tw *tw = tw_record(table, number);
    table->free = tw->newer;
    *tw = (struct tcp_tw){
        .local = {c->flow.local[0], c->flow.local[1]},
        .remote = {c->flow.remote[0], c->flow.remote[1]},
        .local_port = c->flow.local_port,
        .remote_port = c->flow.remote_port,
        .hash_next = *bucket,
        .snd_nxt = c->snd_nxt,
        .rcv_nxt = c->rcv_nxt,
        .ts_recent = c->ts_ok ? max(c->ts_recent, 1u) : 0,
        .expires = shard->now + TCP_TIME_WAIT_MS,
    };
    *bucket = number;
    link_newest(table, tw, number);
    table->count++;
    if (!wheel_timer_is_set(&shard->tw_timer))
        shard_timer_set(shard, &shard->tw_timer, tw->expires);
}

static void answer(struct shard *shard, const struct tcp_tw *tw, const struct tcp_segment *seg)
{
    struct tcp_options options = {
        .saw_ts = tw->ts_recent != 0,
        .tsval = shard->now + tcp_ts_offset(&seg->flow),
        .tsecr = tw->ts_recent,
    };
    struct tcp_reply reply = {
        .flow = &seg->flow,
        .family = seg->family,
        .flags = TCP_ACK,
        .seq = tw->snd_nxt,
        .ack = tw->rcv_nxt,
        .options = &options,
    };

    tcp_send_reply(shard, &reply);
}

static bool is_newer(const struct tcp_tw *tw, const struct tcp_segment *seg)
{
    if (tw->ts_recent && seg->options.saw_ts && seg->options.tsval != tw->ts_recent)
        return seq_after(seg->options.tsval, tw->ts_recent);
    return seq_after(seg->seq, tw->rcv_nxt);
}

bool tw_input(struct shard *shard, struct tcp_tw *tw, const struct tcp_segment *seg, u32 *isn_above)
{
    struct tw_table *table = &shard->tw;

    if (seg->flags & TCP_RST) /* it must not end the wait: RFC 1337 */
        return false;
    if ((seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && is_newer(tw, seg)) {
        *isn_above = tw->snd_nxt + ISN_GAP;
        shard->stats.timewait_recycled++;
        tw_remove(shard, tw);
        return true;
    }
    if (seg->flags & TCP_FIN && segment_end(seg) == tw->rcv_nxt) { /* again: so again 2 MSL */
        u32 number = *link_of(table, tw);
        unlink_age(table, tw);
        tw->expires = shard->now + TCP_TIME_WAIT_MS;
        link_newest(table, tw, number);
    }
    if (seg->flags & (TCP_SYN | TCP_FIN) || seg->len || seg->ack != tw->snd_nxt)
        answer(shard, tw, seg);
    return false;
}
