/* Split virtqueues: virtio 1.2, 2.7.  The rings in shared memory are written here and never read
 * back, but for the used ring, whose every word is checked: the chains live in vq->slots. */
#include "drv/virtq_ring.h"

#include "arch/cpu.h"
#include "arch/features.h"
#include "core/time.h"
#include "mm/heap.h"
#include "plat/plat.h"

static size_t avail_offset(u16 size)
{
    return sizeof(struct virtq_desc) * size;
}

/* The interface from before version 1 wants what the device writes in a page of its own: 2.7.2. */
static size_t used_offset(u16 size, bool legacy)
{
    return ALIGN_UP(avail_offset(size) + sizeof(u16) * (3 + (size_t)size), legacy ? PAGE_SIZE : 8);
}

static size_t ring_bytes(u16 size, bool legacy)
{
    return used_offset(size, legacy) + sizeof(u16) * 3 + sizeof(struct virtq_used_elem) * size;
}

/* Where we ask for an interrupt: behind the available ring. */
static u16 *used_event(struct virtq *vq)
{
    return &vq->avail->ring[vq->size];
}

/* Where the device asks for a notification: behind the used ring. */
static volatile u16 *avail_event(struct virtq *vq)
{
    return (volatile u16 *)&vq->used->ring[vq->size];
}

static void link_free_slots(struct virtq *vq)
{
    for (u16 i = 0; i < vq->size; i++)
        vq->slots[i].next = (u16)(i + 1);
    vq->free_head = 0;
    vq->nr_free = vq->size;
}

int virtq_init(struct virtq *vq, struct virtio_dev *dev, u16 index, u16 wanted,
               void (*used_fn)(struct virtq *vq))
{
    bool legacy = dev->transport->legacy;
    u16 most = dev->transport->queue_max(dev, index), size = legacy ? most : min(most, wanted);
    if (size == 0 || (size & (size - 1)))
        return -ENOENT;
    if (used_fn && dev->nr_queues == VIRTIO_MAX_QUEUES)
        return -ENOSPC;

    /* Contiguous: it lies in the direct map.  What takes pages begins one. */
    char *ring =
        kzalloc(legacy ? max(ring_bytes(size, true), 4 * PAGE_SIZE) : ring_bytes(size, false));
    struct virtq_slot *slots = kcalloc(size, sizeof(*slots));
    if (!ring || !slots || (legacy && (uintptr_t)ring % PAGE_SIZE))
        goto free_memory;

    *vq = (struct virtq){.dev = dev,
                         .index = index,
                         .size = size,
                         .event_idx = virtio_has(dev, VIRTIO_F_EVENT_IDX),
                         .desc = (void *)ring,
                         .avail = (void *)(ring + avail_offset(size)),
                         .used = (void *)(ring + used_offset(size, legacy)),
                         .desc_pa = virt_to_phys(ring),
                         .avail_pa = virt_to_phys(ring) + avail_offset(size),
                         .used_pa = virt_to_phys(ring) + used_offset(size, legacy),
                         .slots = slots,
                         .used_fn = used_fn};
    link_free_slots(vq);
    int err = dev->transport->queue_enable(dev, vq);
    if (err) {
        virtq_fini(vq);
        return err;
    }
    vq->avail->flags = NO_INTERRUPT;
    *used_event(vq) = UINT16_MAX; /* the same wish, where EVENT_IDX makes the flag mean nothing */
    if (used_fn)
        dev->queues[dev->nr_queues++] = vq;
    return 0;

free_memory:
    kfree(ring);
    kfree(slots);
    return -ENOMEM;
}

void virtq_fini(struct virtq *vq)
{
    kfree(vq->desc);
    kfree(vq->slots);
    *vq = (struct virtq){0};
}

/* What we have written is seen before what follows is read; the device does the same the other way
 * round, so that one of both notices.  QEMU's TCG leaves barriers and LOCK out where a machine has
 * one CPU (tcg_gen_mb() of 7.2 without CF_PARALLEL), though devices run on a thread of their own:
 * the host's processor may then read first, and both sleep for ever.  What TCG does not leave out
 * is the lock that RDTSC takes inside it. */
static inline void write_before_read(void)
{
    mb();
    if (unlikely(arch_features.tcg)) {
        (void)rdtsc();
        rmb();
    }
}

/* Descriptors of @count pieces, at least one, from the free ones; each names the next.  The last.
 */
static inline u16 describe(struct virtq *vq, const struct virtq_buf *bufs, u32 count, u16 flags)
{
    u16 slot = vq->free_head, last;

    do {
        last = slot;
        slot = vq->slots[last].next;
        vq->desc[last] = (struct virtq_desc){bufs->pa, bufs->len, (u16)(flags | DESC_NEXT), slot};
        bufs++;
    } while (--count);
    vq->free_head = slot;
    return last;
}

int virtq_add(struct virtq *vq, const struct virtq_buf *bufs, u32 nr_out, u32 nr_in, void *token)
{
    u32 count = nr_out + nr_in;

    if (unlikely(vq->dev->broken))
        return -EIO;
    if (unlikely(count > vq->nr_free))
        return -ENOSPC;

    u16 head = vq->free_head, last = head;
    if (nr_out)
        last = describe(vq, bufs, nr_out, 0);
    if (nr_in)
        last = describe(vq, bufs + nr_out, nr_in, DESC_WRITE);
    vq->desc[last].flags = nr_in ? DESC_WRITE : 0;
    struct virtq_slot *slot = &vq->slots[head];
    slot->token = token;
    slot->count = (u16)count;
    slot->writable = 0;
    for (u32 i = nr_out; i < count; i++)
        slot->writable += bufs[i].len;
    vq->nr_free -= (u16)count;
    virtq_make_available(vq, head);
    return 0;
}

int virtq_add_one(struct virtq *vq, u64 pa, u32 len, bool in, void *token)
{
    return virtq_add_one_now(vq, pa, len, in, token);
}

/* 2.7.10: with EVENT_IDX the device names the index at which it wants to be told. */
static bool wants_kick(struct virtq *vq)
{
    if (!vq->event_idx)
        return !(vq->used->flags & NO_NOTIFY);
    u16 event = *avail_event(vq);
    return (u16)(vq->next_avail - event - 1) < (u16)(vq->next_avail - vq->last_kick);
}

void virtq_kick(struct virtq *vq)
{
    if (vq->last_kick == vq->next_avail || vq->dev->broken)
        return;
    /* The device sees the chains before the index, and our index before we read its wish. */
    __atomic_store_n(&vq->avail->idx, vq->next_avail, __ATOMIC_RELEASE);
    write_before_read();
    bool kick = wants_kick(vq);
    vq->last_kick = vq->next_avail;
    if (kick)
        vq->dev->transport->notify(vq->dev, vq);
}

bool virtq_has_used(const struct virtq *vq)
{
    return virtq_has_used_now(vq);
}

void virtq_refuse(struct virtq *vq, u32 id)
{
    virtio_break(vq->dev, id >= vq->size || !vq->slots[id].token
                              ? "it finished a request that was never made"
                              : "it claims to have written past a buffer");
}

void *virtq_take(struct virtq *vq, u32 *len)
{
    return virtq_take_now(vq, len);
}

bool virtq_enable_notify(struct virtq *vq)
{
    if (vq->event_idx)
        __atomic_store_n(used_event(vq), vq->last_used, __ATOMIC_RELAXED);
    else
        __atomic_store_n(&vq->avail->flags, 0, __ATOMIC_RELAXED);
    write_before_read();
    return virtq_has_used(vq);
}

void virtq_disable_notify(struct virtq *vq)
{
    if (!vq->event_idx) /* with it, the one interrupt that was asked for is all there is */
        __atomic_store_n(&vq->avail->flags, NO_INTERRUPT, __ATOMIC_RELAXED);
}

bool virtq_poll(struct virtq *vq)
{
    if (virtq_has_used(vq))
        return true;
    for (u64 deadline = time_ns() + 1000000000; time_ns() < deadline && !vq->dev->broken;) {
        if (virtq_has_used(vq))
            return true;
        cpu_relax();
    }
    return false;
}
