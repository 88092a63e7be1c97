/* PCI: finding functions, their capabilities and base address registers.  PCI local bus 3.0, 6. */
#pragma once

#include "lib/types.h"

/** A function of a device. [I] */
struct pci_dev {
    u32 bus, dev, fn;
    u16 vendor, device;
    u8 class_code, subclass;
};

enum pci_capability { PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

/** Call @fn for every function on every bus that firmware set up, until it returns true. */
void pci_for_each(bool (*fn)(const struct pci_dev *pci, void *arg), void *arg);

u32 pci_config_read(const struct pci_dev *pci, u32 offset, u32 size);
void pci_config_write(const struct pci_dev *pci, u32 offset, u32 size, u32 value);

/** Offset of the next capability @id after offset @from (0: the first), or 0. */
u32 pci_find_capability(const struct pci_dev *pci, u32 from, enum pci_capability id);

/**
 * Map @len bytes at @offset of memory BAR @bar (0 to 5).
 * NULL for an I/O BAR, one that firmware left unset, a wrap, or no memory.
 */
void *pci_map_bar(const struct pci_dev *pci, u32 bar, u64 offset, u64 len);

/** Switch on memory decoding and bus mastering. */
void pci_enable(const struct pci_dev *pci);

/**
 * Let MSI-X entry @entry deliver to pending line @line of @cpu, and switch MSI-X on.
 * 0, -ENODEV: there is no MSI-X, -ENOSPC: no such entry, or another negative errno.
 */
int pci_enable_msix(const struct pci_dev *pci, u32 entry, u32 line, u32 cpu);
