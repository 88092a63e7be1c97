/* Virtio over PCI, the interface from before version 1: virtio 1.2, 4.1.4.10 and the "Legacy
 * Interface" sections.  Registers are I/O ports in BAR 0, a queue is one piece of memory of a size
 * that the device fixes, and there are 32 feature bits.  Clouds of the first years offer nothing
 * else. */
#include "abi/errno.h"
#include "arch/cpu.h"
#include "core/log.h"
#include "drv/pci.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum legacy_reg {
    REG_DEVICE_FEATURES = 0,
    REG_DRIVER_FEATURES = 4,
    REG_QUEUE_PAGE = 8,
    REG_QUEUE_SIZE = 12,
    REG_QUEUE_SELECT = 14,
    REG_QUEUE_NOTIFY = 16,
    REG_STATUS = 18,
    REG_ISR = 19,
    REG_CONFIG_VECTOR = 20, /* the next two with MSI-X only */
    REG_QUEUE_VECTOR = 22,
};
enum { CONFIG_PLAIN = 20, CONFIG_MSIX = 24, NO_VECTOR = 0xffff };

struct legacy {
    struct virtio_dev dev;
    struct pci_dev pci; /* [I] */
    u16 ports;          /* [I] */
    bool msix;          /* [I] */
};

static struct legacy *to_legacy(struct virtio_dev *dev)
{
    return container_of(dev, struct legacy, dev);
}

static u16 port(struct virtio_dev *dev, u32 reg)
{
    return (u16)(to_legacy(dev)->ports + reg);
}

static u8 get_status(struct virtio_dev *dev)
{
    return inb(port(dev, REG_STATUS));
}

static void set_status(struct virtio_dev *dev, u8 status)
{
    outb(port(dev, REG_STATUS), status);
}

static u64 get_features(struct virtio_dev *dev)
{
    return inl(port(dev, REG_DEVICE_FEATURES));
}

static void set_features(struct virtio_dev *dev, u64 features)
{
    outl(port(dev, REG_DRIVER_FEATURES), (u32)features);
}

static u16 queue_max(struct virtio_dev *dev, u16 index)
{
    outw(port(dev, REG_QUEUE_SELECT), index);
    return inw(port(dev, REG_QUEUE_SIZE));
}

static int queue_enable(struct virtio_dev *dev, struct virtq *vq)
{
    outw(port(dev, REG_QUEUE_SELECT), vq->index);
    if (vq->desc_pa >> (PAGE_SHIFT + 32))
        return -EINVAL;
    if (to_legacy(dev)->msix)
        outw(port(dev, REG_QUEUE_VECTOR), 0);
    outl(port(dev, REG_QUEUE_PAGE), (u32)(vq->desc_pa >> PAGE_SHIFT));
    return 0;
}

static void notify(struct virtio_dev *dev, struct virtq *vq)
{
    outw(port(dev, REG_QUEUE_NOTIFY), vq->index);
}

/* By MSI-X it says nothing: look at everything; so for a pin that others share. */
static u32 ack_interrupt(struct virtio_dev *dev)
{
    if (!to_legacy(dev)->msix)
        (void)inb(port(dev, REG_ISR));
    return 3;
}

static void read_config(struct virtio_dev *dev, u32 offset, void *buf, u32 len)
{
    u32 base = to_legacy(dev)->msix ? CONFIG_MSIX : CONFIG_PLAIN;
    u8 *out = buf;

    for (u32 i = 0; i < len; i++)
        out[i] = inb(port(dev, base + offset + i));
}

static void write_config(struct virtio_dev *dev, u32 offset, const void *buf, u32 len)
{
    u32 base = to_legacy(dev)->msix ? CONFIG_MSIX : CONFIG_PLAIN;
    const u8 *in = buf;

    for (u32 i = 0; i < len; i++)
        outb(port(dev, base + offset + i), in[i]);
}

static void describe(struct virtio_dev *dev, char *text, size_t size)
{
    const struct pci_dev *pci = &to_legacy(dev)->pci;

    format(text, size, "virtio-pci@%02x:%02x.%x", pci->bus, pci->dev, pci->fn);
}

/* Every queue by the one vector of the device: those that exist by now. */
static int use_vector(struct virtio_dev *dev)
{
    outw(port(dev, REG_CONFIG_VECTOR), 0);
    if (inw(port(dev, REG_CONFIG_VECTOR)) == NO_VECTOR)
        return -ENOSPC;
    for (u32 i = 0; i < dev->nr_queues; i++) {
        outw(port(dev, REG_QUEUE_SELECT), dev->queues[i]->index);
        outw(port(dev, REG_QUEUE_VECTOR), 0);
        if (inw(port(dev, REG_QUEUE_VECTOR)) == NO_VECTOR)
            return -ENOSPC;
    }
    return 0;
}

static int route_irq(struct virtio_dev *dev, u32 line)
{
    struct legacy *self = to_legacy(dev);
    int kind = pci_route_line(&self->pci, line, true);

    self->msix = kind == PCI_IRQ_MSIX;
    return self->msix ? use_vector(dev) : min(kind, 0);
}

static const struct virtio_transport transport = {
    .legacy = true,
    .describe = describe,
    .get_status = get_status,
    .set_status = set_status,
    .get_features = get_features,
    .set_features = set_features,
    .queue_max = queue_max,
    .queue_enable = queue_enable,
    .notify = notify,
    .ack_interrupt = ack_interrupt,
    .read_config = read_config,
    .write_config = write_config,
    .route_irq = route_irq,
};

int virtio_pci_legacy_probe(const struct pci_dev *pci, u32 type)
{
    struct legacy *self = kzalloc(sizeof(*self));
    if (!self)
        return -ENOMEM;
    self->pci = *pci;
    self->dev.transport = &transport;
    self->dev.type = type;
    self->ports = pci_io_bar(pci, 0);
    if (!self->ports) {
        kfree(self);
        return -ENODEV;
    }
    virtio_reset(&self->dev);
    virtio_add(&self->dev);
    return 0;
}
