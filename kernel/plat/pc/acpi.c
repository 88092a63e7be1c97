/* The ACPI tables that a virtual machine needs (ACPI 6.5 ch. 5): the way from RSDP to a table, and
 * the MADT.  What is malformed is left out with a warning. */
#include "plat/pc/acpi.h"

#include "core/log.h"
#include "lib/string.h"
#include "plat/pc/pc.h"

enum {
    RSDP_V1_LEN = 20,
    RSDP_V2_LEN = 36,
    HEADER_LEN = 36,
    MAX_TABLE_LEN = 1 << 20,
    MADT_ENTRIES = 44,
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_X2APIC = 9,
    MADT_ENABLED = 1,
};

static struct acpi_table root; /* XSDT or RSDT */
static u32 root_entry_size;    /* 8 or 4 */

static u64 get(const u8 *p, u32 size)
{
    u64 v = 0;
    memcpy(&v, p, size);
    return v;
}

u64 acpi_field(const struct acpi_table *t, u32 offset, u32 size)
{
    return offset + size <= t->len ? get(t->data + offset, size) : 0;
}

static bool checksum_ok(const u8 *p, u32 len)
{
    u8 sum = 0;
    for (u32 i = 0; i < len; i++)
        sum += p[i];
    return sum == 0;
}

bool acpi_table_at(u64 pa, const char *signature, struct acpi_table *out)
{
    const u8 *p = pc_map_firmware(pa, HEADER_LEN);

    if (!p || memcmp(p, signature, 4))
        return false;
    u32 len = (u32)get(p + 4, 4);
    if (len < HEADER_LEN || len > MAX_TABLE_LEN || !pc_map_firmware(pa, len)) {
        log_warn("acpi: table %s at %#lx: bad length %u", signature, pa, len);
        return false;
    }
    if (!checksum_ok(p, len)) {
        log_warn("acpi: table %s at %#lx: bad checksum", signature, pa);
        return false;
    }
    *out = (struct acpi_table){p, len};
    return true;
}

bool acpi_find(const char *signature, struct acpi_table *out)
{
    if (!root.data)
        return false;
    for (u32 at = HEADER_LEN; at + root_entry_size <= root.len; at += root_entry_size)
        if (acpi_table_at(get(root.data + at, root_entry_size), signature, out))
            return true;
    return false;
}

static const u8 *rsdp_at(u64 pa)
{
    const u8 *p = pc_map_firmware(pa, RSDP_V2_LEN);

    return p && !memcmp(p, "RSD PTR ", 8) && checksum_ok(p, RSDP_V1_LEN) ? p : NULL;
}

bool acpi_tables_init(u64 rsdp_pa)
{
    const u8 *rsdp = rsdp_at(rsdp_pa);

    if (!rsdp)
        return false;
    root_entry_size = 8;
    if (rsdp[15] >= 2 && acpi_table_at(get(rsdp + 24, 8), "XSDT", &root))
        return true;
    root_entry_size = 4;
    return acpi_table_at(get(rsdp + 16, 4), "RSDT", &root);
}

static void read_madt_entry(const u8 *e, u32 len)
{
    if (e[0] == MADT_IOAPIC && len >= 12)
        pc_ioapic_add(get(e + 4, 4), (u32)get(e + 8, 4));
    else if (e[0] == MADT_LAPIC && len >= 8 && get(e + 4, 4) & MADT_ENABLED)
        pc_cpu_found(e[3]);
    else if (e[0] == MADT_X2APIC && len >= 16 && get(e + 8, 4) & MADT_ENABLED)
        pc_cpu_found((u32)get(e + 4, 4));
}

void acpi_read_madt(void)
{
    struct acpi_table madt;

    if (!acpi_find("APIC", &madt))
        return;
    for (u32 at = MADT_ENTRIES; at + 2 <= madt.len;) {
        u32 len = madt.data[at + 1];
        if (len < 2 || at + len > madt.len) {
            log_warn("acpi: MADT entry at %u: bad length %u", at, len);
            break;
        }
        read_madt_entry(madt.data + at, len);
        at += len;
    }
}
