/* Which driver takes which PCI function, by vendor and device or by class (PCI code and id
 * assignment specification 1.11).  What nobody takes is named on the log, and the start goes on. */
#include "core/log.h"
#include "drv/pci.h"

struct pci_driver {
    const char *name;
    u16 vendor, first, last; /* of devices; vendor 0: by class */
    u32 class_code, class_mask;
    int (*probe)(const struct pci_dev *pci);
};

enum {
    VENDOR_VIRTIO = 0x1af4,
    VENDOR_BOCHS = 0x1234,
    VENDOR_VMWARE = 0x15ad,
    VENDOR_INTEL = 0x8086
};
enum { CLASS_BRIDGE = 0x06 };

static const struct pci_driver drivers[] = {
    {"virtio", VENDOR_VIRTIO, 0x1000, 0x107f, 0, 0, virtio_pci_probe},
    {"nvme", 0, 0, 0, 0x010802, 0xffffff, nvme_probe},
    {"ahci", 0, 0, 0, 0x010601, 0xffffff, ahci_probe},
    {"ide", 0, 0, 0, 0x010100, 0xffff00, ide_probe},
    {"pvscsi", VENDOR_VMWARE, 0x07c0, 0x07c0, 0, 0, pvscsi_probe},
    {"bochs-display", VENDOR_BOCHS, 0x1111, 0x1111, 0, 0, bochs_display_probe},
    {"vmxnet3", VENDOR_VMWARE, 0x07b0, 0x07b0, 0, 0, vmxnet3_probe},
    {"e1000", VENDOR_INTEL, 0x1004, 0x1004, 0, 0, e1000_probe},  /* 82543GC */
    {"e1000", VENDOR_INTEL, 0x1008, 0x1008, 0, 0, e1000_probe},  /* 82544EI */
    {"e1000", VENDOR_INTEL, 0x100e, 0x1011, 0, 0, e1000_probe},  /* 82540EM, 82545EM and 82546EB */
    {"e1000e", VENDOR_INTEL, 0x10d3, 0x10d3, 0, 0, e1000_probe}, /* 82574L */
};

static bool takes(const struct pci_driver *driver, const struct pci_dev *pci)
{
    if (driver->vendor)
        return pci->vendor == driver->vendor && pci->device >= driver->first &&
               pci->device <= driver->last;
    return (pci->class_code & driver->class_mask) == driver->class_code;
}

static bool visit(const struct pci_dev *pci, void *arg)
{
    char name[20];

    (void)arg; /* nothing to carry */
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        if (!takes(&drivers[i], pci))
            continue;
        int err = drivers[i].probe(pci);
        if (err)
            log_err("%s: %s does not start: error %d", pci_name(pci, name), drivers[i].name, -err);
        return false;
    }
    if (pci->class_code >> 16 != CLASS_BRIDGE)
        log_info("%s: no driver for %04x:%04x, class %06x", pci_name(pci, name), pci->vendor,
                 pci->device, pci->class_code);
    return false;
}

void pci_probe_all(void)
{
    pci_for_each(visit, NULL);
}
