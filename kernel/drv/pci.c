/* PCI enumeration and the few registers a driver needs. */
#include "drv/pci.h"

#include "abi/errno.h"
#include "lib/format.h"
#include "plat/plat.h"

enum pci_reg {
    PCI_VENDOR = 0x00,
    PCI_DEVICE = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08, /* and the class in the three bytes above */
    PCI_HEADER = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SECONDARY_BUS = 0x19,
    PCI_CAPABILITIES = 0x34,
};

enum {
    COMMAND_IO = 1,
    COMMAND_MEMORY = 2,
    COMMAND_MASTER = 4,
    COMMAND_NO_INTX = 0x400,
    STATUS_CAPABILITIES = 0x10,
    HEADER_MULTI = 0x80,
    HEADER_BRIDGE = 1,
    BAR_IO = 1,
    BAR_64 = 4,
    MSIX_LAST = 0x7ff,
    MSIX_ENABLE = 0x8000,
    MSIX_MASK_ALL = 0x4000,
};

u32 pci_config_read(const struct pci_dev *pci, u32 offset, u32 size)
{
    return plat.pci_read(pci->bus, pci->dev, pci->fn, offset, size);
}

void pci_config_write(const struct pci_dev *pci, u32 offset, u32 size, u32 value)
{
    plat.pci_write(pci->bus, pci->dev, pci->fn, offset, size, value);
}

struct walk {
    bool (*fn)(const struct pci_dev *pci, void *arg);
    void *arg;
    u8 seen[256 / 8]; /* buses walked: a loop of bridges ends */
};

static bool walk_bus(struct walk *walk, u32 bus, u32 depth);

static bool walk_function(struct walk *walk, const struct pci_dev *pci, u32 header, u32 depth)
{
    if ((header & ~(u32)HEADER_MULTI) == HEADER_BRIDGE) {
        u32 bus = pci_config_read(pci, PCI_SECONDARY_BUS, 1);
        return bus != 0 && walk_bus(walk, bus, depth + 1);
    }
    return walk->fn(pci, walk->arg);
}

static bool walk_device(struct walk *walk, u32 bus, u32 dev, u32 depth)
{
    u32 nr_functions = 1;

    for (u32 fn = 0; fn < nr_functions; fn++) {
        struct pci_dev pci = {.bus = bus, .dev = dev, .fn = fn};
        u32 id = pci_config_read(&pci, PCI_VENDOR, 4);
        if ((id & 0xffff) == 0xffff)
            continue;
        pci.vendor = (u16)id;
        pci.device = (u16)(id >> 16);
        pci.class_code = pci_config_read(&pci, PCI_REVISION, 4) >> 8;
        u32 header = pci_config_read(&pci, PCI_HEADER, 1);
        if (header & HEADER_MULTI)
            nr_functions = 8;
        if (walk_function(walk, &pci, header, depth))
            return true;
    }
    return false;
}

static bool walk_bus(struct walk *walk, u32 bus, u32 depth)
{
    if (depth > 8 || (walk->seen[bus / 8] & 1 << bus % 8))
        return false;
    walk->seen[bus / 8] |= (u8)(1 << bus % 8);
    for (u32 dev = 0; dev < 32; dev++) {
        if (walk_device(walk, bus, dev, depth))
            return true;
    }
    return false;
}

void pci_for_each(bool (*fn)(const struct pci_dev *pci, void *arg), void *arg)
{
    struct walk walk = {.fn = fn, .arg = arg};

    walk_bus(&walk, 0, 0);
}

u32 pci_find_capability(const struct pci_dev *pci, u32 from, enum pci_capability id)
{
    if (!(pci_config_read(pci, PCI_STATUS, 2) & STATUS_CAPABILITIES))
        return 0;
    u32 offset = pci_config_read(pci, from ? from + 1 : PCI_CAPABILITIES, 1) & ~3u;
    for (u32 hops = 0; offset >= 0x40 && hops < 48; hops++) {
        if (pci_config_read(pci, offset, 1) == (u32)id)
            return offset;
        offset = pci_config_read(pci, offset + 1, 1) & ~3u;
    }
    return 0;
}

/* How many bytes memory BAR @bar decodes, 0: none, or it is of ports. With decoding off. */
static u64 bar_size(const struct pci_dev *pci, u32 bar, bool *wide)
{
    u32 reg = PCI_BAR0 + 4 * bar, before = pci_config_read(pci, reg, 4);

    pci_config_write(pci, reg, 4, UINT32_MAX);
    u32 mask = pci_config_read(pci, reg, 4);
    pci_config_write(pci, reg, 4, before);
    *wide = (mask & BAR_64) && !(mask & BAR_IO);
    if (!mask || mask & BAR_IO)
        return 0;
    return (~(u64)(mask & ~0xfu) + 1) & UINT32_MAX;
}

/* Machines without firmware for PCI leave it to us to give addresses, out of the host bridge's
 * window, each aligned to its size. */
static void assign_bars(const struct pci_dev *pci)
{
    static u64 used;
    bool wide;

    for (u32 bar = 0; bar < 6; bar += wide ? 2 : 1) {
        u64 size = bar_size(pci, bar, &wide);
        if (!size || pci_bar_address(pci, bar))
            continue;
        u64 at = ALIGN_UP(boot_info.pci_window_pa + used, size) - boot_info.pci_window_pa;
        if (size > boot_info.pci_window_len || at > boot_info.pci_window_len - size)
            continue; /* the driver says that it is not there */
        used = at + size;
        u64 pa = boot_info.pci_window_pa + at;
        pci_config_write(pci, PCI_BAR0 + 4 * bar, 4, (u32)pa);
        if (wide)
            pci_config_write(pci, PCI_BAR0 + 4 * (bar + 1), 4, (u32)(pa >> 32));
    }
}

u64 pci_bar_address(const struct pci_dev *pci, u32 bar)
{
    if (bar > 5)
        return 0;
    u32 low = pci_config_read(pci, PCI_BAR0 + 4 * bar, 4);
    if (low & BAR_IO)
        return 0;
    u64 base = low & ~0xfull;
    if ((low & BAR_64) && bar < 5)
        base |= (u64)pci_config_read(pci, PCI_BAR0 + 4 * (bar + 1), 4) << 32;
    return base;
}

void *pci_map_bar(const struct pci_dev *pci, u32 bar, u64 offset, u64 len)
{
    u64 base = pci_bar_address(pci, bar), start, end;

    if (base == 0 || len == 0 || __builtin_add_overflow(base, offset, &start) ||
        __builtin_add_overflow(start, len, &end))
        return NULL;
    return plat.map_device(start, len);
}

u16 pci_io_bar(const struct pci_dev *pci, u32 bar)
{
    u32 low = bar > 5 ? 0 : pci_config_read(pci, PCI_BAR0 + 4 * bar, 4);

    return low & BAR_IO ? (u16)(low & ~3u) : 0;
}

const char *pci_name(const struct pci_dev *pci, char text[20])
{
    format(text, 20, "pci %02x:%02x.%x", pci->bus, pci->dev, pci->fn);
    return text;
}

void pci_enable(const struct pci_dev *pci)
{
    u32 command = pci_config_read(pci, PCI_COMMAND, 2);

    if (boot_info.pci_window_len && !(command & COMMAND_MEMORY))
        assign_bars(pci);
    pci_config_write(pci, PCI_COMMAND, 2,
                     command | COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX);
}

/* 6.8.2: a table entry is address, data and a mask bit. */
int pci_enable_msix(const struct pci_dev *pci, u32 entry, u32 line, u32 cpu)
{
    u32 cap = pci_find_capability(pci, 0, PCI_CAP_MSIX);
    if (!cap)
        return -ENODEV;

    u64 addr;
    u32 data, table = pci_config_read(pci, cap + 4, 4);
    u32 control = pci_config_read(pci, cap + 2, 2);
    if (entry > (control & MSIX_LAST))
        return -ENOSPC;
    volatile u32 *words = pci_map_bar(pci, table & 7, (table & ~7u) + entry * 16ul, 16);
    if (!words)
        return -ENOMEM;
    int err = plat.irq_route_msi(line, cpu, &addr, &data);
    if (err)
        return err;
    words[0] = (u32)addr;
    words[1] = (u32)(addr >> 32);
    words[2] = data;
    words[3] = 0;
    pci_config_write(pci, cap + 2, 2, (control | MSIX_ENABLE) & ~(u32)MSIX_MASK_ALL);
    return 0;
}
