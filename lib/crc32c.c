#include "lib/crc32c.h"

enum { POLYNOMIAL_REVERSED = 0x82f63b78 };

bool crc32c_by_instruction;

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

/* Four bits at a time: a table of 64 bytes. */
u32 crc32c(u32 crc, const void *data, size_t len)
{
    static u32 table[16];
    const u8 *p = data;

    if (crc32c_by_instruction)
        return crc32c_quick(crc, data, len);
    if (!table[1]) {
        for (u32 i = 16; i-- > 0;) { /* entry 1 last: it says that all are there */
            u32 c = i;
            for (int bit = 0; bit < 4; bit++)
                c = c >> 1 ^ (c & 1 ? (u32)POLYNOMIAL_REVERSED : 0);
            __atomic_store_n(&table[i], c, __ATOMIC_RELEASE);
        }
    }
    while (len--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}
