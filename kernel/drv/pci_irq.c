/* Interrupts of PCI functions: MSI-X, else MSI (PCI local bus 3.0, 6.8), else the pin.
 * A pin is level-triggered and shared, and our interrupt handlers only set a bit and acknowledge,
 * so that a level would interrupt for ever; it is therefore taken as an edge.  An edge that two
 * devices swallow between them, or that a wrong entry of the firmware loses, is made good by a look
 * at all such devices now and then, as long as there are any. */
#include "abi/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/time.h"
#include "core/timer.h"
#include "drv/pci.h"
#include "plat/plat.h"

enum {
    PCI_COMMAND = 0x04,
    COMMAND_NO_INTX = 0x400,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    LINE_UNKNOWN = 0xff,
    MSI_ENABLE = 1,
    MSI_VECTORS = 0x70,
    MSI_64 = 0x80,
};
static const u64 look_ns = 20 * NSEC_PER_MSEC;

static u32 pin_lines; /* [I] after start: pending lines that pins set */
static struct timer look_timer;

static void look(struct timer *t)
{
    for (u32 lines = pin_lines; lines; lines &= lines - 1)
        irq_pend((u32)__builtin_ctz(lines));
    timer_set(t, time_after_ns(look_ns));
}

static int enable_msi(const struct pci_dev *pci, u32 line)
{
    u32 cap = pci_find_capability(pci, 0, PCI_CAP_MSI);
    u64 addr;
    u32 data;

    if (!cap)
        return -ENODEV;
    int err = plat.irq_route_msi(line, 0, &addr, &data);
    if (err)
        return err;
    u32 control = pci_config_read(pci, cap + 2, 2);
    pci_config_write(pci, cap + 4, 4, (u32)addr);
    if (control & MSI_64)
        pci_config_write(pci, cap + 8, 4, (u32)(addr >> 32));
    pci_config_write(pci, cap + (control & MSI_64 ? 12 : 8), 2, data);
    pci_config_write(pci, cap + 2, 2, (control & ~(u32)MSI_VECTORS) | MSI_ENABLE);
    return 0;
}

static void route_pin(u32 gsi, u32 line)
{
    if (plat.irq_route_gsi(gsi, line))
        log_warn("pci: interrupt %u goes nowhere; its device is looked at now and then", gsi);
    if (!pin_lines) {
        timer_init(&look_timer, look);
        timer_set(&look_timer, time_after_ns(look_ns));
    }
    pin_lines |= 1u << line;
}

int pci_enable_fixed_irq(u32 gsi, irq_handler fn, void *arg)
{
    int line = irq_register(fn, arg);

    if (line >= 0)
        route_pin(gsi, (u32)line);
    return min(line, 0);
}

static int enable_pin(const struct pci_dev *pci, u32 line)
{
    u32 gsi = pci_config_read(pci, PCI_INTERRUPT_LINE, 1);

    if (!pci_config_read(pci, PCI_INTERRUPT_PIN, 1))
        return -ENODEV;
    u32 command = pci_config_read(pci, PCI_COMMAND, 2);
    pci_config_write(pci, PCI_COMMAND, 2, command & ~(u32)COMMAND_NO_INTX);
    route_pin(gsi == LINE_UNKNOWN ? UINT32_MAX : gsi, line);
    return PCI_IRQ_PIN;
}

int pci_route_line(const struct pci_dev *pci, u32 line, bool msix)
{
    if (msix && !pci_enable_msix(pci, 0, line, 0))
        return PCI_IRQ_MSIX;
    return enable_msi(pci, line) ? enable_pin(pci, line) : PCI_IRQ_MSI;
}

int pci_enable_irq(const struct pci_dev *pci, irq_handler fn, void *arg)
{
    int line = irq_register(fn, arg);

    return line < 0 ? line : pci_route_line(pci, (u32)line, true);
}

int pci_enable_simple_irq(const struct pci_dev *pci, irq_handler fn, void *arg)
{
    int line = irq_register(fn, arg);

    return line < 0 ? line : pci_route_line(pci, (u32)line, false);
}
