/* The hot part of virtq.c, for virtio_net.c to have without calls; everybody else calls what
 * virtio.h declares, which is the same.  Virtio 1.2, 2.7. */
#pragma once

#include "abi/errno.h"
#include "abi/virtq.h"
#include "core/panic.h"
#include "drv/virtio.h"

/* The head of a chain goes into the available ring. */
static inline void virtq_make_available(struct virtq *vq, u16 head)
{
    vq->avail->ring[vq->next_avail & (vq->size - 1)] = head;
    vq->next_avail++;
}

static inline bool virtq_has_used_now(const struct virtq *vq)
{
    return __atomic_load_n(&vq->used->idx, __ATOMIC_ACQUIRE) != vq->last_used;
}

static inline void virtq_free_chain(struct virtq *vq, u16 head)
{
    struct virtq_slot *slot = &vq->slots[head], *last = slot;

    for (u16 i = slot->count; unlikely(i > 1); i--)
        last = &vq->slots[last->next];
    vq->nr_free += slot->count;
    last->next = vq->free_head;
    vq->free_head = head;
    slot->token = NULL;
}

/** What the device says of chain @id cannot be: it is broken. */
void virtq_refuse(struct virtq *vq, u32 id);

/** As virtq_take(). */
static inline void *virtq_take_now(struct virtq *vq, u32 *len)
{
    if (!virtq_has_used_now(vq) || unlikely(vq->dev->broken))
        return NULL;

    volatile struct virtq_used_elem *elem = &vq->used->ring[vq->last_used & (vq->size - 1)];
    u32 id = elem->id, written = elem->len;
    if (unlikely(id >= vq->size || !vq->slots[id].token ||
                 (written > vq->slots[id].writable && !vq->counts_all))) {
        virtq_refuse(vq, id);
        return NULL;
    }
    void *token = vq->slots[id].token;
    virtq_free_chain(vq, (u16)id);
    vq->last_used++;
    if (len)
        *len = written;
    return token;
}

/** As virtq_add_one(). */
static inline int virtq_add_one_now(struct virtq *vq, u64 pa, u32 len, bool in, void *token)
{
    if (unlikely(vq->dev->broken))
        return -EIO;
    if (unlikely(!vq->nr_free))
        return -ENOSPC;
    u16 head = vq->free_head;
    struct virtq_slot *slot = &vq->slots[head];
    slot->token = token;
    slot->count = 1;
    slot->writable = in ? len : 0;
    vq->free_head = slot->next;
    vq->nr_free--;
    vq->desc[head] = (struct virtq_desc){.addr = pa, .len = len, .flags = in ? DESC_WRITE : 0};
    virtq_make_available(vq, head);
    return 0;
}

/** The same for two pieces that the device reads, as a header and its data. */
static inline int virtq_add_pair(struct virtq *vq, struct virtq_buf first, struct virtq_buf second,
                                 void *token)
{
    if (unlikely(vq->dev->broken))
        return -EIO;
    if (unlikely(vq->nr_free < 2))
        return -ENOSPC;
    u16 head = vq->free_head;
    struct virtq_slot *slot = &vq->slots[head];
    u16 next = slot->next;
    slot->token = token;
    slot->count = 2;
    slot->writable = 0;
    vq->free_head = vq->slots[next].next;
    vq->nr_free -= 2;
    vq->desc[head] = (struct virtq_desc){first.pa, first.len, DESC_NEXT, next};
    vq->desc[next] = (struct virtq_desc){second.pa, second.len, 0, 0};
    virtq_make_available(vq, head);
    return 0;
}

/**
 * Offer the request that virtq_take() returned last, right after it, once more as it was; it had
 * one piece. Cannot fail.
 */
static inline void virtq_add_again(struct virtq *vq, void *token)
{
    u16 head = vq->free_head;
    struct virtq_slot *slot = &vq->slots[head];

    assert(vq->nr_free && slot->count == 1);
    slot->token = token;
    vq->free_head = slot->next;
    vq->nr_free--;
    virtq_make_available(vq, head);
}
