#include "drv/nvme.h"

#include "abi/errno.h"
#include "core/percpu.h"
#include "lib/string.h"
#include "plat/plat.h"

enum { FUA = 1 << 30, DEALLOCATE = 4, PRP_ENTRIES = PAGE_SIZE / sizeof(u64) };
enum { STATUS_MASK = 0x7ff, MAX_ZEROES = 65536 }; /* type and code; blocks of one command */

struct nvme_command *nvme_next(struct nvme_queue *queue)
{
    struct nvme_command *command = &queue->sq[queue->sq_tail];

    queue->sq_tail = (u16)((queue->sq_tail + 1) % queue->entries);
    *command = (struct nvme_command){.opcode = 0};
    return command;
}

void nvme_ring(struct nvme_queue *queue)
{
    if (queue->sq_rung == queue->sq_tail)
        return;
    wmb(); /* the commands before the doorbell */
    *queue->sq_doorbell = queue->sq_rung = queue->sq_tail;
}

bool nvme_take(struct nvme_queue *queue, u32 *id, u32 *status)
{
    volatile struct nvme_completion *c = &queue->cq[queue->cq_head];
    u32 word = c->status;

    if ((word & 1) != queue->phase)
        return false;
    rmb(); /* the rest was written before the phase */
    *id = c->id;
    *status = word >> 1 & STATUS_MASK;
    if (++queue->cq_head == queue->entries) {
        queue->cq_head = 0;
        queue->phase ^= 1;
    }
    return true;
}

/* 4.3: the first entry may begin anywhere in its page and all others begin theirs; all but the last
 * reach to the end of their page.  What does not fit that is left to a command of its own. */
static void fill_prps(struct nvme_queue *queue, u32 i, struct nvme_command *command)
{
    struct disk_slot *slot = &queue->q.slots[i];
    struct disk_piece walk = disk_piece_first(slot);
    u64 *list = queue->prp_lists + (size_t)i * PRP_ENTRIES, pa = 0;
    u32 most = queue->ctrl->max_bytes, n = 0, len;

    while (n <= PRP_ENTRIES && disk_piece_peek(&walk, most - walk.bytes, &pa, &len)) {
        if (n && pa % PAGE_SIZE)
            break;
        len = min(len, (u32)(PAGE_SIZE - pa % PAGE_SIZE));
        if (n)
            list[n - 1] = pa;
        else
            command->prp1 = pa;
        n++;
        disk_piece_take(&walk, len);
        if ((pa + len) % PAGE_SIZE)
            break;
    }
    command->prp2 = n == 2 ? list[0] : n > 2 ? virt_to_phys(list) : 0;
    disk_slot_took(slot, &walk);
}

static void set_blocks(struct nvme_command *command, u64 sector, u32 nr)
{
    command->word[0] = (u32)sector;
    command->word[1] = (u32)(sector >> 32);
    command->word[2] = nr - 1;
}

/* Ranges: one, in the slot's page. */
static void fill_dataset(struct nvme_queue *queue, u32 i, struct nvme_command *command)
{
    const struct block_request *request = queue->q.slots[i].request;
    u64 *range = queue->prp_lists + (size_t)i * PRP_ENTRIES;

    range[0] = (u64)(request->segments[0].len / SECTOR_SIZE) << 32;
    range[1] = request->sector;
    command->prp1 = virt_to_phys(range);
    command->word[1] = DEALLOCATE;
}

static int start(struct disk_queue *q, u32 i)
{
    static const u8 opcodes[] = {
        [BLOCK_READ] = NVME_READ,
        [BLOCK_WRITE] = NVME_WRITE,
        [BLOCK_FLUSH] = NVME_FLUSH,
        [BLOCK_DISCARD] = NVME_DATASET,
    };
    struct nvme_queue *queue = q->data;
    const struct disk_slot *slot = &q->slots[i];
    const struct block_request *request = slot->request;
    const struct nvme_disk *disk = request->bd->data;
    struct nvme_command *command = nvme_next(queue);

    command->opcode = opcodes[request->op];
    command->id = (u16)i;
    command->nsid = disk->nsid;
    if (request->op == BLOCK_READ || request->op == BLOCK_WRITE) {
        fill_prps(queue, i, command);
        set_blocks(command, request->sector + slot->done / SECTOR_SIZE, slot->bytes / SECTOR_SIZE);
        command->word[2] |= request->fua ? FUA : 0;
    } else if (request->op == BLOCK_DISCARD) {
        fill_dataset(queue, i, command);
    }
    return 0;
}

static bool kick(struct disk_queue *q)
{
    nvme_ring(q->data);
    return false;
}

static void collect(struct disk_queue *q)
{
    struct nvme_queue *queue = q->data;
    u32 id, status;
    bool any = false;

    if (__atomic_load_n(&queue->ctrl->dead, __ATOMIC_RELAXED)) {
        disk_queue_break(q, "its controller was shut off");
        return;
    }
    while (nvme_take(queue, &id, &status)) {
        any = true;
        if (!disk_queue_is_busy(q, id)) {
            disk_queue_break(q, "it finished a request that was never made");
            return;
        }
        disk_queue_finish(q, id, status ? -EIO : 0);
    }
    if (any)
        *queue->cq_doorbell = queue->cq_head;
}

static void shut_off(struct disk_queue *q)
{
    struct nvme_queue *queue = q->data;

    if (!__atomic_exchange_n(&queue->ctrl->dead, true, __ATOMIC_RELAXED))
        nvme_disable(queue->ctrl);
}

const struct disk_queue_ops nvme_queue_ops = {
    .start = start, .kick = kick, .collect = collect, .shut_off = shut_off};

static void submit(struct block_dev *bd, struct block_request *request)
{
    const struct nvme_disk *disk = bd->data;
    struct nvme *ctrl = disk->ctrl;

    disk_queue_submit(&ctrl->queues[cpu_id() % ctrl->nr_queues]->q, bd, request);
}

const struct block_ops nvme_ops = {.submit = submit};
