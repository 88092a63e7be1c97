/* PCI: finding functions, their capabilities and base address registers.  PCI local bus 3.0, 6. */
#pragma once

#include "lib/types.h"

/** A function of a device. [I] */
struct pci_dev {
    u32 bus, dev, fn;
    u16 vendor, device;
    u32 class_code; /* class, subclass and programming interface, a byte each */
};

enum pci_capability { PCI_CAP_MSI = 0x05, PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

/** Call @fn for every function on every bus that firmware set up, until it returns true. */
void pci_for_each(bool (*fn)(const struct pci_dev *pci, void *arg), void *arg);

/** Read and write the configuration space of @pci: @size is 1, 2 or 4 bytes, @offset a multiple of
 * it. */
u32 pci_config_read(const struct pci_dev *pci, u32 offset, u32 size);
/** The same, writing the low @size bytes of @value. */
void pci_config_write(const struct pci_dev *pci, u32 offset, u32 size, u32 value);

/** Offset of the next capability @id after offset @from (0: the first), or 0. */
u32 pci_find_capability(const struct pci_dev *pci, u32 from, enum pci_capability id);

/**
 * Map @len bytes at @offset of memory BAR @bar (0 to 5).
 * NULL for an I/O BAR, one that firmware left unset, a wrap, or no memory.
 */
void *pci_map_bar(const struct pci_dev *pci, u32 bar, u64 offset, u64 len);

/** Where memory BAR @bar lies, 0: as for pci_map_bar(). */
u64 pci_bar_address(const struct pci_dev *pci, u32 bar);

/** First port of I/O BAR @bar, 0: it is none, or firmware left it unset. */
u16 pci_io_bar(const struct pci_dev *pci, u32 bar);

/** Switch on decoding of memory and ports, and bus mastering; interrupts by pin stay off. */
void pci_enable(const struct pci_dev *pci);

/**
 * Let MSI-X entry @entry deliver to pending line @line of @cpu, and switch MSI-X on.
 * 0, -ENODEV: there is no MSI-X, -ENOSPC: no such entry, or another negative errno.
 */
int pci_enable_msix(const struct pci_dev *pci, u32 entry, u32 line, u32 cpu);

/** By what a device interrupts, as pci_enable_irq() found. */
enum pci_irq { PCI_IRQ_MSIX, PCI_IRQ_MSI, PCI_IRQ_PIN };

/**
 * Let @fn(@arg) run at a safe point of the first CPU after the device's interrupt: by MSI-X entry 0
 * where there is MSI-X, else by MSI, else by its pin.  Pins are shared and seen as edges, so @fn
 * must work off all it finds, and is called now and then without cause. enum pci_irq, or a negative
 * errno. At start.
 */
int pci_enable_irq(const struct pci_dev *pci, void (*fn)(void *arg), void *arg);
/** The same for a pending line that has its handler already; @msix: may it be MSI-X? */
int pci_route_line(const struct pci_dev *pci, u32 line, bool msix);
/** The same, but never by MSI-X: for devices that want more of a driver then. */
int pci_enable_simple_irq(const struct pci_dev *pci, void (*fn)(void *arg), void *arg);
/** The same for an interrupt line that firmware fixes, as those of IDE. 0 or a negative errno. */
int pci_enable_fixed_irq(u32 gsi, void (*fn)(void *arg), void *arg);

/** "pci 00:03.0", for messages. */
const char *pci_name(const struct pci_dev *pci, char text[20]);

/** Find all functions and start the drivers of those that have one; names the others. */
void pci_probe_all(void);

/** Probes of drivers, by pci_drivers.c: 0, or a negative errno, which is logged. Thread context. */
int virtio_pci_probe(const struct pci_dev *pci);
int virtio_pci_legacy_probe(const struct pci_dev *pci, u32 type);
int nvme_probe(const struct pci_dev *pci);
int ahci_probe(const struct pci_dev *pci);
int e1000_probe(const struct pci_dev *pci);
int vmxnet3_probe(const struct pci_dev *pci);
int bochs_display_probe(const struct pci_dev *pci);
int ide_probe(const struct pci_dev *pci);
int pvscsi_probe(const struct pci_dev *pci);
