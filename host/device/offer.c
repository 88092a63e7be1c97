#include "device/offer.h"

#include "device/net.h"

#include <stdio.h>
#include <string.h>

enum { TYPE_NET = 1, TYPE_DISK = 2, TYPE_SHARE = 9 };
enum { NET_CONFIG_STATUS = 6, NET_CONFIG_LEN = 12, NET_LINK_UP = 1, NET_QUEUE = 1024 };
enum { F_SEG_MAX = 2, F_RO = 5, F_FLUSH = 9, F_DISCARD = 13, DISK_QUEUE = 128 };
enum { SHARE_F_TAG = 0, SHARE_QUEUE = 128 };
enum { SECTOR = 512, DISCARD_SECTORS = 1 << 22, DISCARD_RANGES = 16, DISK_PIECES = 64 };

/* Virtio 1.2, 5.2.4. */
struct disk_config {
    u64 capacity;
    u32 size_max, seg_max;
    u8 geometry[4];
    u32 block_size;
    u8 topology[8];
    u8 writeback, unused;
    u16 nr_queues;
    u32 max_discard_sectors, max_discard_ranges, discard_alignment;
};
static_assert(sizeof(struct disk_config) <= WINDOW_CONFIG, "it must fit");
static_assert(offsetof(struct disk_config, max_discard_sectors) == 36, "virtio 1.2, 5.2.4");

void offer_init(struct window *window)
{
    window->magic = WINDOW_MAGIC;
    window->version = WINDOW_VERSION;
    window->nr_devices = 0;
}

static struct window_device *add(struct window *window, u32 type, u64 features)
{
    struct window_device *page = window_device(window, window->nr_devices++);

    page->type = type;
    page->offered = features | BIT(DEVICE_F_EVENT_IDX) | BIT(DEVICE_F_VERSION_1);
    return page;
}

static void add_queues(struct window_device *page, u32 count, u16 entries)
{
    page->nr_queues = count;
    for (u32 i = 0; i < count; i++)
        page->queue[i].max = entries;
}

void offer_net(struct window *window, const u8 mac[6], bool tap)
{
    u64 features =
        BIT(NET_F_MAC) | BIT(NET_F_MRG_RXBUF) | BIT(NET_F_STATUS) | BIT(NET_F_GUEST_CSUM);
    u64 offloads = BIT(NET_F_CSUM) | BIT(NET_F_GUEST_TSO4) | BIT(NET_F_GUEST_TSO6) |
                   BIT(NET_F_HOST_TSO4) | BIT(NET_F_HOST_TSO6);
    struct window_device *page = add(window, TYPE_NET, features | (tap ? offloads : 0));

    add_queues(page, 2, NET_QUEUE);
    memcpy(page->config, mac, 6);
    page->config[NET_CONFIG_STATUS] = NET_LINK_UP;
    page->config_len = NET_CONFIG_LEN;
}

void offer_disk(struct window *window, u64 bytes, bool readonly)
{
    u64 features = BIT(F_SEG_MAX) | BIT(F_FLUSH);
    u64 more = readonly ? BIT(F_RO) : BIT(F_DISCARD);
    struct window_device *page = add(window, TYPE_DISK, features | more);
    struct disk_config config = {
        .capacity = bytes / SECTOR,
        .seg_max = DISK_PIECES,
        .max_discard_sectors = DISCARD_SECTORS,
        .max_discard_ranges = DISCARD_RANGES,
        .discard_alignment = 8,
    };

    add_queues(page, 1, DISK_QUEUE);
    memcpy(page->config, &config, sizeof(config));
    page->config_len = sizeof(config);
}

/* Its configuration is a string as 9p has them: the tag. */
void offer_share(struct window *window, u32 nr)
{
    struct window_device *page = add(window, TYPE_SHARE, BIT(SHARE_F_TAG));
    char tag[16];
    u16 len = (u16)snprintf(tag, sizeof(tag), "share%u", nr);

    add_queues(page, 1, SHARE_QUEUE);
    memcpy(page->config, &len, sizeof(len));
    memcpy(page->config + sizeof(len), tag, len);
    page->config_len = sizeof(len) + len;
}
