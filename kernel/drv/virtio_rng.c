/* Virtio entropy device: virtio 1.2, 5.4.  One request at start feeds the generator; the device is
 * then left alone, since the generator never runs dry. */
#include "abi/errno.h"
#include "core/random.h"
#include "drv/virtio.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum { SEED_BYTES = 64 };

static int rng_probe(struct virtio_dev *dev)
{
    struct virtq vq;
    u8 *seed = kzalloc(SEED_BYTES);
    if (!seed)
        return -ENOMEM;

    int err = virtio_negotiate(dev, 0);
    if (!err)
        err = virtq_init(&vq, dev, 0, 4, NULL);
    if (err)
        goto free_seed;
    virtio_driver_ok(dev);

    struct virtq_buf buf = {.pa = virt_to_phys(seed), .len = SEED_BYTES};
    u32 len = 0;
    err = virtq_add(&vq, &buf, 0, 1, seed);
    virtq_kick(&vq);
    if (!err && virtq_poll(&vq) && virtq_take(&vq, &len))
        random_add_entropy(seed, len);
    virtio_reset(dev); /* the device lets go of the queue before it is freed */
    virtq_fini(&vq);
free_seed:
    kfree(seed);
    return err;
}

const struct virtio_driver virtio_rng_driver = {
    .type = VIRTIO_ENTROPY,
    .name = "virtio-rng",
    .probe = rng_probe,
};
