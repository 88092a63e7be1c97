#include "device/ring.h"

#include "abi/virtq.h"

#include <string.h>

enum { RING_SIZE_MAX = 32768 };

static bool is_within(u64 addr, u64 len, u64 start, u64 end)
{
    return addr >= start && addr <= end && len <= end - addr;
}

/* [@addr, +@len) of the guest's memory; NULL where it has none. */
static char *memory_at(const struct guest_memory *memory, u64 addr, u64 len)
{
    return is_within(addr, len, 0, memory->len) ? memory->at + addr : NULL;
}

/* Likewise, of what the device only reads. */
static char *readable_at(const struct guest_memory *memory, u64 addr, u64 len)
{
    if (is_within(addr, len, memory->layers_start, memory->layers_end))
        return memory->at + addr;
    return memory_at(memory, addr, len);
}

static volatile u16 *avail_event(struct ring *ring)
{
    return (volatile u16 *)&ring->used->ring[ring->size];
}

static u16 used_event(const struct ring *ring)
{
    return ring->avail->ring[ring->size];
}

const char *ring_start(struct ring *ring, const struct guest_memory *memory, u64 desc, u64 avail,
                       u64 used, u32 size, bool event_idx)
{
    if (!size || size > RING_SIZE_MAX || (size & (size - 1)))
        return "a queue's size is no power of two";
    if (desc % 16 || avail % 2 || used % 4)
        return "a ring is not aligned";
    *ring = (struct ring){
        .memory = memory,
        .desc = (void *)memory_at(memory, desc, size * sizeof(struct virtq_desc)),
        .avail = (void *)memory_at(memory, avail, 6 + 2ull * size),
        .used = (void *)memory_at(memory, used, 6 + 8ull * size),
        .size = (u16)size,
        .event_idx = event_idx,
    };
    if (!ring->desc || !ring->avail || !ring->used)
        return "a ring lies outside of the memory";
    return NULL;
}

bool ring_has_work(const struct ring *ring)
{
    return __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE) != ring->next_avail;
}

bool ring_is_seen(const struct ring *ring)
{
    return !ring->event_idx || used_event(ring) == ring->published;
}

/* The descriptor at @i, each word read once. */
static struct virtq_desc read_desc(const struct ring *ring, u16 i)
{
    const volatile struct virtq_desc *d = &ring->desc[i];

    return (struct virtq_desc){.addr = d->addr, .len = d->len, .flags = d->flags, .next = d->next};
}

static const char *add_piece(const struct ring *ring, struct ring_chain *chain,
                             const struct virtq_desc *desc)
{
    bool in = desc->flags & DESC_WRITE;
    char *at = in ? memory_at(ring->memory, desc->addr, desc->len)
                  : readable_at(ring->memory, desc->addr, desc->len);
    u64 *bytes = in ? &chain->in_bytes : &chain->out_bytes;

    if (desc->flags & DESC_INDIRECT)
        return "an indirect descriptor, which was not agreed on";
    if (!at)
        return "a buffer outside of the memory";
    if (!in && chain->nr_in)
        return "a buffer to read behind one to write";
    if (*bytes + desc->len > UINT32_MAX)
        return "a chain of more than 4 GiB";
    *bytes += desc->len;
    chain->piece[chain->nr_out + chain->nr_in] = (struct iovec){at, desc->len};
    if (in)
        chain->nr_in++;
    else
        chain->nr_out++;
    return NULL;
}

static const char *read_chain(const struct ring *ring, struct ring_chain *chain, u16 at)
{
    chain->head = at;
    chain->nr_out = chain->nr_in = 0;
    chain->out_bytes = chain->in_bytes = 0;
    for (;;) {
        if (at >= ring->size)
            return "a descriptor that the queue does not have";
        if (chain->nr_out + chain->nr_in == min((u32)ring->size, (u32)RING_MAX_PIECES))
            return "a chain without an end";
        struct virtq_desc desc = read_desc(ring, at);
        const char *wrong = add_piece(ring, chain, &desc);
        if (wrong || !(desc.flags & DESC_NEXT))
            return wrong;
        at = desc.next;
    }
}

int ring_take(struct ring *ring, struct ring_chain *chain, const char **why)
{
    u16 offered = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
    u16 count = (u16)(offered - ring->next_avail);

    if (!count)
        return 0;
    if (count > ring->size) {
        *why = "more chains than the queue can hold";
        return -1;
    }
    *why = read_chain(ring, chain, ring->avail->ring[ring->next_avail & (ring->size - 1)]);
    if (*why)
        return -1;
    ring->next_avail++;
    return 1;
}

void ring_copy_out(const struct iovec *piece, u32 count, u64 at, void *to, u64 len)
{
    char *out = to;

    for (u32 i = 0; i < count && len; i++) {
        if (at >= piece[i].iov_len) {
            at -= piece[i].iov_len;
            continue;
        }
        u64 n = min(len, (u64)piece[i].iov_len - at);
        memcpy(out, (const char *)piece[i].iov_base + at, n);
        out += n, len -= n, at = 0;
    }
}

void ring_copy_in(const struct iovec *piece, u32 count, const void *from, u64 len)
{
    const char *in = from;

    for (u32 i = 0; i < count && len; i++) {
        u64 n = min(len, (u64)piece[i].iov_len);
        memcpy(piece[i].iov_base, in, n);
        in += n, len -= n;
    }
}

u32 ring_narrow(struct iovec *piece, u32 count, u64 skip, u64 len)
{
    u32 n = 0;

    for (u32 i = 0; i < count && len; i++) {
        u64 drop = min(skip, (u64)piece[i].iov_len);
        u64 keep = min(len, (u64)piece[i].iov_len - drop);
        skip -= drop;
        len -= keep;
        if (keep)
            piece[n++] = (struct iovec){(char *)piece[i].iov_base + drop, keep};
    }
    return n;
}

void ring_give(struct ring *ring, u16 head, u32 written)
{
    u16 at = ring->next_used++ & (ring->size - 1);

    ring->used->ring[at].id = head;
    ring->used->ring[at].len = written;
}

/* 2.7.10: with EVENT_IDX the driver names the index at which it wants to be told. */
bool ring_publish(struct ring *ring)
{
    if (ring->published == ring->next_used)
        return false;
    ring->published = ring->next_used;
    __atomic_store_n(&ring->used->idx, ring->next_used, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    u16 told = ring->told_used;
    ring->told_used = ring->next_used;
    if (!ring->event_idx)
        return !(ring->avail->flags & NO_INTERRUPT);
    return (u16)(ring->next_used - used_event(ring) - 1) < (u16)(ring->next_used - told);
}

bool ring_enable_doorbell(struct ring *ring)
{
    if (ring->event_idx)
        __atomic_store_n(avail_event(ring), ring->next_avail, __ATOMIC_RELAXED);
    else
        __atomic_store_n(&ring->used->flags, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ring_has_work(ring);
}

void ring_disable_doorbell(struct ring *ring)
{
    if (ring->event_idx) /* far behind: it comes around after 32768 chains, one doorbell too many */
        __atomic_store_n(avail_event(ring), (u16)(ring->next_avail - 0x8000), __ATOMIC_RELAXED);
    else
        __atomic_store_n(&ring->used->flags, NO_NOTIFY, __ATOMIC_RELAXED);
}
