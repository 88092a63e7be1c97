/* Over whole words only, which is all that its users have. */
#include "lib/siphash.h"

static u64 rotl(u64 x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void rounds(u64 v[4], unsigned n)
{
    while (n--) {
        v[0] += v[1], v[1] = rotl(v[1], 13) ^ v[0], v[0] = rotl(v[0], 32);
        v[2] += v[3], v[3] = rotl(v[3], 16) ^ v[2];
        v[0] += v[3], v[3] = rotl(v[3], 21) ^ v[0];
        v[2] += v[1], v[1] = rotl(v[1], 17) ^ v[2], v[2] = rotl(v[2], 32);
    }
}

static void absorb(u64 v[4], u64 word)
{
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
}

u64 siphash(const struct siphash_key *key, const u64 *words, u32 n)
{
    u64 v[4] = {
        key->k[0] ^ 0x736f6d6570736575ull,
        key->k[1] ^ 0x646f72616e646f6dull,
        key->k[0] ^ 0x6c7967656e657261ull,
        key->k[1] ^ 0x7465646279746573ull,
    };

    for (u32 i = 0; i < n; i++)
        absorb(v, words[i]);
    absorb(v, (u64)(n * 8) << 56);
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
