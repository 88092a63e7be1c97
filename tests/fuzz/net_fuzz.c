/* Frames as a hostile network sends them. The input is a row of frames: two bytes of length and
 * flags, then the frame. Checksums are taken for good, so that what lies behind them is reached. */
#include "fuzz.h"

#include "fake/net_world.h"
#include "net/ip.h"
#include "net/wire.h"

enum { FLAG_PAGED = 0x8000, FLAG_PASS = 0x4000, LEN_MASK = 0x7ff };

/* A header whose checksum is wrong ends there: mend it. */
static void mend(uint8_t *frame, uint32_t len)
{
    struct ip4_hdr *ip = (void *)(frame + sizeof(struct eth_hdr));
    uint32_t header = len >= 34 ? (ip->version_ihl & 15) * 4u : 0;

    if (header < 20 || len < sizeof(struct eth_hdr) + header)
        return;
    ip->csum.raw = 0;
    ip->csum.raw = csum_fold(csum_add(ip, header, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_up;

    if (!is_up) {
        is_up = world_quiet = true;
        world_up("10.0.0.2::10.0.0.1:255.255.255.0:::off");
    }
    while (size >= 2) {
        uint32_t word = (uint32_t)data[0] << 8 | data[1];
        uint32_t len = word & LEN_MASK;
        data += 2;
        size -= 2;
        len = len < size ? len : (uint32_t)size;
        uint8_t *frame = malloc(len + 1);
        FUZZ_ASSERT(frame);
        memcpy(frame, data, len);
        if (len >= 14 && frame[12] == 8 && frame[13] == 0)
            mend(frame, len);
        world_receive(frame, len, word & FLAG_PAGED, CSUM_GOOD);
        free(frame);
        if (word & FLAG_PASS)
            world_pass(NSEC_PER_SEC);
        data += len;
        size -= len;
    }
    world_pass(60 * NSEC_PER_SEC); /* what was held lets go */
    FUZZ_ASSERT(world_pages == 0);
    return 0;
}
