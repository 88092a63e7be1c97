#include "drv/scsi.h"

#include "abi/errno.h"
#include "core/log.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { MAX_RETRIES = 3 };
enum sense_key {
    KEY_NONE = 0,
    KEY_RECOVERED = 1,
    KEY_NOT_READY = 2,
    KEY_ILLEGAL_REQUEST = 5,
    KEY_UNIT_ATTENTION = 6,
    KEY_DATA_PROTECT = 7,
    KEY_ABORTED = 11,
};
enum { ASC_UNKNOWN_OPCODE = 0x20, ASC_NO_MEDIUM = 0x3a, ASC_WRITE_PROTECTED = 0x27, ASCQ_FULL = 7 };

/* SPC-4, 4.5: two formats, the key in each at its own place. */
int scsi_sense_to_errno(const u8 *sense, u32 len)
{
    u8 s[16] = {0};

    memcpy(s, sense, min(len, (u32)sizeof(s)));
    bool descriptor = (s[0] & 0x7e) == 0x72;
    u8 key = (descriptor ? s[1] : s[2]) & 15;
    u8 asc = descriptor ? s[2] : s[12], ascq = descriptor ? s[3] : s[13];
    switch (key) {
    case KEY_NONE:
    case KEY_RECOVERED:
        return len ? 0 : -EIO;
    case KEY_UNIT_ATTENTION:
    case KEY_ABORTED:
        return -EAGAIN;
    case KEY_NOT_READY:
        return asc == ASC_NO_MEDIUM ? -ENOMEDIUM : -EIO;
    case KEY_ILLEGAL_REQUEST:
        return asc == ASC_UNKNOWN_OPCODE ? -EOPNOTSUPP : -EIO;
    case KEY_DATA_PROTECT:
        return asc == ASC_WRITE_PROTECTED && ascq == ASCQ_FULL ? -ENOSPC : -EROFS;
    default:
        return -EIO;
    }
}

static void put_be(u8 *to, u64 value, u32 bytes)
{
    for (u32 i = 0; i < bytes; i++)
        to[i] = (u8)(value >> 8 * (bytes - 1 - i));
}

static void take_pieces(struct scsi_command *command, struct disk_slot *slot)
{
    struct disk_piece walk = disk_piece_first(slot);
    struct scsi_piece *p = command->pieces;

    for (u32 n = 0; n < SCSI_MAX_PIECES; n++, p++) {
        if (!disk_piece_peek(&walk, SCSI_MAX_BYTES - walk.bytes, &p->pa, &p->len))
            break;
        disk_piece_take(&walk, p->len);
        command->nr_pieces++;
    }
    disk_slot_took(slot, &walk);
    command->bytes = walk.bytes;
}

/* READ and WRITE of a unit with blocks of its own size; CDs know the short command only. */
static int fill_transfer(struct scsi_command *command, const struct disk_slot *slot,
                         const struct scsi_unit *unit)
{
    u64 sector = slot->request->sector + slot->done / SECTOR_SIZE;
    u32 nr = command->bytes / SECTOR_SIZE, mask = (1u << unit->shift) - 1;

    if ((sector | nr) & mask)
        return -EINVAL; /* what is not whole blocks cannot be had */
    command->to_device = slot->request->op == BLOCK_WRITE;
    if (unit->type == SCSI_TYPE_CD) {
        command->cdb[0] = SCSI_READ_10;
        put_be(command->cdb + 2, sector >> unit->shift, 4);
        put_be(command->cdb + 7, nr >> unit->shift, 2);
        command->cdb_len = 10;
        return 0;
    }
    command->cdb[0] = command->to_device ? SCSI_WRITE_16 : SCSI_READ_16;
    put_be(command->cdb + 2, sector >> unit->shift, 8);
    put_be(command->cdb + 10, nr >> unit->shift, 4);
    command->cdb_len = 16;
    return 0;
}

static int start(struct disk_queue *q, u32 i)
{
    struct scsi_host *host = q->data;
    struct disk_slot *slot = &q->slots[i];
    struct block_request *request = slot->request;
    struct scsi_command command = {.tag = i, .sense = host->sense[i]};
    int err = 0;

    if (request->op == BLOCK_DISCARD)
        return -EOPNOTSUPP;
    memset(command.sense, 0, SCSI_SENSE_BYTES);
    take_pieces(&command, slot);
    if (!request->bd) {
        const struct scsi_probe *probe = container_of(request, struct scsi_probe, request);
        command.target = probe->target;
        command.lun = probe->lun;
        command.cdb_len = probe->cdb_len;
        memcpy(command.cdb, probe->cdb, sizeof(command.cdb));
    } else {
        const struct scsi_unit *unit = request->bd->data;
        command.target = unit->target;
        command.lun = unit->lun;
        command.cdb[0] = SCSI_SYNCHRONIZE_CACHE_10;
        command.cdb_len = 10;
        if (request->op != BLOCK_FLUSH)
            err = fill_transfer(&command, slot, unit);
    }
    return err ? err : host->ops->send(host, &command);
}

static int outcome(const struct scsi_host *host, u32 tag, u8 status, u32 sense_len)
{
    if (status == SCSI_GOOD)
        return 0;
    if (status == SCSI_CHECK_CONDITION)
        return scsi_sense_to_errno(host->sense[tag], min(sense_len, (u32)SCSI_SENSE_BYTES));
    return status == SCSI_BUSY ? -EAGAIN : -EIO;
}

void scsi_done(struct scsi_host *host, u32 tag, int err, u8 status, u32 sense_len)
{
    struct disk_queue *q = &host->q;

    if (!disk_queue_is_busy(q, tag)) {
        disk_queue_break(q, "it finished a request that was never made");
        return;
    }
    if (!err)
        err = outcome(host, tag, status, sense_len);
    if (err == -EAGAIN && host->retries[tag]++ < MAX_RETRIES) {
        disk_queue_again(q, tag);
        return;
    }
    host->retries[tag] = 0;
    disk_queue_finish(q, tag, err == -EAGAIN ? -EIO : err);
}

static bool kick(struct disk_queue *q)
{
    struct scsi_host *host = q->data;

    return host->ops->kick(host);
}

static void collect(struct disk_queue *q)
{
    struct scsi_host *host = q->data;

    host->ops->collect(host);
}

static void shut_off(struct disk_queue *q)
{
    struct scsi_host *host = q->data;

    host->ops->shut_off(host);
}

static const struct disk_queue_ops queue_ops = {
    .start = start, .kick = kick, .collect = collect, .shut_off = shut_off};

static void submit(struct block_dev *bd, struct block_request *request)
{
    const struct scsi_unit *unit = bd->data;

    disk_queue_submit(&unit->host->q, bd, request);
}

const struct block_ops scsi_block_ops = {.submit = submit};

int scsi_host_init(struct scsi_host *host)
{
    host->sense = kcalloc(DISK_SLOTS, SCSI_SENSE_BYTES);
    disk_queue_init(&host->q, host->name, &queue_ops, host, DISK_SLOTS);
    return host->sense ? 0 : -ENOMEM;
}
