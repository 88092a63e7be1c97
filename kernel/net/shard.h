/* Shards: what TCP keeps, divided by flow so that CPUs do not meet.  A connection belongs to the
 * shard that its flow's hash names; the shard's lock guards the connection, the tables and the
 * wheel.  One CPU has one shard; several have four times as many as they are, and any CPU works in
 * any of them.
 *
 * Lock order: a shard's, then the listeners' (tcp_listen.c), then a listener's, then ports; then
 * wait queues, neighbours, device queues.  Two shards' are never held. */
#pragma once

#include "core/spinlock.h"
#include "core/timer.h"
#include "net/addr.h"
#include "net/tcp.h"
#include "net/wheel.h"

struct tcp_conn;
struct tcp_request;

/** Both ends of a connection; addresses as struct ip_addr has them. */
struct flow {
    u64 local[2], remote[2];
    u16 local_port, remote_port; /* host order */
};

/** The same addresses and ports. */
static inline bool flow_equal(const struct flow *a, const struct flow *b)
{
    return a->local_port == b->local_port && a->remote_port == b->remote_port &&
           a->remote[1] == b->remote[1] && a->local[1] == b->local[1] &&
           a->remote[0] == b->remote[0] && a->local[0] == b->local[0];
}
extern u64 flow_hash_key[4]; /* [I] */
static inline u64 flow_mix(u64 a, u64 b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (u64)product ^ (u64)(product >> 64);
}
static inline bool flow_is_mapped(const struct flow *flow)
{
    return !flow->local[0] && !flow->remote[0] && (u32)flow->local[1] == ADDR_MAPPED &&
           (u32)flow->remote[1] == ADDR_MAPPED;
}
/** A keyed hash of all fields. */
static inline u32 flow_hash(const struct flow *flow)
{
    const u64 *key = flow_hash_key;
    u64 ports = (u64)flow->local_port << 16 | flow->remote_port;

    if (likely(flow_is_mapped(flow))) {
        u64 addrs = (flow->local[1] ^ ADDR_MAPPED) | flow->remote[1] >> 32;
        u64 mixed = flow_mix(addrs ^ key[0], ports ^ key[1]);
        return (u32)(mixed ^ mixed >> 32);
    }
    u64 high = flow_mix(flow->local[0] ^ key[0], flow->remote[0] ^ key[1] ^ ports);
    u64 low = flow_mix(flow->local[1] ^ key[2], flow->remote[1] ^ key[3] ^ ports);
    u64 both = flow_mix(high ^ key[1], low ^ key[2]);

    return (u32)(both ^ both >> 32);
}

/* A connection that has closed first, for 2 MSL: one cache line. */
struct tcp_tw {
    u64 local[2], remote[2];
    u16 local_port, remote_port;
    u32 hash_next;    /* record number, 0: none */
    u32 older, newer; /* records in order of expiry; a free record has its next in .newer */
    u32 snd_nxt, rcv_nxt;
    u32 ts_recent; /* 0: the connection had no timestamps */
    u32 expires;   /* tick */
};
static_assert(sizeof(struct tcp_tw) == 64, "a cache line");

enum {
    TW_CHUNK_ORDER = 2, /* records are allocated in blocks of 16 KiB */
    TW_CHUNK = (4096 << TW_CHUNK_ORDER) / 64,
    TW_CHUNKS = 256, /* at most: 65,536 records */
    TW_BUCKETS = 4096,
};

struct tw_table {
    struct tcp_tw *chunks[TW_CHUNKS];
    u32 *buckets; /* TW_BUCKETS of record numbers; NULL until the first */
    u32 nr_chunks, max_chunks, count;
    u32 free, oldest, newest;
};

/* Fields: [I], [L] under .lock. */
struct shard {
    struct spinlock lock;
    u32 index;                           /* [I] */
    u64 now_ns;                          /* [L] when the work under the lock began */
    u32 now;                             /* [L] the same in ms: ticks, timestamps */
    struct wheel wheel;                  /* [L] */
    struct timer timer;                  /* the wheel's next event */
    u32 timer_tick;                      /* [L] what .timer is set for */
    bool timer_set;                      /* [L] */
    bool wheel_changed;                  /* [L] look at .timer before unlocking */
    struct tcp_conn **conns;             /* [L] buckets */
    u32 conn_mask, nr_conns;             /* [L] */
    struct tcp_request **requests;       /* [L] SHARD_REQUESTS buckets */
    u32 nr_requests;                     /* [L] */
    struct list_head acks;               /* [L] connections that owe an ACK, the next due first */
    struct wheel_timer ack_timer;        /* [L] of the first when it was set, or of one before it */
    struct wheel_timer tw_timer;         /* [L] of the oldest record */
    struct tw_table tw;                  /* [L] */
    u64 memory, memory_high, memory_max; /* [L] bytes in queues; where growth ends; the limit */
    struct tcp_stats stats;              /* [L] */
};

enum { SHARD_REQUESTS = 1024 };

/** [I] after shards_init(); by index. */
extern struct shard *shards[];
extern u32 nr_shards;

/** At start. False: there is no memory for a single one, and nothing has been made. */
bool shards_init(void);
/** The one whose tables have flows of this hash. */
static inline struct shard *shard_of_hash(u32 hash)
{
    return shards[nr_shards == 1 ? 0 : (u32)(((u64)hash * nr_shards) >> 32)];
}
/** Take the time; under the lock. In ms. */
u32 shard_now(struct shard *shard);
/** Lock and take the time. */
static inline void shard_lock(struct shard *shard)
{
    spin_lock(&shard->lock);
    shard_now(shard);
}
/** shard_unlock() where the wheel has changed: set the timer for its next event; under the lock. */
void shard_arm(struct shard *shard);
/** Arm the timer for what was set meanwhile and unlock. */
static inline void shard_unlock(struct shard *shard)
{
    if (unlikely(shard->wheel_changed))
        shard_arm(shard);
    spin_unlock(&shard->lock);
}

/** Set a timer of the shard's wheel; under the lock. */
void shard_timer_set(struct shard *shard, struct wheel_timer *timer, u32 tick);

/* The table of connections; under the lock. shard_find() is in tcp_table.h. */
void shard_insert(struct shard *shard, struct tcp_conn *conn);
void shard_remove(struct shard *shard, struct tcp_conn *conn);
