/* What /proc/net shows of TCP. */
#include "net/tcp_priv.h"

#include "lib/string.h"

void tcp_get_stats(struct tcp_stats *out)
{
    u64 *sum = (u64 *)out;

    memset(out, 0, sizeof(*out));
    for (u32 i = 0; i < nr_shards; i++) {
        const u64 *part = (const u64 *)&shards[i]->stats;
        for (u32 k = 0; k < sizeof(*out) / sizeof(u64); k++)
            sum[k] += part[k];
        out->memory += shards[i]->memory;
    }
}

static u32 until(const struct shard *shard, u32 tick)
{
    s32 left = (s32)(tick - shard->now);

    return left > 0 ? (u32)left : 0;
}

static void describe_timer(const struct tcp_conn *c, struct tcp_entry *entry)
{
    if (tcp_timer_is_set(c, TIMER_RTX)) {
        entry->timer = c->rtx_kind == RTX_WINDOW ? 4 : 1;
        entry->timer_ms = until(c->shard, c->due[TIMER_RTX]);
    } else if (tcp_timer_is_set(c, TIMER_KEEP)) {
        entry->timer = 2;
        entry->timer_ms = until(c->shard, c->due[TIMER_KEEP]);
    }
}

static void describe_conn(struct tcp_conn *c, struct tcp_entry *entry)
{
    *entry = (struct tcp_entry){
        .local = flow_local(&c->flow, c->family),
        .remote = flow_remote(&c->flow, c->family),
        .local_port = c->flow.local_port,
        .remote_port = c->flow.remote_port,
        .state = c->state,
        .retransmits = c->retries,
        .probes = c->probes,
        .ipv6_socket = c->sock ? c->sock->family == AF_INET6 : c->family == ADDR_INET6,
        .send_queue = c->sendq.bytes,
        .recv_queue = c->rcv_nxt - c->copied,
        .rto_ms = c->rto_ms,
        .cwnd = c->mss ? c->cwnd / c->mss : 0,
        .sock = c->sock,
        .conn = c,
    };
    describe_timer(c, entry);
}

typedef int entry_fn(const struct tcp_entry *entry, void *arg);

static int each_conn(const struct shard *shard, entry_fn *fn, void *arg)
{
    struct tcp_entry entry;

    for (u32 i = 0; i <= shard->conn_mask; i++)
        for (struct tcp_conn *c = shard->conns[i]; c; c = c->hash_next) {
            describe_conn(c, &entry);
            int result = fn(&entry, arg);
            if (result)
                return result;
        }
    return 0;
}

static int each_request(const struct shard *shard, entry_fn *fn, void *arg)
{
    for (u32 i = 0; shard->nr_requests && i < SHARD_REQUESTS; i++)
        for (const struct tcp_request *r = shard->requests[i]; r; r = r->hash_next) {
            struct tcp_entry entry = {
                .local = flow_local(&r->flow, r->family),
                .remote = flow_remote(&r->flow, r->family),
                .local_port = r->flow.local_port,
                .remote_port = r->flow.remote_port,
                .state = TCP_SYN_RECV,
                .timer = 1,
                .timer_ms = until(shard, r->timer.tick),
                .retransmits = r->retries,
                .ipv6_socket = r->family == ADDR_INET6,
            };
            int result = fn(&entry, arg);
            if (result)
                return result;
        }
    return 0;
}

static u16 family_of(const u64 halves[2])
{
    struct ip_addr addr = {.halves = {halves[0], halves[1]}};

    return addr_is_v4_mapped(&addr) ? ADDR_INET : ADDR_INET6;
}

static int each_tw(const struct shard *shard, entry_fn *fn, void *arg)
{
    const struct tw_table *table = &shard->tw;

    for (u32 number = table->oldest; number; number = tw_record(table, number)->newer) {
        const struct tcp_tw *tw = tw_record(table, number);
        u16 family = family_of(tw->remote);
        struct tcp_entry entry = {
            .local = {.halves = {tw->local[0], tw->local[1]}, .family = family},
            .remote = {.halves = {tw->remote[0], tw->remote[1]}, .family = family},
            .local_port = tw->local_port,
            .remote_port = tw->remote_port,
            .state = TCP_TIME_WAIT,
            .timer = 3,
            .timer_ms = until(shard, tw->expires),
            .ipv6_socket = family == ADDR_INET6,
        };
        int result = fn(&entry, arg);
        if (result)
            return result;
    }
    return 0;
}

int tcp_for_each(entry_fn *fn, void *arg)
{
    int result = tcp_for_each_listener(fn, arg);

    for (u32 i = 0; i < nr_shards && !result; i++) {
        shard_lock(shards[i]);
        result = each_conn(shards[i], fn, arg);
        if (!result)
            result = each_request(shards[i], fn, arg);
        if (!result)
            result = each_tw(shards[i], fn, arg);
        shard_unlock(shards[i]);
    }
    return result;
}
