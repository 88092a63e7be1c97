/* Looking up a connection in its shard's table: once for every segment, so it is inlined. */
#pragma once

#include "net/tcp_priv.h"

/** The connection of @flow, whose hash @hash is; NULL: none. Under the lock. */
static inline struct tcp_conn *shard_find(struct shard *shard, const struct flow *flow, u32 hash)
{
    struct tcp_conn *c = shard->conns[hash & shard->conn_mask];

    while (c && (c->hash != hash || !flow_equal(&c->flow, flow)))
        c = c->hash_next;
    return c;
}
