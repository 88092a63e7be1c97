/* What the firmware calls the machine: the system's strings of SMBIOS 3 (DSP0134, 5.2 and 7.2).  A
 * BIOS leaves the entry point in its own memory. */
#include "lib/string.h"
#include "plat/pc/pc.h"

enum { AREA = 0xf0000, AREA_END = 0x100000, STEP = 16, TABLE_MAX = 1 << 16 };
enum { TYPE_SYSTEM = 1, TYPE_END = 127, HEADER = 4, FIRST_STRING = 4, NR_STRINGS = 4 };

static u64 get(const u8 *p, u32 size)
{
    u64 v = 0;

    memcpy(&v, p, size);
    return v;
}

/* The table that an entry point names; 64 bits of address, or 32. */
static const u8 *find_table(u32 *len)
{
    const u8 *area = pc_map_firmware(AREA, AREA_END - AREA);

    for (u32 at = 0; area && at < AREA_END - AREA; at += STEP) {
        const u8 *p = area + at;
        bool long_form = !memcmp(p, "_SM3_", 5);
        if (!long_form && memcmp(p, "_SM_", 4))
            continue;
        *len = (u32)min(long_form ? get(p + 12, 4) : get(p + 22, 2), (u64)TABLE_MAX);
        return pc_map_firmware(long_form ? get(p + 16, 8) : get(p + 24, 4), *len);
    }
    return NULL;
}

/* String @number of a structure whose strings are [@p, @end), 1 the first, onto @out with a
 * newline.
 */
static size_t add_string(const char *p, const char *end, u32 number, char *out, size_t size)
{
    for (u32 i = 1; p < end && *p; i++) {
        size_t len = 0;
        while (p + len < end && p[len])
            len++;
        if (i == number && len + 2 <= size) {
            memcpy(out, p, len);
            memcpy(out + len, "\n", 2);
            return len + 1;
        }
        p += len + 1;
    }
    return 0;
}

bool pc_firmware_text(char *out, size_t size)
{
    u32 len;
    const u8 *p = find_table(&len);
    const char *end = (const char *)p + (p ? len : 0);
    size_t done = 0;

    *out = '\0';
    while (p && p + HEADER <= (const u8 *)end && p[1] >= HEADER && p[0] != TYPE_END) {
        const char *strings = (const char *)p + p[1];
        if (p[0] == TYPE_SYSTEM && p[1] >= FIRST_STRING + NR_STRINGS) {
            for (u32 i = 0; i < NR_STRINGS; i++)
                done += add_string(strings, end, p[FIRST_STRING + i], out + done, size - done);
            break;
        }
        while (strings + 1 < end && (strings[0] || strings[1]))
            strings++;
        p = (const u8 *)strings + 2;
    }
    return done != 0;
}
