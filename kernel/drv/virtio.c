/* Virtio: the steps every driver takes with its device.  Virtio 1.2, 2.1 (status), 3.1 (start). */
#include "drv/virtio.h"

#include "abi/errno.h"
#include "core/irq.h"
#include "core/log.h"

const char *virtio_name(struct virtio_dev *dev)
{
    if (!dev->name[0])
        dev->transport->describe(dev, dev->name, sizeof(dev->name));
    return dev->name;
}

enum virtio_status {
    STATUS_ACKNOWLEDGE = 1,
    STATUS_DRIVER = 2,
    STATUS_DRIVER_OK = 4,
    STATUS_FEATURES_OK = 8,
    STATUS_FAILED = 128,
};

enum { INTERRUPT_QUEUE = 1, INTERRUPT_CONFIG = 2 };

static const struct virtio_driver *const drivers[] = {
    &virtio_block_driver, &virtio_console_driver, &virtio_net_driver,  &virtio_rng_driver,
    &virtio_vsock_driver, &virtio_9p_driver,      &virtio_scsi_driver, &virtio_balloon_driver,
};

void virtio_add(struct virtio_dev *dev)
{
    for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
        if (drivers[i]->type != dev->type)
            continue;
        int err = drivers[i]->probe(dev);
        if (err)
            log_err("%s: %s does not start: error %d", virtio_name(dev), drivers[i]->name, -err);
        return;
    }
    log_info("%s: no driver for device type %u", virtio_name(dev), dev->type);
}

static void add_status(struct virtio_dev *dev, u8 bits)
{
    dev->transport->set_status(dev, dev->transport->get_status(dev) | bits);
}

int virtio_negotiate(struct virtio_dev *dev, u64 wanted)
{
    dev->transport->set_status(dev, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    u64 offered = dev->transport->get_features(dev);
    if (!(offered & BIT(VIRTIO_F_VERSION_1)) && dev->transport->legacy) {
        dev->features = offered & (wanted | BIT(VIRTIO_F_EVENT_IDX) | BIT(VIRTIO_F_ANY_LAYOUT));
        dev->transport->set_features(dev, dev->features);
        return 0;
    }
    if (!(offered & BIT(VIRTIO_F_VERSION_1))) {
        log_err("%s: the device is legacy only; ask the VMM for a modern one", virtio_name(dev));
        return -ENODEV;
    }

    dev->features = offered & (wanted | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_EVENT_IDX));
    dev->transport->set_features(dev, dev->features);
    dev->transport->set_status(dev, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    if (!(dev->transport->get_status(dev) & STATUS_FEATURES_OK)) {
        log_err("%s: the device refuses the features it offered", virtio_name(dev));
        return -ENODEV;
    }
    return 0;
}

static void virtio_interrupt(void *arg)
{
    struct virtio_dev *dev = arg;
    u32 causes = dev->transport->ack_interrupt(dev);

    if (dev->broken)
        return;
    if ((causes & INTERRUPT_CONFIG) && dev->config_changed)
        dev->config_changed(dev);
    if (!(causes & INTERRUPT_QUEUE))
        return;
    for (u32 i = 0; i < dev->nr_queues; i++) {
        if (virtq_has_used(dev->queues[i]))
            dev->queues[i]->used_fn(dev->queues[i]);
    }
}

int virtio_enable_irq(struct virtio_dev *dev)
{
    int line = irq_register(virtio_interrupt, dev);

    return line < 0 ? line : dev->transport->route_irq(dev, (u32)line);
}

void virtio_route_queue(struct virtio_dev *dev, u16 index, u32 line, u32 cpu)
{
    /* One that is still to come would lose them: the first CPU takes them and tells it. */
    if (dev->transport->route_queue && cpu_is_online(cpu))
        (void)dev->transport->route_queue(dev, index, line, cpu); /* else as for all others */
}

void virtio_driver_ok(struct virtio_dev *dev)
{
    add_status(dev, STATUS_DRIVER_OK);
}

void virtio_reset(struct virtio_dev *dev)
{
    dev->transport->set_status(dev, 0);
    dev->nr_queues = 0;
    while (dev->transport->get_status(dev) != 0)
        cpu_relax();
}

void virtio_break(struct virtio_dev *dev, const char *why)
{
    if (dev->broken)
        return;
    __atomic_store_n(&dev->broken, true, __ATOMIC_RELAXED);
    log_err("%s: device error, shut off: %s", virtio_name(dev), why);
    add_status(dev, STATUS_FAILED);
}
