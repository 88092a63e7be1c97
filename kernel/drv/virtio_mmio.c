/* Virtio over memory-mapped registers: virtio 1.2, 4.2.2.  Devices are named on the command line as
 * Linux has it, virtio_mmio.device=SIZE@BASE:IRQ[:ID], which QEMU's microvm and Firecracker add, or
 * in ACPI. */
#include "abi/errno.h"
#include "core/cmdline.h"
#include "core/log.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum mmio_reg {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM_MAX = 0x034,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080,
    REG_QUEUE_DRIVER = 0x090,
    REG_QUEUE_DEVICE = 0x0a0,
    REG_CONFIG = 0x100,
};

enum { MMIO_MAGIC = 0x74726976, MMIO_VERSION = 2, MMIO_MIN_BYTES = 0x100 };

struct mmio_dev {
    struct virtio_dev dev;
    volatile char *regs; /* [I] */
    u64 base;            /* [I] physical address of .regs */
    u32 config_bytes;    /* [I] */
    u32 gsi;             /* [I] */
};

static struct mmio_dev *to_mmio(struct virtio_dev *dev)
{
    return container_of(dev, struct mmio_dev, dev);
}

static u32 reg_read(struct virtio_dev *dev, u32 reg)
{
    return *(volatile u32 *)(to_mmio(dev)->regs + reg);
}

static void reg_write(struct virtio_dev *dev, u32 reg, u32 value)
{
    *(volatile u32 *)(to_mmio(dev)->regs + reg) = value;
}

static void reg_write64(struct virtio_dev *dev, u32 reg, u64 value)
{
    reg_write(dev, reg, (u32)value);
    reg_write(dev, reg + 4, (u32)(value >> 32));
}

static u8 mmio_get_status(struct virtio_dev *dev)
{
    return (u8)reg_read(dev, REG_STATUS);
}

static void mmio_set_status(struct virtio_dev *dev, u8 status)
{
    reg_write(dev, REG_STATUS, status);
}

static u64 mmio_get_features(struct virtio_dev *dev)
{
    reg_write(dev, REG_DEVICE_FEATURES_SEL, 0);
    u64 low = reg_read(dev, REG_DEVICE_FEATURES);
    reg_write(dev, REG_DEVICE_FEATURES_SEL, 1);
    return low | (u64)reg_read(dev, REG_DEVICE_FEATURES) << 32;
}

static void mmio_set_features(struct virtio_dev *dev, u64 features)
{
    reg_write(dev, REG_DRIVER_FEATURES_SEL, 0);
    reg_write(dev, REG_DRIVER_FEATURES, (u32)features);
    reg_write(dev, REG_DRIVER_FEATURES_SEL, 1);
    reg_write(dev, REG_DRIVER_FEATURES, (u32)(features >> 32));
}

static u16 mmio_queue_max(struct virtio_dev *dev, u16 index)
{
    reg_write(dev, REG_QUEUE_SEL, index);
    return (u16)min(reg_read(dev, REG_QUEUE_NUM_MAX), 0x8000u);
}

static int mmio_queue_enable(struct virtio_dev *dev, struct virtq *vq)
{
    reg_write(dev, REG_QUEUE_SEL, vq->index);
    reg_write(dev, REG_QUEUE_NUM, vq->size);
    reg_write64(dev, REG_QUEUE_DESC, vq->desc_pa);
    reg_write64(dev, REG_QUEUE_DRIVER, vq->avail_pa);
    reg_write64(dev, REG_QUEUE_DEVICE, vq->used_pa);
    reg_write(dev, REG_QUEUE_READY, 1);
    return 0;
}

static void mmio_notify(struct virtio_dev *dev, struct virtq *vq)
{
    reg_write(dev, REG_QUEUE_NOTIFY, vq->index);
}

static u32 mmio_ack_interrupt(struct virtio_dev *dev)
{
    u32 causes = reg_read(dev, REG_INTERRUPT_STATUS);

    if (causes)
        reg_write(dev, REG_INTERRUPT_ACK, causes);
    return causes;
}

static void mmio_read_config(struct virtio_dev *dev, u32 offset, void *buf, u32 len)
{
    struct mmio_dev *mmio = to_mmio(dev);
    char *out = buf;

    for (u32 i = 0; i < len; i++)
        out[i] = offset + i < mmio->config_bytes ? mmio->regs[REG_CONFIG + offset + i] : 0;
}

static void mmio_write_config(struct virtio_dev *dev, u32 offset, const void *buf, u32 len)
{
    struct mmio_dev *mmio = to_mmio(dev);
    const char *in = buf;

    for (u32 i = 0; i < len && offset + i < mmio->config_bytes; i++)
        mmio->regs[REG_CONFIG + offset + i] = in[i];
}

static int mmio_route_irq(struct virtio_dev *dev, u32 line)
{
    return plat.irq_route_gsi(to_mmio(dev)->gsi, line);
}

static void mmio_describe(struct virtio_dev *dev, char *text, size_t size)
{
    format(text, size, "virtio-mmio@%lx", to_mmio(dev)->base);
}

static const struct virtio_transport mmio_transport = {
    .describe = mmio_describe,
    .get_status = mmio_get_status,
    .set_status = mmio_set_status,
    .get_features = mmio_get_features,
    .set_features = mmio_set_features,
    .queue_max = mmio_queue_max,
    .queue_enable = mmio_queue_enable,
    .notify = mmio_notify,
    .ack_interrupt = mmio_ack_interrupt,
    .tells_cause = true,
    .read_config = mmio_read_config,
    .write_config = mmio_write_config,
    .route_irq = mmio_route_irq,
};

static void mmio_probe(u64 base, u64 size, u32 gsi)
{
    volatile char *regs = plat.map_device(base, size);
    if (!regs) {
        log_err("virtio-mmio@%lx: cannot be mapped", base);
        return;
    }
    u32 version = *(volatile u32 *)(regs + REG_VERSION);
    u32 type = *(volatile u32 *)(regs + REG_DEVICE_ID);
    if (*(volatile u32 *)(regs + REG_MAGIC) != MMIO_MAGIC || type == 0)
        return; /* an empty slot */
    if (version != MMIO_VERSION) {
        log_err("virtio-mmio@%lx: legacy device; start QEMU with "
                "-global virtio-mmio.force-legacy=false",
                base);
        return;
    }
    struct mmio_dev *mmio = kzalloc(sizeof(*mmio));
    if (!mmio) {
        log_err("virtio-mmio@%lx: no memory", base);
        return;
    }
    mmio->dev.transport = &mmio_transport;
    mmio->dev.type = type;
    mmio->regs = regs;
    mmio->base = base;
    mmio->config_bytes = (u32)(size - REG_CONFIG);
    mmio->gsi = gsi;
    virtio_reset(&mmio->dev);
    virtio_add(&mmio->dev);
}

/* A number with Linux's K, M or G suffix; @end: the character that must follow. */
static bool take_number(const char **text, char end, u64 *value)
{
    char word[24];
    const char *stop = strchr(*text, end);
    size_t len = stop ? (size_t)(stop - *text) : strlen(*text);
    unsigned shift = 0;

    if (len == 0 || len >= sizeof(word))
        return false;
    memcpy(word, *text, len);
    switch (word[len - 1]) {
    case 'G':
        shift += 10;
        __attribute__((fallthrough));
    case 'M':
        shift += 10;
        __attribute__((fallthrough));
    case 'K':
        shift += 10;
        len--;
        break;
    default:
        break;
    }
    word[len] = '\0';
    if (str_to_u64(word, value) || *value << shift >> shift != *value)
        return false;
    *value <<= shift;
    *text = stop ? stop + 1 : "";
    return stop || end == ':';
}

void virtio_mmio_probe_all(void)
{
    const char *text;
    u32 pos = 0;

    for (u32 i = 0; i < boot_info.nr_virtio_mmio; i++) {
        const struct plat_device *device = &boot_info.virtio_mmio[i];
        if (device->len >= MMIO_MIN_BYTES)
            mmio_probe(device->base, device->len, device->gsi);
    }

    while ((text = cmdline_next("virtio_mmio.device", &pos))) {
        const char *rest = text;
        u64 size, base, gsi;
        if (!take_number(&rest, '@', &size) || !take_number(&rest, ':', &base) ||
            !take_number(&rest, ':', &gsi) || size < MMIO_MIN_BYTES || gsi > 255) {
            log_warn("virtio_mmio.device=%s: want SIZE@BASE:IRQ", text);
            continue;
        }
        mmio_probe(base, size, (u32)gsi);
    }
}
