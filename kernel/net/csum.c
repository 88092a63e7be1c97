/* The Internet checksum, RFC 1071: eight bytes a step, carries gathered at the end. */
#include "lib/string.h"
#include "net/pkt.h"

static u64 load64(const u8 *p)
{
    u64 v;
    __builtin_memcpy(&v, p, 8);
    return v;
}

static u64 load32(const u8 *p)
{
    u32 v;
    __builtin_memcpy(&v, p, 4);
    return v;
}

static u64 load16(const u8 *p)
{
    u16 v;
    __builtin_memcpy(&v, p, 2);
    return v;
}

/* One's complement addition. */
static u64 add_carry(u64 a, u64 b)
{
    u64 sum = a + b;

    return sum + (sum < a);
}

static u32 fold32(u64 sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    return (u32)(sum + (sum >> 32));
}

/* Four independent chains would not be quicker: memory is what one waits for. */
static u64 add_blocks(const u8 **data, u32 *n, u64 sum)
{
    const u8 *p = *data;
    u32 left = *n;

    for (; left >= 32; left -= 32, p += 32) {
        u64 a = add_carry(load64(p), load64(p + 8));
        u64 b = add_carry(load64(p + 16), load64(p + 24));
        sum = add_carry(sum, add_carry(a, b));
    }
    for (; left >= 8; left -= 8, p += 8)
        sum = add_carry(sum, load64(p));
    *data = p;
    *n = left;
    return sum;
}

u32 csum_add(const void *data, u32 n, u32 start)
{
    const u8 *p = data;
    u64 sum = add_blocks(&p, &n, start);

    if (n & 4) {
        sum = add_carry(sum, load32(p));
        p += 4;
    }
    if (n & 2) {
        sum = add_carry(sum, load16(p));
        p += 2;
    }
    if (n & 1)
        sum = add_carry(sum, *p);
    return fold32(sum);
}

/* A piece that begins at an odd offset counts with its bytes swapped: RFC 1071, 2 (B). */
static u32 add_piece(const u8 *data, u32 n, u32 sum, bool odd)
{
    u32 part = csum_add(data, n, 0);

    if (odd)
        part = (part & 0xff00ff) << 8 | (part >> 8 & 0xff00ff);
    return csum_add2(sum, part);
}

u32 pkt_csum(const struct pkt *pkt, u32 at, u32 n, u32 sum)
{
    bool odd = false;

    for (s32 i = -1; i < pkt->nr_frags && n; i++) {
        const u8 *data = i < 0 ? pkt->data : pkt->frags[i].data;
        u32 len = i < 0 ? pkt->len : pkt->frags[i].len;
        if (at >= len) {
            at -= len;
            continue;
        }
        u32 part = min(len - at, n);
        sum = add_piece(data + at, part, sum, odd);
        odd ^= part & 1;
        n -= part;
        at = 0;
    }
    return sum;
}

bool pkt_csum_finish(struct pkt *pkt)
{
    u32 start = pkt->csum_start, field = start + pkt->csum_offset;

    if (start > pkt->total || field + 2 > pkt->len)
        return false;
    u16 value = csum_fold(pkt_csum(pkt, start, pkt->total - start, 0));
    if (!value) /* means "none" in UDP, and is the same number elsewhere: RFC 768 */
        value = 0xffff;
    memcpy(pkt->data + field, &value, 2);
    pkt->csum = CSUM_NONE;
    return true;
}
