#include "lib/sha256_blocks.h"

#include "lib/cpuid.h"

#include <immintrin.h>
#include <string.h>

static const u32 constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32 rotate(u32 x, u32 n)
{
    return x >> n | x << (32 - n);
}

/* 6.2.2, with the message schedule made as it is used. */
static void one_block(u32 state[8], const u8 *bytes)
{
    u32 w[16], s[8];

    memcpy(s, state, sizeof(s));
    for (u32 t = 0; t < 64; t++) {
        u32 *at = &w[t % 16];
        if (t < 16) {
            memcpy(at, bytes + 4 * t, sizeof(*at));
            *at = __builtin_bswap32(*at);
        } else {
            u32 early = w[(t + 1) % 16], late = w[(t + 14) % 16];
            *at += (rotate(early, 7) ^ rotate(early, 18) ^ early >> 3) + w[(t + 9) % 16] +
                   (rotate(late, 17) ^ rotate(late, 19) ^ late >> 10);
        }
        u32 a = s[0], e = s[4];
        u32 t1 = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                 ((e & s[5]) ^ (~e & s[6])) + constants[t] + *at;
        u32 t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
                 ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(*s));
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (u32 i = 0; i < 8; i++)
        state[i] += s[i];
}

/* The same by SHA256RNDS2, MSG1 and MSG2, which want the state as ABEF and CDGH (SDM 2B). */
__attribute__((target("sha,sse4.1"))) static void blocks_by_instruction(u32 state[8],
                                                                        const u8 *bytes, size_t n)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const void *)state), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);

    for (; n; n--, bytes += SHA256_BLOCK) {
        __m128i before0 = abef, before1 = cdgh, w[4];
#pragma GCC unroll 16
        for (u32 t = 0; t < 16; t++) { /* four rounds each */
            __m128i *at = &w[t % 4];
            if (t < 4) {
                *at = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(bytes + 16 * t)), swap);
            } else {
                __m128i last = w[(t + 3) % 4];
                __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*at, w[(t + 1) % 4]),
                                            _mm_alignr_epi8(last, w[(t + 2) % 4], 4));
                *at = _mm_sha256msg2_epu32(sum, last);
            }
            __m128i k =
                _mm_add_epi32(*at, _mm_loadu_si128((const void *)(constants + (size_t)4 * t)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
        }
        abef = _mm_add_epi32(abef, before0);
        cdgh = _mm_add_epi32(cdgh, before1);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((void *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

bool sha256_has_instructions(void)
{
    enum { SHA = 1 << 29, SSSE3_SSE4_1 = 1 << 9 | 1 << 19 }; /* EBX of leaf 7; ECX of leaf 1 */
    struct cpuid_answer cpu;

    if (!host_cpuid_if_any(7, 0, &cpu) || !(cpu.ebx & SHA))
        return false;
    host_cpuid(1, 0, &cpu);
    return (cpu.ecx & SSSE3_SSE4_1) == SSSE3_SSE4_1;
}

void sha256_blocks(u32 state[8], const u8 *bytes, size_t n, bool by_instruction)
{
    if (by_instruction) {
        blocks_by_instruction(state, bytes, n);
        return;
    }
    for (; n; n--, bytes += SHA256_BLOCK)
        one_block(state, bytes);
}
