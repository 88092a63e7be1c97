#include "lib/crc32c.h"

enum { POLYNOMIAL_REVERSED = 0x82f63b78 };
enum { WORDS = 8, CHUNK = 8 * WORDS, LONG = 256, FEW = 8 };

bool crc32c_by_instruction, crc32c_by_table;

/* What each byte of a word of eight does to the sum, and each byte of the sum before CHUNK zeros:
 * most blocks of a file system are zeros for the greater part. */
static struct {
    u32 word[8][256];
    u32 zeros[4][256];
    bool made; /* [A] made anew by two at once, it is the same */
} tables;

/* SSE4.2 has it, in general registers. */
static u32 crc32c_quick(u32 crc, const u8 *p, size_t len)
{
    u64 c = crc, word;

    for (; len >= 8; p += 8, len -= 8) {
        __builtin_memcpy(&word, p, 8);
        __asm__("crc32q %1, %0" : "+r"(c) : "rm"(word));
    }
    for (; len; p++, len--)
        __asm__("crc32b %1, %0" : "+r"(c) : "rm"(*p));
    return (u32)c;
}

static inline u32 add_word(u64 word)
{
    return tables.word[7][word & 255] ^ tables.word[6][word >> 8 & 255] ^
           tables.word[5][word >> 16 & 255] ^ tables.word[4][word >> 24 & 255] ^
           tables.word[3][word >> 32 & 255] ^ tables.word[2][word >> 40 & 255] ^
           tables.word[1][word >> 48 & 255] ^ tables.word[0][word >> 56];
}

static inline u32 add_zeros(u32 crc)
{
    return tables.zeros[0][crc & 255] ^ tables.zeros[1][crc >> 8 & 255] ^
           tables.zeros[2][crc >> 16 & 255] ^ tables.zeros[3][crc >> 24];
}

static void make_word_tables(void)
{
    for (u32 i = 1; i < 256; i++) {
        u32 c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? (u32)POLYNOMIAL_REVERSED : 0);
        tables.word[0][i] = c;
    }
    for (u32 k = 1; k < 8; k++) {
        for (u32 i = 1; i < 256; i++) {
            u32 c = tables.word[k - 1][i];
            tables.word[k][i] = c >> 8 ^ tables.word[0][c & 255];
        }
    }
}

/* A sum is linear: an entry is that of its lowest bit and that of the others together. */
static void make_zero_tables(void)
{
    for (u32 k = 0; k < 4; k++) {
        for (u32 i = 1; i < 256; i++) {
            u32 low = i & -i, c = i << 8 * k;
            for (u32 word = 0; word < WORDS && i == low; word++)
                c = add_word(c);
            tables.zeros[k][i] = i == low ? c : tables.zeros[k][low] ^ tables.zeros[k][i ^ low];
        }
    }
}

static u32 crc32c_table(u32 crc, const u8 *p, size_t len)
{
    u64 words[WORDS];

    if (!__atomic_load_n(&tables.made, __ATOMIC_ACQUIRE)) {
        make_word_tables();
        make_zero_tables();
        __atomic_store_n(&tables.made, true, __ATOMIC_RELEASE);
    }
    for (; len >= CHUNK; p += CHUNK, len -= CHUNK) {
        __builtin_memcpy(words, p, CHUNK);
        u64 any = 0;
        for (u32 i = 0; i < WORDS; i++)
            any |= words[i];
        if (!any) {
            crc = add_zeros(crc);
            continue;
        }
        for (u32 i = 0; i < WORDS; i++)
            crc = add_word(words[i] ^ crc);
    }
    for (; len; p++, len--)
        crc = crc >> 8 ^ tables.word[0][(crc ^ *p) & 255];
    return crc;
}

/* Short runs do as well without, and a start that sums few does not pay for the tables. */
static bool wants_tables(size_t len)
{
    static u32 nr_long; /* [A] */

    if (!crc32c_by_instruction)
        return true;
    if (!crc32c_by_table || len < LONG)
        return false;
    return __atomic_load_n(&tables.made, __ATOMIC_RELAXED) ||
           __atomic_fetch_add(&nr_long, 1, __ATOMIC_RELAXED) >= FEW;
}

u32 crc32c(u32 crc, const void *data, size_t len)
{
    return wants_tables(len) ? crc32c_table(crc, data, len) : crc32c_quick(crc, data, len);
}
