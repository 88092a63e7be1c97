/* A device process whose guest writes what it likes.  The input is a byte of choices, then a row of
 * writes: two bytes of address, one of length and kind, the bytes.  A write of nothing lets the
 * device work. */
#include "fuzz.h"

#include "device/offer.h"
#include "fake/device_guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_BYTES = 16 * 512 };
enum { CHOICE_START = 1, CHOICE_READONLY = 2, CHOICE_NET = 4 };
enum { TO_WINDOW = 0x80, LEN_MASK = 0x7f };

/* The guest's hand until it lets the device work. */
static void write_some(struct fake_guest *fake, struct device *dev, const uint8_t **data,
                       size_t *size)
{
    while (*size >= 3) {
        uint32_t where = ((uint32_t)(*data)[0] << 8 | (*data)[1]) * 2, len = (*data)[2] & LEN_MASK;
        bool window = (*data)[2] & TO_WINDOW;
        *data += 3;
        *size -= 3;
        if (!len)
            return;
        len = len < *size ? len : (uint32_t)*size;
        if (window)
            memcpy((char *)dev->page + where % (sizeof(*dev->page) - LEN_MASK), *data, len);
        else if (where + len <= GUEST_MEMORY)
            memcpy(fake_at(fake, where), *data, len);
        *data += len;
        *size -= len;
    }
    *size = 0;
}

static int empty_file(void)
{
    static int file = -1;

    if (file < 0)
        file = memfd_create("disk", 0);
    FUZZ_ASSERT(!ftruncate(file, FILE_BYTES));
    return file;
}

static void fuzz_disk(const uint8_t *data, size_t size)
{
    struct fake_guest fake;
    struct disk disk = {
        .fd = empty_file(), .readonly = data[0] & CHOICE_READONLY, .sectors = FILE_BYTES / 512};

    fake_guest_init(&fake, 1);
    offer_init(fake.window);
    offer_disk(fake.window, FILE_BYTES, disk.readonly);
    device_init(&disk.dev, &fake.guest, 0, "disk", -1);
    if (data[0] & CHOICE_START)
        fake_start(&fake, &disk.dev, disk.dev.offered, 1);
    data++, size--;
    do
        write_some(&fake, &disk.dev, &data, &size), (void)disk_serve(&disk);
    while (size);
    FUZZ_ASSERT(lseek(disk.fd, 0, SEEK_END) == FILE_BYTES);
    fake_guest_fini(&fake);
}

static void net_work(struct net *net, int wire)
{
    static const char frame[2048];

    (void)!send(wire, frame, sizeof(frame), 0); /* a wire that is full has enough */
    if (device_update(&net->dev))
        (void)tap_serve(net);
    (void)net_deliver(net, frame, 1514);
    device_publish(&net->dev, NET_RX);
}

static void fuzz_net(const uint8_t *data, size_t size)
{
    static const u8 mac[6];
    static struct net net;
    struct fake_guest fake;
    int pair[2];

    fake_guest_init(&fake, 1);
    offer_init(fake.window);
    offer_net(fake.window, mac, true);
    memset(&net, 0, offsetof(struct net, frame));
    FUZZ_ASSERT(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
    net.tap = pair[0];
    net.pcap = -1;
    device_init(&net.dev, &fake.guest, 0, "net", -1);
    if (data[0] & CHOICE_START)
        fake_start(&fake, &net.dev, net.dev.offered, 2);
    data++, size--;
    do
        write_some(&fake, &net.dev, &data, &size), net_work(&net, pair[1]);
    while (size);
    close(pair[0]);
    close(pair[1]);
    fake_guest_fini(&fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] & CHOICE_NET)
        fuzz_net(data, size);
    else
        fuzz_disk(data, size);
    return 0;
}
