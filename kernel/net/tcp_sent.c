/* The scoreboard: one record for each run of bytes that was sent at one time, in order, without
 * gaps.  SACK and losses split records; what is acknowledged leaves at the front. */
#include "lib/string.h"
#include "mm/heap.h"
#include "net/tcp_priv.h"

void sent_init(struct sent_list *list)
{
    *list = (struct sent_list){.v = list->few, .cap = SENT_FEW};
}

void sent_fini(struct sent_list *list)
{
    if (list->v != list->few)
        kfree(list->v);
    sent_init(list);
}

int sent_make_room(struct sent_list *list)
{
    if (list->head && list->head >= list->cap / 4) {
        memmove(list->v, list->v + list->head, list->count * sizeof(*list->v));
        list->head = 0;
        return 0;
    }
    if (list->cap >= SENT_MAX)
        return -ENOMEM;
    struct sent *bigger = kmalloc((size_t)list->cap * 4 * sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    memcpy(bigger, list->v + list->head, list->count * sizeof(*bigger));
    if (list->v != list->few)
        kfree(list->v);
    list->v = bigger;
    list->cap *= 4;
    list->head = 0;
    return 0;
}

bool sent_split(struct sent_list *list, u32 i, u32 seq)
{
    if (sent_reserve(list))
        return false;
    struct sent *sent = sent_at(list, i);
    assert(seq_before(sent->seq, seq) && seq_before(seq, sent->end));
    memmove(sent + 1, sent, (list->count - i) * sizeof(*sent));
    list->count++;
    sent[0].end = sent[1].seq = seq;
    sent[0].flags &= (u8)~SENT_FIN;
    return true;
}

u32 sent_find(const struct sent_list *list, u32 seq)
{
    u32 low = 0, high = list->count;

    while (low < high) {
        u32 middle = (low + high) / 2;
        if (seq_after(sent_at(list, middle)->end, seq))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void sent_drop(struct sent_list *list, u32 n)
{
    for (u32 i = 0; i < n; i++)
        sent_mark(list, sent_at(list, i), 0, SENT_SACKED | SENT_LOST);
    list->head += n;
    list->count -= n;
    if (list->count)
        return;
    list->head = 0;
    if (list->v == list->few)
        return;
    kfree(list->v);
    list->v = list->few;
    list->cap = SENT_FEW;
}

void sent_mark(struct sent_list *list, struct sent *sent, u8 set, u8 clear)
{
    u8 flags = (u8)((sent->flags & ~clear) | set), changed = flags ^ sent->flags;
    u32 len = sent->end - sent->seq;

    if (changed & SENT_SACKED)
        list->sacked += flags & SENT_SACKED ? len : -len;
    if (changed & SENT_LOST)
        list->lost += flags & SENT_LOST ? len : -len;
    sent->flags = flags;
}
