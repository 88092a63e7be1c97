#include "drv/nic.h"

#include "lib/format.h"
#include "lib/string.h"
#include "mm/page.h"
#include "net/netif.h"

enum { COPY_BELOW = 256, FRAME_MIN = 14 };
static_assert(COPY_BELOW <= PKT_LINEAR - PKT_HEADROOM, "what is copied fits");

void nic_set_name(struct netif *netif)
{
    static u32 count;

    format(netif->name, sizeof(netif->name), "eth%u", count++);
}

struct pkt *nic_take_frame(struct page **page, u32 len)
{
    struct pkt *pkt;

    if (len < FRAME_MIN || len > PAGE_SIZE)
        return NULL;
    if (len > COPY_BELOW) {
        pkt = pkt_alloc_page(*page, 0, len);
        if (pkt)
            *page = NULL;
        return pkt;
    }
    pkt = pkt_alloc();
    if (pkt) {
        memcpy(pkt->data, page_to_virt(*page), len);
        pkt->len = pkt->total = len;
    }
    return pkt;
}
