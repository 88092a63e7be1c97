/* What a connection of TCP keeps of the bytes it sends and receives.  Under the shard's lock unless
 * it says other. */
#pragma once

#include "core/panic.h"
#include "core/percpu.h"
#include "lib/list.h"
#include "mm/page.h"
#include "net/tcp_wire.h"

/* ---- what is queued to be sent: tcp_sendq.c ---- */

struct send_frag {
    struct page *page; /* owns a reference; NULL: memory that outlives it */
    u8 *data;
    u32 len;
};

enum { SENDQ_FEW = 2 };

/* A queue of pieces; its first byte is the first not yet acknowledged. */
struct sendq {
    struct send_frag *frags; /* .few until they are more */
    struct send_frag few[SENDQ_FEW];
    u32 head, count, cap; /* pieces, in the order of the array from .head, not a ring */
    u32 bytes;
    u32 cursor, cursor_at; /* piece that holds the byte .cursor_at .. ; where one reads on */
};

/** An empty queue; and let all go that is in it. */
void sendq_init(struct sendq *q);
void sendq_fini(struct sendq *q);
/** Append a piece; takes the reference unless it fails. 0 or -ENOMEM. */
int sendq_append(struct sendq *q, struct page *page, u8 *data, u32 len);
/** Drop @n bytes from the front. */
void sendq_trim(struct sendq *q, u32 n);
/** Copy bytes [@at, @at + @n), which are there, to @dst. */
void sendq_copy(struct sendq *q, u32 at, u8 *dst, u32 n);
/** Append [@at, @at + @n) to @pkt as pieces; how many bytes found room. */
u32 sendq_attach(struct sendq *q, u32 at, u32 n, struct pkt *pkt);

/* [C] Where the CPU's programs copy to; owns a reference. */
struct send_page {
    struct page *page;
    u8 *start;
    u32 used, size;
};
extern struct send_page send_pages[MAX_CPUS];

/** send_room() where this CPU's page has too little left. */
struct page *send_room_else(u32 want, u8 **data, u32 *len);
/**
 * Memory to copy the program's bytes into: up to @want bytes of this CPU's page, a reference to
 * which is the caller's. Needs no lock. NULL: no memory.
 */
static inline struct page *send_room(u32 want, u8 **data, u32 *len)
{
    struct send_page *room = &send_pages[cpu_id()];

    if (unlikely(room->size - room->used < want))
        return send_room_else(want, data, len);
    *data = room->start + room->used;
    *len = want;
    room->used += want;
    page_get(room->page);
    return room->page;
}

/* ---- what is in flight: tcp_sent.c ---- */

enum sent_flags {
    SENT_SACKED = 1,
    SENT_LOST = 2,    /* believed lost and not yet sent again: not in flight */
    SENT_RETRANS = 4, /* has been sent more than once */
    SENT_FIN = 8,
};

struct sent {
    u32 seq, end;
    u64 time_ns; /* of its last transmission */
    u8 flags;    /* enum sent_flags */
    u8 spare[7];
};

enum { SENT_FEW = 2, SENT_MAX = 8192 };

/* Records of [snd_una, snd_nxt) in order, without gaps. */
struct sent_list {
    struct sent *v; /* .few until they are more */
    struct sent few[SENT_FEW];
    u32 head, count, cap;
    u32 sacked, lost; /* bytes so marked */
};

/** An empty list; and free its records. */
void sent_init(struct sent_list *list);
void sent_fini(struct sent_list *list);
/** Record @i, below .count, from the oldest. */
static inline struct sent *sent_at(const struct sent_list *list, u32 i)
{
    return &list->v[list->head + i];
}
/** Room for one record more, so that the next sent_* call cannot fail. 0, or -ENOMEM. */
int sent_make_room(struct sent_list *list);
/** Room for one more record, so that sent_append() will not fail. 0 or -ENOMEM. */
static inline int sent_reserve(struct sent_list *list)
{
    return likely(list->head + list->count < list->cap) ? 0 : sent_make_room(list);
}
/** [@seq, @end) was sent at @now_ns; after sent_reserve(). */
static inline void sent_append(struct sent_list *list, u32 seq, u32 end, u64 now_ns, u8 flags)
{
    assert(list->head + list->count < list->cap);
    *sent_at(list, list->count) = (struct sent){seq, end, now_ns, flags, {0}};
    list->count++;
}
/** Make @seq a border between two records; false where there is no memory or too many records. */
bool sent_split(struct sent_list *list, u32 i, u32 seq);
/** The first record that ends after @seq; .count: none. */
u32 sent_find(const struct sent_list *list, u32 seq);
/** Drop the first @n records. */
void sent_drop(struct sent_list *list, u32 n);
/** Drop the only record, which has no flags. */
static inline void sent_clear(struct sent_list *list)
{
    list->count = list->head = 0;
    if (unlikely(list->v != list->few))
        sent_drop(list, 0);
}
/** Set and clear flags, keeping the sums. */
void sent_mark(struct sent_list *list, struct sent *sent, u8 set, u8 clear);

/* ---- what was received: tcp_receive.c ---- */

/* Packets that are contiguous among themselves, ahead of what is expected. */
struct ooo_range {
    u32 start, end;
    struct list_head pkts;
};
enum { OOO_RANGES = 256 };

struct recvq {
    struct list_head pkts; /* in order, from .copied on */
    struct ooo_range *ooo; /* sorted; NULL until the first */
    u32 nr_ooo, cap_ooo;
    u32 last_ooo;           /* that changed last: reported first, RFC 2018 */
    u32 charged;            /* bytes of memory of all packets */
    struct seq_range dsack; /* to be reported; .start == .end: none */
};
