#include "lib/chacha20.h"

#include "lib/string.h"

static inline u32 rotl(u32 v, int n)
{
    return v << n | v >> (32 - n);
}

/* In line, with constant indices: a block is computed at every start of a program. */
static inline __attribute__((always_inline)) void quarter_round(u32 *x, int a, int b, int c, int d)
{
    u32 va = x[a], vb = x[b], vc = x[c], vd = x[d];

    va += vb, vd = rotl(vd ^ va, 16);
    vc += vd, vb = rotl(vb ^ vc, 12);
    va += vb, vd = rotl(vd ^ va, 8);
    vc += vd, vb = rotl(vb ^ vc, 7);
    x[a] = va, x[b] = vb, x[c] = vc, x[d] = vd;
}

void chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3], u8 out[64])
{
    u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    u32 x[16];

    memcpy(&start[4], key, 32);
    start[12] = counter;
    memcpy(&start[13], nonce, 12);
    memcpy(x, start, sizeof(x));
    for (int i = 0; i < 10; i++) {
        quarter_round(x, 0, 4, 8, 12);
        quarter_round(x, 1, 5, 9, 13);
        quarter_round(x, 2, 6, 10, 14);
        quarter_round(x, 3, 7, 11, 15);
        quarter_round(x, 0, 5, 10, 15);
        quarter_round(x, 1, 6, 11, 12);
        quarter_round(x, 2, 7, 8, 13);
        quarter_round(x, 3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++)
        x[i] += start[i];
    memcpy(out, x, sizeof(x)); /* little-endian machines only, as all of ours */
}
