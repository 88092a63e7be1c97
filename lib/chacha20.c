#include "lib/chacha20.h"

#include "lib/string.h"

static u32 rotl(u32 v, int n)
{
    return v << n | v >> (32 - n);
}

static void quarter_round(u32 *x, int a, int b, int c, int d)
{
    x[a] += x[b], x[d] = rotl(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotl(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotl(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotl(x[b] ^ x[c], 7);
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
        for (int j = 0; j < 4; j++)
            quarter_round(x, j, 4 + j, 8 + j, 12 + j);
        for (int j = 0; j < 4; j++)
            quarter_round(x, j, 4 + (j + 1) % 4, 8 + (j + 2) % 4, 12 + (j + 3) % 4);
    }
    for (int i = 0; i < 16; i++)
        x[i] += start[i];
    memcpy(out, x, sizeof(x)); /* little-endian machines only, as all of ours */
}
