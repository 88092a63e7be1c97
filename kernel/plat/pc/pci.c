/* PCI configuration space through ports 0xcf8 and 0xcfc (PCI local bus 3.0, 3.2.2.3.2), or, where a
 * machine has no such ports, in memory: ECAM (PCI Express base 3.0, 7.2.2), which ACPI's MCFG
 * names. */
#include "arch/cpu.h"
#include "plat/pc/acpi.h"
#include "plat/pc/pc.h"

enum {
    CONFIG_ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
};
#define CONFIG_ENABLE (1u << 31)
enum { MCFG_BASE = 44, MCFG_FIRST_BUS = 54, MCFG_LAST_BUS = 55, ECAM_BUS_BYTES = 1 << 20 };

/* [I] */
static struct {
    volatile u8 *base; /* of the first bus; NULL: by ports */
    u32 first, last;   /* buses */
    u64 pa;
} ecam = {.last = 255};

void pc_pci_set_ecam(u64 pa)
{
    ecam.pa = pa;
}

static void select(u32 bus, u32 dev, u32 fn, u32 offset)
{
    outl(CONFIG_ADDRESS, CONFIG_ENABLE | bus << 16 | dev << 11 | fn << 8 | (offset & 0xfc));
}

static bool find_ecam(void)
{
    struct acpi_table mcfg;

    if (acpi_find("MCFG", &mcfg)) {
        ecam.pa = acpi_field(&mcfg, MCFG_BASE, 8);
        ecam.first = (u32)acpi_field(&mcfg, MCFG_FIRST_BUS, 1);
        ecam.last = (u32)acpi_field(&mcfg, MCFG_LAST_BUS, 1);
    }
    if (!ecam.pa || ecam.last < ecam.first)
        return false;
    ecam.base = pc_map_device(ecam.pa, (u64)(ecam.last - ecam.first + 1) * ECAM_BUS_BYTES);
    return ecam.base != NULL;
}

bool pc_pci_present(void)
{
    outl(CONFIG_ADDRESS, CONFIG_ENABLE);
    if (inl(CONFIG_ADDRESS) == CONFIG_ENABLE && inl(CONFIG_DATA) != UINT32_MAX)
        return true;
    return find_ecam();
}

static volatile u8 *ecam_at(u32 bus, u32 dev, u32 fn, u32 offset)
{
    if (bus < ecam.first || bus > ecam.last)
        return NULL;
    return ecam.base + (size_t)(bus - ecam.first) * ECAM_BUS_BYTES +
           (dev << 15 | fn << 12 | offset);
}

static u32 ecam_read(volatile u8 *at, u32 size)
{
    if (!at)
        return UINT32_MAX;
    return size == 1 ? *at : size == 2 ? *(volatile u16 *)at : *(volatile u32 *)at;
}

static void ecam_write(volatile u8 *at, u32 size, u32 value)
{
    if (!at)
        return;
    if (size == 1)
        *at = (u8)value;
    else if (size == 2)
        *(volatile u16 *)at = (u16)value;
    else
        *(volatile u32 *)at = value;
}

u32 pc_pci_read(u32 bus, u32 dev, u32 fn, u32 offset, u32 size)
{
    if (offset > 255 || bus > 255)
        return UINT32_MAX;
    if (ecam.base)
        return ecam_read(ecam_at(bus, dev, fn, offset), size);
    select(bus, dev, fn, offset);
    if (size == 1)
        return inb((u16)(CONFIG_DATA + (offset & 3)));
    if (size == 2)
        return inw((u16)(CONFIG_DATA + (offset & 2)));
    return inl(CONFIG_DATA);
}

void pc_pci_write(u32 bus, u32 dev, u32 fn, u32 offset, u32 size, u32 value)
{
    if (offset > 255 || bus > 255)
        return;
    if (ecam.base) {
        ecam_write(ecam_at(bus, dev, fn, offset), size, value);
        return;
    }
    select(bus, dev, fn, offset);
    if (size == 1)
        outb((u16)(CONFIG_DATA + (offset & 3)), (u8)value);
    else if (size == 2)
        outw((u16)(CONFIG_DATA + (offset & 2)), (u16)value);
    else
        outl(CONFIG_DATA, value);
}
