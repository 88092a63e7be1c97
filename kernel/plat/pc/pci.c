/* PCI configuration space through ports 0xcf8 and 0xcfc (PCI local bus 3.0, 3.2.2.3.2). */
#include "arch/cpu.h"
#include "plat/pc/pc.h"

enum {
    CONFIG_ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
};
#define CONFIG_ENABLE (1u << 31)

static void select(u32 bus, u32 dev, u32 fn, u32 offset)
{
    outl(CONFIG_ADDRESS, CONFIG_ENABLE | bus << 16 | dev << 11 | fn << 8 | (offset & 0xfc));
}

bool pc_pci_present(void)
{
    outl(CONFIG_ADDRESS, CONFIG_ENABLE);
    return inl(CONFIG_ADDRESS) == CONFIG_ENABLE && inl(CONFIG_DATA) != UINT32_MAX;
}

u32 pc_pci_read(u32 bus, u32 dev, u32 fn, u32 offset, u32 size)
{
    if (offset > 255 || bus > 255)
        return UINT32_MAX;
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
    select(bus, dev, fn, offset);
    if (size == 1)
        outb((u16)(CONFIG_DATA + (offset & 3)), (u8)value);
    else if (size == 2)
        outw((u16)(CONFIG_DATA + (offset & 2)), (u16)value);
    else
        outl(CONFIG_DATA, value);
}
