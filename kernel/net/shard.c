/* The shards' tables and clocks.  The hash of a flow is keyed, so that nobody outside can choose
 * flows that meet in one bucket; the table doubles when it is full. */
#include "net/shard.h"

#include "abi/errno.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "core/random.h"
#include "core/time.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/tcp_priv.h"

/* So many that two CPUs seldom want the same one. */
enum { SHARDS_A_CPU = 4, MAX_SHARDS = 64 };
enum { FIRST_BUCKETS = 64, MAX_BUCKETS = 1 << 20 };

struct shard *shards[MAX_SHARDS];
u32 nr_shards;
u64 flow_hash_key[4];

static void wheel_due(struct timer *timer)
{
    struct shard *shard = container_of(timer, struct shard, timer);
    struct wheel_timer *due;

    shard_lock(shard);
    shard->timer_set = false;
    shard->wheel_changed = true;
    while ((due = wheel_pop(&shard->wheel, shard->now)))
        due->fire(shard, due);
    shard_unlock(shard);
}

u32 shard_now(struct shard *shard)
{
    shard->now_ns = time_ns();
    shard->now = (u32)(shard->now_ns / NSEC_PER_MSEC);
    return shard->now;
}

/* Tell the CPU's timer only of what comes sooner than what it knows. */
void shard_arm(struct shard *shard)
{
    u32 tick;

    shard->wheel_changed = false;

    if (!wheel_next(&shard->wheel, &tick))
        return;
    if (shard->timer_set && (s32)(tick - shard->timer_tick) >= 0)
        return;
    shard->timer_set = true;
    shard->timer_tick = tick;
    s32 ahead = max((s32)(tick - shard->now), 0);
    u64 now_ms = shard->now_ns / NSEC_PER_MSEC;
    timer_set(&shard->timer, (now_ms + (u64)ahead) * NSEC_PER_MSEC);
}

void shard_timer_set(struct shard *shard, struct wheel_timer *timer, u32 tick)
{
    wheel_set(&shard->wheel, timer, tick, shard->now);
    shard->wheel_changed = true;
}

static void grow_table(struct shard *shard)
{
    u32 size = shard->conn_mask + 1;
    struct tcp_conn **bigger =
        size < MAX_BUCKETS ? kcalloc((size_t)size * 2, sizeof(*bigger)) : NULL;

    if (!bigger)
        return; /* longer chains, then */
    for (u32 i = 0; i < size; i++)
        for (struct tcp_conn *c = shard->conns[i], *next; c; c = next) {
            next = c->hash_next;
            struct tcp_conn **bucket = &bigger[c->hash & (size * 2 - 1)];
            c->hash_next = *bucket;
            *bucket = c;
        }
    kfree(shard->conns);
    shard->conns = bigger;
    shard->conn_mask = size * 2 - 1;
}

void shard_insert(struct shard *shard, struct tcp_conn *conn)
{
    assert(!conn->hashed && conn->shard == shard);
    if (shard->nr_conns > shard->conn_mask)
        grow_table(shard);
    struct tcp_conn **bucket = &shard->conns[conn->hash & shard->conn_mask];
    conn->hash_next = *bucket;
    *bucket = conn;
    conn->hashed = true;
    shard->nr_conns++;
}

void shard_remove(struct shard *shard, struct tcp_conn *conn)
{
    struct tcp_conn **link = &shard->conns[conn->hash & shard->conn_mask];

    while (*link != conn)
        link = &(*link)->hash_next;
    *link = conn->hash_next;
    conn->hashed = false;
    shard->nr_conns--;
}

static struct shard *shard_create(u32 index, u64 memory)
{
    struct shard *shard = kzalloc(sizeof(*shard));

    if (!shard)
        return NULL;
    shard->conns = kcalloc(FIRST_BUCKETS, sizeof(struct tcp_conn *));
    shard->requests = kcalloc(SHARD_REQUESTS, sizeof(struct tcp_request *));
    if (!shard->conns || !shard->requests) { /* the stack does without this shard */
        kfree(shard->conns);
        kfree(shard->requests);
        kfree(shard);
        return NULL;
    }
    shard->conn_mask = FIRST_BUCKETS - 1;
    shard->index = index;
    spin_init(&shard->lock);
    shard->now_ns = time_ns();
    shard->now = (u32)(shard->now_ns / NSEC_PER_MSEC);
    wheel_init(&shard->wheel, shard->now);
    timer_init(&shard->timer, wheel_due);
    list_init(&shard->acks);
    wheel_timer_init(&shard->ack_timer, tcp_acks_fire);
    tw_init(shard, memory);
    if (cpu_count >
        1) /* a few flows do not spread evenly: all may take half of it, not a quarter */
        memory *= 2;
    shard->memory_max = memory / 4;
    shard->memory_high = memory / 8;
    return shard;
}

bool shards_init(void)
{
    struct page_stats pages;

    page_get_stats(&pages);
    random_bytes(flow_hash_key, sizeof(flow_hash_key));
    u32 wanted = cpu_count == 1 ? 1 : min(cpu_count * SHARDS_A_CPU, (u32)MAX_SHARDS);
    for (u32 i = 0; i < wanted; i++) {
        struct shard *shard = shard_create(i, pages.total * PAGE_SIZE / wanted);
        if (!shard)
            break;
        shards[nr_shards++] = shard;
    }
    return nr_shards;
}
