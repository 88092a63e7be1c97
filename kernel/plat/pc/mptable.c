/* CPUs where there is no ACPI: the MultiProcessor Specification 1.4, ch. 4.  Looked for only where
 * CPUID speaks of several.  I/O APICs and interrupts are not taken from it: pc_irq_route_gsi()
 * knows its way. */
#include "arch/cpu.h"
#include "core/log.h"
#include "lib/string.h"
#include "plat/pc/pc.h"

enum {
    EBDA_SEGMENT = 0x40e, /* where the BIOS says its data area begins, over 16 */
    BASE_MEMORY_END = 0xa0000,
    ROM_START = 0xf0000,
    ROM_END = 0x100000,
    FLOATING_LEN = 16,
    HEADER_LEN = 44,
    ENTRY_CPU = 0,
    CPU_LEN = 20,
    OTHER_LEN = 8,
    CPU_ENABLED = 1,
};

static bool sum_ok(const u8 *p, u32 len)
{
    u8 sum = 0;

    while (len--)
        sum += *p++;
    return sum == 0;
}

/* The floating pointer in [@pa, @end), which the direct map has. */
static const u8 *find_floating(u64 pa, u64 end)
{
    for (; pa + FLOATING_LEN <= end; pa += FLOATING_LEN) {
        const u8 *p = phys_to_virt(pa);
        if (!memcmp(p, "_MP_", 4) && sum_ok(p, FLOATING_LEN))
            return p;
    }
    return NULL;
}

static u64 word_at(const u8 *p, size_t size)
{
    u64 v = 0;
    memcpy(&v, p, size);
    return v;
}

static const u8 *find_table(u32 *len)
{
    u64 ebda = word_at(phys_to_virt(EBDA_SEGMENT), 2) << 4;
    const u8 *floating = NULL;

    if (ebda && ebda + 1024 <= BASE_MEMORY_END)
        floating = find_floating(ebda, ebda + 1024);
    if (!floating)
        floating = find_floating(BASE_MEMORY_END - 2048, BASE_MEMORY_END);
    if (!floating)
        floating = find_floating(ROM_START, ROM_END);
    u64 pa = floating ? word_at(floating + 4, 4) : 0;
    const u8 *table = pa ? pc_map_firmware(pa, HEADER_LEN) : NULL;
    if (!table || memcmp(table, "PCMP", 4))
        return NULL;
    *len = (u32)word_at(table + 4, 2);
    if (*len < HEADER_LEN || !pc_map_firmware(pa, *len) || !sum_ok(table, *len)) {
        log_warn("mp table at %#lx: malformed", pa);
        return NULL;
    }
    return table;
}

void pc_read_mptable(void)
{
    u32 len, cpus_in_package = cpuid(1, 0).ebx >> 16 & 0xff;

    if (cpus_in_package < 2)
        return;
    const u8 *table = find_table(&len);
    for (u32 at = HEADER_LEN; table && at + OTHER_LEN <= len;) {
        const u8 *e = table + at;
        if (e[0] != ENTRY_CPU) {
            at += OTHER_LEN;
            continue;
        }
        if (at + CPU_LEN <= len && e[3] & CPU_ENABLED)
            pc_cpu_found(e[1]);
        at += CPU_LEN;
    }
}
