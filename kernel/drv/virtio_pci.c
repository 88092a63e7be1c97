/* Virtio over PCI, modern interface: virtio 1.2, 4.1; virtio_pci_legacy.c has the older one.  MSI-X
 * vector 0 serves the device, all queues included but those that have one of their own. */
#include "abi/errno.h"
#include "core/log.h"
#include "drv/pci.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum {
    DEVICE_MODERN = 0x1040, /* plus the type; below it the type is the subsystem id */
    PCI_SUBSYSTEM = 0x2e,
    NO_VECTOR = 0xffff,
};

enum cap_type { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4 };

struct virtio_pci_common {
    u32 device_feature_select;
    u32 device_feature;
    u32 driver_feature_select;
    u32 driver_feature;
    u16 config_msix_vector;
    u16 num_queues;
    u8 device_status;
    u8 config_generation;
    u16 queue_select;
    u16 queue_size;
    u16 queue_msix_vector;
    u16 queue_enable;
    u16 queue_notify_off;
    u32 queue_desc[2];
    u32 queue_driver[2];
    u32 queue_device[2];
};
static_assert(sizeof(struct virtio_pci_common) == 56, "virtio 1.2, 4.1.4.3");

struct pci_virtio {
    struct virtio_dev dev;
    struct pci_dev pci;                        /* [I] */
    volatile struct virtio_pci_common *common; /* [I] */
    volatile char *notify;                     /* [I] */
    u32 notify_bytes, notify_multiplier;       /* [I] */
    volatile u8 *config;                       /* [I] NULL: none */
    u32 config_bytes;                          /* [I] */
    u8 vectors[VIRTIO_MAX_QUEUES];             /* [I] of queues by number; 0: the device's */
    u8 nr_vectors;                             /* [I] besides the device's */
    volatile u8 *isr;                          /* [I] where interrupts come by the pin, else NULL */
};

static volatile struct virtio_pci_common *common_of(struct virtio_dev *dev)
{
    return container_of(dev, struct pci_virtio, dev)->common;
}

static u8 pci_get_status(struct virtio_dev *dev)
{
    return common_of(dev)->device_status;
}

static void pci_set_status(struct virtio_dev *dev, u8 status)
{
    common_of(dev)->device_status = status;
}

static u64 pci_get_features(struct virtio_dev *dev)
{
    volatile struct virtio_pci_common *common = common_of(dev);

    common->device_feature_select = 0;
    u64 low = common->device_feature;
    common->device_feature_select = 1;
    return low | (u64)common->device_feature << 32;
}

static void pci_set_features(struct virtio_dev *dev, u64 features)
{
    volatile struct virtio_pci_common *common = common_of(dev);

    common->driver_feature_select = 0;
    common->driver_feature = (u32)features;
    common->driver_feature_select = 1;
    common->driver_feature = (u32)(features >> 32);
}

static u16 pci_queue_max(struct virtio_dev *dev, u16 index)
{
    volatile struct virtio_pci_common *common = common_of(dev);

    if (index >= common->num_queues)
        return 0;
    common->queue_select = index;
    return common->queue_size;
}

static void write_address(volatile u32 *reg, u64 pa)
{
    reg[0] = (u32)pa;
    reg[1] = (u32)(pa >> 32);
}

static int pci_queue_enable(struct virtio_dev *dev, struct virtq *vq)
{
    struct pci_virtio *self = container_of(dev, struct pci_virtio, dev);
    volatile struct virtio_pci_common *common = self->common;

    common->queue_select = vq->index;
    u64 offset = (u64)common->queue_notify_off * self->notify_multiplier;
    if (offset + sizeof(u16) > self->notify_bytes)
        return -EINVAL;
    vq->notify_reg = self->notify + offset;
    common->queue_size = vq->size;
    common->queue_msix_vector = vq->index < VIRTIO_MAX_QUEUES ? self->vectors[vq->index] : 0;
    write_address(common->queue_desc, vq->desc_pa);
    write_address(common->queue_driver, vq->avail_pa);
    write_address(common->queue_device, vq->used_pa);
    common->queue_enable = 1;
    return 0;
}

static void pci_notify(struct virtio_dev *dev, struct virtq *vq)
{
    (void)dev; /* each queue has its own register */
    *(volatile u16 *)vq->notify_reg = vq->index;
}

/* With MSI-X the ISR register says nothing, and a pin is shared: look at everything. */
static u32 pci_ack_interrupt(struct virtio_dev *dev)
{
    const struct pci_virtio *self = container_of(dev, struct pci_virtio, dev);

    if (self->isr)
        (void)*self->isr;
    return 3;
}

static void pci_read_device_config(struct virtio_dev *dev, u32 offset, void *buf, u32 len)
{
    struct pci_virtio *self = container_of(dev, struct pci_virtio, dev);
    u8 *out = buf;

    for (u32 i = 0; i < len; i++)
        out[i] = offset + i < self->config_bytes ? self->config[offset + i] : 0;
}

static void pci_write_device_config(struct virtio_dev *dev, u32 offset, const void *buf, u32 len)
{
    struct pci_virtio *self = container_of(dev, struct pci_virtio, dev);
    const u8 *in = buf;

    for (u32 i = 0; i < len && offset + i < self->config_bytes; i++)
        self->config[offset + i] = in[i];
}

static int pci_route_irq(struct virtio_dev *dev, u32 line)
{
    struct pci_virtio *self = container_of(dev, struct pci_virtio, dev);
    int kind = pci_route_line(&self->pci, line, true);

    if (kind != PCI_IRQ_MSIX)
        return min(kind, 0);
    self->isr = NULL;
    self->common->config_msix_vector = 0;
    return self->common->config_msix_vector == NO_VECTOR ? -ENOSPC : 0;
}

/* 4.1.5.1.2: whether the device takes the vector shows when it is read back. */
static int pci_route_queue(struct virtio_dev *dev, u16 index, u32 line, u32 cpu)
{
    struct pci_virtio *self = container_of(dev, struct pci_virtio, dev);
    u8 vector = (u8)(self->nr_vectors + 1);

    if (index >= VIRTIO_MAX_QUEUES)
        return -ENOSPC;
    int err = pci_enable_msix(&self->pci, vector, line, cpu);
    if (err)
        return err;
    self->common->queue_select = index;
    self->common->queue_msix_vector = vector;
    if (self->common->queue_msix_vector != vector)
        return -ENOSPC;
    self->vectors[index] = vector;
    self->nr_vectors = vector;
    return 0;
}

static void pci_describe(struct virtio_dev *dev, char *text, size_t size)
{
    const struct pci_dev *pci = &container_of(dev, struct pci_virtio, dev)->pci;

    format(text, size, "virtio-pci@%02x:%02x.%x", pci->bus, pci->dev, pci->fn);
}

static const struct virtio_transport pci_transport = {
    .describe = pci_describe,
    .get_status = pci_get_status,
    .set_status = pci_set_status,
    .get_features = pci_get_features,
    .set_features = pci_set_features,
    .queue_max = pci_queue_max,
    .queue_enable = pci_queue_enable,
    .notify = pci_notify,
    .ack_interrupt = pci_ack_interrupt,
    .read_config = pci_read_device_config,
    .write_config = pci_write_device_config,
    .route_irq = pci_route_irq,
    .route_queue = pci_route_queue,
};

/* One vendor capability: where a structure lies (4.1.4). */
static void map_structure(struct pci_virtio *self, u32 cap)
{
    u32 type = pci_config_read(&self->pci, cap + 3, 1);
    u32 bar = pci_config_read(&self->pci, cap + 4, 1);
    u32 offset = pci_config_read(&self->pci, cap + 8, 4);
    u32 len = min(pci_config_read(&self->pci, cap + 12, 4), 0x10000u);

    if (type == CAP_COMMON && !self->common && len >= sizeof(*self->common))
        self->common = pci_map_bar(&self->pci, bar, offset, sizeof(*self->common));
    if (type == CAP_NOTIFY && !self->notify) {
        self->notify = pci_map_bar(&self->pci, bar, offset, len);
        self->notify_bytes = len;
        self->notify_multiplier = pci_config_read(&self->pci, cap + 16, 4);
    }
    if (type == CAP_ISR && !self->isr)
        self->isr = pci_map_bar(&self->pci, bar, offset, 1);
    if (type == CAP_DEVICE && !self->config) {
        self->config = pci_map_bar(&self->pci, bar, offset, len);
        self->config_bytes = self->config ? len : 0;
    }
}

static bool map_structures(struct pci_virtio *self)
{
    u32 cap = 0;

    for (u32 n = 0; n < 16 && (cap = pci_find_capability(&self->pci, cap, PCI_CAP_VENDOR)); n++)
        map_structure(self, cap);
    return self->common && self->notify;
}

static u32 type_of(const struct pci_dev *pci)
{
    if (pci->device >= DEVICE_MODERN)
        return pci->device - DEVICE_MODERN;
    return pci_config_read(pci, PCI_SUBSYSTEM, 2);
}

int virtio_pci_probe(const struct pci_dev *pci)
{
    struct pci_virtio *self = kzalloc(sizeof(*self));
    if (!self)
        return -ENOMEM;
    self->pci = *pci;
    self->dev.transport = &pci_transport;
    self->dev.type = type_of(pci);
    pci_enable(pci);
    if (!map_structures(self)) {
        u32 type = self->dev.type;
        kfree(self);
        return virtio_pci_legacy_probe(pci, type);
    }
    virtio_reset(&self->dev);
    virtio_add(&self->dev);
    return 0;
}
