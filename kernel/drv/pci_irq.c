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
    MAX_PINS = 16,
};
static const u64 look_ns = 20 * NSEC_PER_MSEC;

/* [I] after start */
static struct {
    irq_handler fn;
    void *arg;
} pins[MAX_PINS];
static u32 nr_pins;
static struct timer look_timer;

static void look(struct timer *t)
{
    for (u32 i = 0; i < nr_pins; i++)
        pins[i].fn(pins[i].arg);
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

int pci_enable_fixed_irq(u32 gsi, irq_handler fn, void *arg)
{
    if (nr_pins == MAX_PINS)
        return -ENOSPC;
    int line = irq_register(fn, arg);
    if (line < 0)
        return line;
    if (plat.irq_route_gsi(gsi, (u32)line))
        log_warn("pci: interrupt %u goes nowhere; its device is looked at now and then", gsi);
    pins[nr_pins].fn = fn;
    pins[nr_pins].arg = arg;
    if (nr_pins++ == 0) {
        timer_init(&look_timer, look);
        timer_set(&look_timer, time_after_ns(look_ns));
    }
    return 0;
}

static int enable_pin(const struct pci_dev *pci, irq_handler fn, void *arg)
{
    u32 pin = pci_config_read(pci, PCI_INTERRUPT_PIN, 1);
    u32 gsi = pci_config_read(pci, PCI_INTERRUPT_LINE, 1);

    if (!pin)
        return -ENODEV;
    u32 command = pci_config_read(pci, PCI_COMMAND, 2);
    pci_config_write(pci, PCI_COMMAND, 2, command & ~(u32)COMMAND_NO_INTX);
    int err = pci_enable_fixed_irq(gsi == LINE_UNKNOWN ? UINT32_MAX : gsi, fn, arg);
    return err ? err : PCI_IRQ_PIN;
}

static int enable_by(const struct pci_dev *pci, bool msix, irq_handler fn, void *arg)
{
    msix = msix && pci_find_capability(pci, 0, PCI_CAP_MSIX);
    if (!msix && !pci_find_capability(pci, 0, PCI_CAP_MSI))
        return enable_pin(pci, fn, arg);
    int line = irq_register(fn, arg);
    if (line < 0)
        return line;
    if (msix && !pci_enable_msix(pci, 0, (u32)line, 0))
        return PCI_IRQ_MSIX;
    return enable_msi(pci, (u32)line) ? enable_pin(pci, fn, arg) : PCI_IRQ_MSI;
}

int pci_enable_irq(const struct pci_dev *pci, irq_handler fn, void *arg)
{
    return enable_by(pci, true, fn, arg);
}

int pci_enable_simple_irq(const struct pci_dev *pci, irq_handler fn, void *arg)
{
    return enable_by(pci, false, fn, arg);
}
