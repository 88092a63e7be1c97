/* The display of QEMU and Bochs (bochs-display, std VGA): a mode with a linear frame buffer, for
 * who was started without one.  Registers as in QEMU's docs/specs/standard-vga.txt. */
#include "abi/errno.h"
#include "drv/pci.h"
#include "drv/screen.h"

enum { BAR_MEMORY = 0, BAR_REGISTERS = 2, REGISTERS = 0x400, REGISTERS_BYTES = 0x200 };
enum { VGA_ATTRIBUTES = 0x000, DISPI = 0x100 }; /* from there on; the index is 3c0 */
enum dispi { DISPI_ID, DISPI_WIDTH, DISPI_HEIGHT, DISPI_DEPTH, DISPI_ENABLE };
enum { ID_FIRST = 0xb0c0, ID_LAST = 0xb0cf, ENABLED = 1, LINEAR = 0x40, UNBLANK = 0x20 };
enum { WIDTH = 1024, HEIGHT = 768, BYTES = 4 };

static void put(volatile u8 *regs, enum dispi index, u16 value)
{
    *(volatile u16 *)(regs + DISPI + 2 * index) = value;
}

int bochs_display_probe(const struct pci_dev *pci)
{
    if (screen_is_done())
        return 0;
    pci_enable(pci);
    volatile u8 *regs = pci_map_bar(pci, BAR_REGISTERS, REGISTERS, REGISTERS_BYTES);
    u64 pa = pci_bar_address(pci, BAR_MEMORY);
    if (!regs || !pa)
        return -ENODEV;
    u16 id = *(volatile u16 *)(regs + DISPI + 2 * DISPI_ID);
    if (id < ID_FIRST || id > ID_LAST)
        return -ENODEV;
    put(regs, DISPI_ENABLE, 0);
    put(regs, DISPI_WIDTH, WIDTH);
    put(regs, DISPI_HEIGHT, HEIGHT);
    put(regs, DISPI_DEPTH, 8 * BYTES);
    put(regs, DISPI_ENABLE, ENABLED | LINEAR);
    regs[VGA_ATTRIBUTES] = UNBLANK;
    screen_start(pa, WIDTH, HEIGHT, WIDTH * BYTES);
    return 0;
}
