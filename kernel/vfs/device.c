/* The registry of character devices.  Devices are never removed, so what was found stays good. */
#include "vfs/device.h"

#include "abi/errno.h"
#include "vfs/inode.h"

static struct list_head devices = LIST_INIT(devices); /* grows at the tail, under devices_lock */
static struct spinlock devices_lock = SPINLOCK_INIT;

void char_device_add(struct char_device *dev)
{
    spin_lock(&devices_lock);
    list_add_tail(&devices, &dev->node);
    spin_unlock(&devices_lock);
}

struct char_device *char_device_next(const struct char_device *after)
{
    struct char_device *found = NULL;

    spin_lock(&devices_lock);
    const struct list_head *link = after ? &after->node : &devices;
    if (link->next != &devices)
        found = list_first(link, struct char_device, node);
    spin_unlock(&devices_lock);
    return found;
}

struct char_device *char_device_find(u64 rdev)
{
    struct char_device *dev = NULL;

    while ((dev = char_device_next(dev)) && dev->rdev != rdev)
        continue;
    return dev;
}

int char_device_open(struct inode *inode, struct file *file)
{
    struct char_device *dev = char_device_find(inode->rdev);

    if (!dev)
        return -ENXIO;
    file->ops = dev->ops;
    file->data = dev->data;
    return dev->open ? dev->open(dev, file) : 0;
}
