/* Virtio SCSI host: virtio 1.2, 5.6.  Commands go by the first request queue. */
#include "abi/errno.h"
#include "core/log.h"
#include "drv/scsi.h"
#include "drv/virtio.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum { CONFIG_MAX_TARGET = 30, REQUEST_QUEUE = 2, RING_LEN = 256, CDB_BYTES = 32 };
enum response { RESPONSE_OK = 0, RESPONSE_UNDERRUN = 0x0a };

/* What the device reads and writes besides the data, a slot each. */
struct vscsi_slot {
    u8 lun[8];
    u64 tag;
    u8 task_attr, priority, crn;
    u8 cdb[CDB_BYTES];
    u8 pad[13];
    struct {
        u32 sense_len, residual;
        u16 qualifier;
        u8 status, response;
        u8 sense[SCSI_SENSE_BYTES];
    } answer;
    u8 more[84];
};
enum { REQUEST_BYTES = offsetof(struct vscsi_slot, pad), ANSWER_BYTES = 12 + SCSI_SENSE_BYTES };
static_assert(REQUEST_BYTES == 51 && sizeof(struct vscsi_slot) == 256, "virtio 1.2, 5.6.6.1");

struct vscsi {
    struct scsi_host host;
    struct virtio_dev *dev;
    struct virtq ring; /* under the host's queue lock */
    struct vscsi_slot *slots;
};

static int send(struct scsi_host *host, const struct scsi_command *command)
{
    struct vscsi *vs = host->data;
    struct vscsi_slot *slot = &vs->slots[command->tag];
    struct virtq_buf bufs[SCSI_MAX_PIECES + 2];
    u32 n = 0;

    *slot = (struct vscsi_slot){
        .lun = {1, (u8)command->target, (u8)(0x40 | command->lun >> 8), (u8)command->lun},
        .tag = command->tag,
        .answer.response = UINT8_MAX};
    memcpy(slot->cdb, command->cdb, command->cdb_len);
    bufs[n++] = (struct virtq_buf){virt_to_phys(slot), REQUEST_BYTES};
    if (!command->to_device)
        bufs[n++] = (struct virtq_buf){virt_to_phys(&slot->answer), ANSWER_BYTES};
    for (u32 i = 0; i < command->nr_pieces; i++)
        bufs[n++] = (struct virtq_buf){command->pieces[i].pa, command->pieces[i].len};
    u32 nr_out = command->to_device ? n : 1;
    if (command->to_device)
        bufs[n++] = (struct virtq_buf){virt_to_phys(&slot->answer), ANSWER_BYTES};
    return virtq_add(&vs->ring, bufs, nr_out, n - nr_out, (void *)(uintptr_t)(command->tag + 1))
               ? -EIO
               : 0;
}

static bool kick(struct scsi_host *host)
{
    struct vscsi *vs = host->data;

    virtq_kick(&vs->ring);
    return virtq_enable_notify(&vs->ring) && !vs->dev->broken;
}

static void collect(struct scsi_host *host)
{
    struct vscsi *vs = host->data;
    void *token;

    while ((token = virtq_take(&vs->ring, NULL)) && !host->q.broken) {
        u32 tag = (u32)(uintptr_t)token - 1;
        const struct vscsi_slot *slot = &vs->slots[tag];
        u8 response = slot->answer.response, status = slot->answer.status;
        u32 len = min(slot->answer.sense_len, (u32)SCSI_SENSE_BYTES);
        memcpy(host->sense[tag], slot->answer.sense, len);
        bool ok = response == RESPONSE_OK || response == RESPONSE_UNDERRUN;
        scsi_done(host, tag, ok ? 0 : -EIO, status, len);
    }
    if (vs->dev->broken)
        disk_queue_break(&host->q, "its rings are not to be trusted");
}

static void shut_off(struct scsi_host *host)
{
    struct vscsi *vs = host->data;

    virtio_break(vs->dev, "SCSI host shut off");
}

static const struct scsi_host_ops ops = {
    .send = send, .kick = kick, .collect = collect, .shut_off = shut_off};

static void used(struct virtq *vq)
{
    struct vscsi *vs = vq->data;

    disk_queue_advance(&vs->host.q);
}

static int vscsi_probe(struct virtio_dev *dev)
{
    struct vscsi *vs = kzalloc(sizeof(*vs));
    u16 max_target = 0;
    int err = vs ? virtio_negotiate(dev, 0) : -ENOMEM;

    if (err)
        goto free_host;
    dev->transport->read_config(dev, CONFIG_MAX_TARGET, &max_target, sizeof(max_target));
    vs->dev = dev;
    vs->slots = kcalloc(DISK_SLOTS, sizeof(*vs->slots));
    vs->host = (struct scsi_host){.ops = &ops,
                                  .name = virtio_name(dev),
                                  .nr_targets = min(max_target, (u16)255) + 1u,
                                  .data = vs};
    err = vs->slots ? scsi_host_init(&vs->host) : -ENOMEM;
    if (!err)
        err = virtq_init(&vs->ring, dev, REQUEST_QUEUE, RING_LEN, used);
    if (err)
        goto free_host;
    vs->ring.data = vs;
    vs->ring.counts_all = true; /* as QEMU does */
    vs->host.q.nr_slots = min(vs->ring.size / (SCSI_MAX_PIECES + 2u), (u32)DISK_SLOTS);
    err = vs->host.q.nr_slots ? virtio_enable_irq(dev) : -EINVAL;
    if (err)
        goto reset_dev;
    virtio_driver_ok(dev); /* the queue is live from here on */
    scsi_scan(&vs->host);
    return 0;

reset_dev:
    virtio_reset(dev); /* the device lets go of the queue before it is freed: 3.3.1 */
    virtq_fini(&vs->ring);
free_host:
    if (vs) {
        kfree(vs->host.sense);
        kfree(vs->slots);
    }
    kfree(vs);
    return err;
}

const struct virtio_driver virtio_scsi_driver = {
    .type = VIRTIO_SCSI,
    .name = "virtio-scsi",
    .probe = vscsi_probe,
};
