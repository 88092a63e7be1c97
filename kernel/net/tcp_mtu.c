/* Searching for a larger path MTU: RFC 4821. Where a black hole or an ICMP message has made
 * segments smaller, one that is larger than the others is tried now and then: the largest that may
 * be first, then by halves. It goes alone, with as much behind it as shows its loss by SACK, and
 * that loss says nothing about congestion (7.7). */
#include "net/tcp_priv.h"

enum {
    SEARCH_END = 32,       /* bytes: closer than that is close enough */
    FOLLOWERS = 3,         /* full segments behind a probe: RACK wants them */
    RETRY_MS = 1000,       /* after a probe that was lost */
    AGAIN_MS = 600 * 1000, /* after the search has ended: RFC 1191, 6.3 */
};

static u32 headers_of(const struct tcp_conn *c)
{
    return c->family == ADDR_INET ? 40 : 60;
}

/* What the interface, the network layer, the peer and the program allow. */
static u32 highest(const struct tcp_conn *c)
{
    u32 most = c->route.mtu, header = headers_of(c);

    if (c->peer_mss)
        most = min(most, c->peer_mss + header);
    if (c->user_mss)
        most = min(most, c->user_mss + header);
    return most;
}

void tcp_mtu_shrunk(struct tcp_conn *c, bool told)
{
    c->mtu_search = true;
    c->mtu_failed = c->mtu_probe_size = 0;
    c->mtu_due = c->shard->now + (told ? AGAIN_MS : RETRY_MS);
}

/* What to try next; 0: the search is over for now. */
static u32 next_size(struct tcp_conn *c)
{
    u32 most = highest(c), low = c->path_mtu;

    if (c->mtu_failed)
        most = min(most, (low + c->mtu_failed) / 2);
    return most >= low + SEARCH_END || (most > low && most == highest(c)) ? most : 0;
}

static void end_search(struct tcp_conn *c)
{
    c->mtu_failed = 0;
    c->mtu_due = c->shard->now + AGAIN_MS;
    c->mtu_search = c->path_mtu < c->route.netif->mtu;
}

/* Is the last one answered? False: it is still under way. */
static bool is_settled(struct tcp_conn *c)
{
    if (!c->mtu_probe_size)
        return true;
    if (seq_before(c->snd_una, c->mtu_probe_end))
        return false;
    c->path_mtu = c->mtu_probe_size;
    c->mtu_probe_size = 0;
    tcp_conn_set_mss(c);
    return true;
}

/* Is nothing lost, and enough to send that followers will show whether a probe of @len arrives? */
static bool may_probe(const struct tcp_conn *c, u32 len)
{
    return c->sack_ok && c->ca == CA_OPEN && !c->sent.lost && !c->sent.sacked &&
           tcp_unsent(c) >= len + FOLLOWERS * c->mss && !tcp_has_sack(c) && !c->urgent_out;
}

static bool has_room(const struct tcp_conn *c, u32 len)
{
    return c->snd_nxt - c->snd_una + len <= c->snd_wnd && tcp_flight(c) + len <= c->cwnd;
}

static void send_probe(struct tcp_conn *c, u32 size, u32 len)
{
    u32 seq = c->snd_nxt;

    c->mss = (u16)len; /* a whole segment, this time */
    u32 sent = tcp_send_new(c, len);
    tcp_conn_set_mss(c);
    if (sent != len)
        return;
    c->mtu_probe_seq = seq;
    c->mtu_probe_end = seq + len;
    c->mtu_probe_size = (u16)size;
}

bool tcp_mtu_search(struct tcp_conn *c)
{
    if (!is_settled(c) || (s32)(c->shard->now - c->mtu_due) < 0)
        return false;
    bool stale = !c->mtu_failed || !tcp_conn_route_ok(c); /* what the network layer knows ages */
    if (stale && tcp_conn_route(c))
        return false;
    u32 size = next_size(c), options = c->ts_ok ? TCP_TS_OPTION : 0u;
    if (!size) {
        end_search(c);
        return false;
    }
    u32 len = size - headers_of(c) - options;
    if (len > UINT16_MAX || !may_probe(c, len))
        return false;
    if (!has_room(c, len))
        return tcp_flight(c) != 0; /* ACKs will make it */
    send_probe(c, size, len);
    return false;
}

void tcp_mtu_probe_unclear(struct tcp_conn *c)
{
    c->mtu_probe_size = 0;
    c->mtu_due = c->shard->now + RETRY_MS;
}

void tcp_mtu_probe_failed(struct tcp_conn *c)
{
    c->mtu_failed = c->mtu_probe_size;
    tcp_mtu_probe_unclear(c);
}

bool tcp_mtu_probe_lost(struct tcp_conn *c)
{
    if (!seq_before(c->snd_una, c->mtu_probe_end))
        return false;
    const struct sent *sent = sent_at(&c->sent, sent_find(&c->sent, c->mtu_probe_seq));
    if (sent->seq != c->mtu_probe_seq || !(sent->flags & SENT_LOST) ||
        c->sent.lost != sent->end - sent->seq)
        return false;
    tcp_mtu_probe_failed(c);
    return true;
}
