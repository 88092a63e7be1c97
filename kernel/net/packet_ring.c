/* The ring of AF_PACKET that libpcap maps: TPACKET_V2 of Documentation/networking/packet_mmap. */
#include "net/packet_priv.h"

#include "abi/errno.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/pkt.h"

enum {
    RING_MAX = 64 << 20, /* bytes */
    HEADER = ALIGN_UP(sizeof(struct tpacket2_hdr_abi), TPACKET_ALIGNMENT),
    LINK_ROOM = 16, /* kept for the link header, so that the network header is aligned */
};

/* Where the network header of a frame lies. */
static u32 network_offset(u32 reserve)
{
    return (u32)ALIGN_UP(HEADER + sizeof(struct sockaddr_ll_abi) + LINK_ROOM, TPACKET_ALIGNMENT) +
           reserve;
}

static int check(const struct tpacket_req_abi *req, u32 reserve)
{
    u64 bytes = (u64)req->block_size * req->block_nr;
    u32 frames = req->frame_size ? req->block_size / req->frame_size : 0;

    if (!req->block_size || req->block_size % PAGE_SIZE ||
        req->block_size > PAGE_SIZE << PAGE_MAX_ORDER || (req->block_size & (req->block_size - 1)))
        return -EINVAL;
    if (!frames || req->frame_size % TPACKET_ALIGNMENT ||
        req->frame_size < network_offset(reserve) + LINK_ROOM)
        return -EINVAL;
    if ((u64)frames * req->block_nr != req->frame_nr)
        return -EINVAL;
    return bytes > RING_MAX ? -ENOMEM : 0;
}

static unsigned order_of(u32 bytes)
{
    unsigned order = 0;

    while ((u32)PAGE_SIZE << order < bytes)
        order++;
    return order;
}

int packet_ring_create(const struct tpacket_req_abi *req, u32 reserve, struct packet_ring **out)
{
    int err = check(req, reserve);
    if (err)
        return err;
    struct packet_ring *ring = kzalloc(sizeof(*ring) + req->block_nr * sizeof(ring->blocks[0]));
    if (!ring)
        return -ENOMEM;
    ring->block_size = req->block_size;
    ring->frame_size = req->frame_size;
    ring->nr_frames = req->frame_nr;
    ring->frames_a_block = req->block_size / req->frame_size;
    for (; ring->nr_blocks < req->block_nr; ring->nr_blocks++) {
        struct page *page = page_alloc(order_of(req->block_size), PAGE_ZERO);
        if (!page) {
            packet_ring_free(ring);
            return -ENOMEM;
        }
        page_split(page);
        ring->blocks[ring->nr_blocks] = page;
    }
    *out = ring;
    return 0;
}

void packet_ring_free(struct packet_ring *ring)
{
    if (!ring)
        return;
    for (u32 i = 0; i < ring->nr_blocks; i++)
        for (u32 n = 0; n < ring->block_size / PAGE_SIZE; n++)
            page_put(ring->blocks[i] + n);
    kfree(ring);
}

struct page *packet_ring_page(const struct packet_ring *ring, u64 index)
{
    u64 a_block = ring->block_size / PAGE_SIZE;

    if (index / a_block >= ring->nr_blocks)
        return NULL;
    struct page *page = ring->blocks[index / a_block] + index % a_block;
    page_get(page);
    return page;
}

static u8 *frame_at(const struct packet_ring *ring, u32 i)
{
    u8 *block = page_to_virt(ring->blocks[i / ring->frames_a_block]);

    return block + (size_t)(i % ring->frames_a_block) * ring->frame_size;
}

static u32 status_of(const u8 *frame)
{
    return __atomic_load_n(&((const struct tpacket2_hdr_abi *)frame)->status, __ATOMIC_ACQUIRE);
}

bool packet_ring_ready(const struct packet_ring *ring)
{
    u32 newest = (ring->head ? ring->head : ring->nr_frames) - 1;

    return status_of(frame_at(ring, newest)) != TP_STATUS_KERNEL;
}

bool packet_ring_put(struct packet_sock *p, const struct bpf_view *view, u32 keep,
                     const struct packet_info *info)
{
    struct packet_ring *ring = p->ring;
    u8 *frame = frame_at(ring, ring->head);

    if (status_of(frame) != TP_STATUS_KERNEL)
        return false;
    u32 network = network_offset(p->reserve);
    u32 at = network - (p->cooked ? 0 : view->network);
    keep = min(keep, ring->frame_size - at);
    if (!bpf_view_read(view, view->start, frame + at, keep))
        keep = 0; /* not so: it is no longer than the packet */
    struct tpacket2_hdr_abi hdr = {
        .len = info->len,
        .snaplen = keep,
        .mac = (u16)at,
        .net = (u16)network,
        .sec = (u32)(info->real_ns / NSEC_PER_SEC),
        .nsec = (u32)(info->real_ns % NSEC_PER_SEC),
    };
    memcpy(frame + sizeof(hdr.status), &hdr.len, sizeof(hdr) - sizeof(hdr.status));
    memcpy(frame + HEADER, &info->from, sizeof(info->from));
    u32 status = TP_STATUS_USER | (p->drops ? TP_STATUS_LOSING : 0u) |
                 (info->csum_partial ? TP_STATUS_CSUMNOTREADY : 0u);
    __atomic_store_n(&((struct tpacket2_hdr_abi *)frame)->status, status, __ATOMIC_RELEASE);
    ring->head = ring->head + 1 == ring->nr_frames ? 0 : ring->head + 1;
    return true;
}
