/* NVM Express: controllers at start (NVMe 1.4, 7.6.1), their namespaces, and a queue for each CPU.
 * Namespaces have blocks of 512 bytes without metadata; others are refused. */
#include "abi/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/percpu.h"
#include "core/time.h"
#include "drv/nvme.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"

enum nvme_reg {
    REG_CAP = 0x00,
    REG_CC = 0x14,
    REG_CSTS = 0x1c,
    REG_AQA = 0x24,
    REG_ASQ = 0x28,
    REG_ACQ = 0x30,
    REG_DOORBELLS = 0x1000,
};
enum { CC_ENABLE = 1, CC_SIZES = 6 << 16 | 4 << 20, CSTS_READY = 1, CSTS_FATAL = 2 };
enum admin_opcode { CREATE_SQ = 0x01, CREATE_CQ = 0x05, IDENTIFY = 0x06, SET_FEATURES = 0x09 };
enum { CNS_NAMESPACE = 0, CNS_CONTROLLER = 1, CNS_LIST = 2, FEATURE_QUEUES = 7 };
enum { CONTIGUOUS = 1, INTERRUPTS = 2 };
/* Offsets in what IDENTIFY returns. */
enum { ID_MDTS = 77, ID_ONCS = 520, ID_VWC = 525, NS_FLBAS = 26, NS_FORMATS = 128 };
enum { ONCS_DATASET = 1 << 2 };
enum { MAX_NAMESPACES = 16, MAX_BYTES = 1 << 20 };

static u32 nr_controllers;

static u32 read32(const struct nvme *ctrl, u32 reg)
{
    return *(volatile u32 *)(ctrl->regs + reg);
}

static void write32(const struct nvme *ctrl, u32 reg, u32 value)
{
    *(volatile u32 *)(ctrl->regs + reg) = value;
}

static void write64(const struct nvme *ctrl, u32 reg, u64 value)
{
    write32(ctrl, reg, (u32)value);
    write32(ctrl, reg + 4, (u32)(value >> 32));
}

static bool wait_ready(const struct nvme *ctrl, u32 ready)
{
    for (u64 end = time_after_ns(ctrl->ready_ns); time_ns() < end; cpu_relax()) {
        u32 status = read32(ctrl, REG_CSTS);
        if (status == UINT32_MAX || (ready && status & CSTS_FATAL))
            return false;
        if ((status & CSTS_READY) == ready)
            return true;
    }
    return false;
}

void nvme_disable(struct nvme *ctrl)
{
    write32(ctrl, REG_CC, 0);
    (void)wait_ready(ctrl, 0); /* nothing more can be done */
}

static void *page_of_zeroes(u32 order)
{
    struct page *page = page_alloc(order, PAGE_ZERO);

    return page ? page_to_virt(page) : NULL;
}

static int init_queue(struct nvme *ctrl, struct nvme_queue *queue, u16 id)
{
    disk_queue_init(&queue->q, ctrl->name, &nvme_queue_ops, queue, DISK_SLOTS);
    queue->ctrl = ctrl;
    queue->id = id;
    queue->entries = ctrl->max_entries;
    queue->phase = 1;
    queue->sq = page_of_zeroes(0);
    queue->cq = page_of_zeroes(0);
    queue->prp_lists = id ? page_of_zeroes(5) : NULL;
    static_assert(1 << 5 == DISK_SLOTS, "a page for each");
    volatile char *doorbells = ctrl->regs + REG_DOORBELLS + 2u * id * ctrl->stride;
    queue->sq_doorbell = (volatile u32 *)doorbells;
    queue->cq_doorbell = (volatile u32 *)(doorbells + ctrl->stride);
    return queue->sq && queue->cq && (queue->prp_lists || !id) ? 0 : -ENOMEM;
}

/* Commands at start, one at a time. */
static int admin(struct nvme *ctrl, const struct nvme_command *what, u32 *result)
{
    struct nvme_queue *queue = &ctrl->admin;
    u32 id, status, at = queue->cq_head;

    *nvme_next(queue) = *what;
    nvme_ring(queue);
    for (u64 end = time_after_ns(ctrl->ready_ns); !nvme_take(queue, &id, &status); cpu_relax()) {
        if (time_ns() > end)
            return -ETIMEDOUT;
    }
    if (result)
        *result = queue->cq[at].result;
    *queue->cq_doorbell = queue->cq_head;
    return status ? -EIO : 0;
}

static int identify(struct nvme *ctrl, u32 what, u32 nsid, void *page)
{
    struct nvme_command command = {
        .opcode = IDENTIFY, .nsid = nsid, .prp1 = virt_to_phys(page), .word = {what}};

    return admin(ctrl, &command, NULL);
}

static int enable(struct nvme *ctrl)
{
    u64 cap = read32(ctrl, REG_CAP) | (u64)read32(ctrl, REG_CAP + 4) << 32;

    if (cap == UINT64_MAX || cap >> 48 & 15) /* pages of 4 KiB must do */
        return -ENODEV;
    ctrl->stride = 4u << (cap >> 32 & 15);
    ctrl->ready_ns = max(cap >> 24 & 0xff, 1ul) * 500 * NSEC_PER_MSEC;
    ctrl->max_entries = min((u32)(cap & 0xffff) + 1, (u32)NVME_ENTRIES);
    if (ctrl->max_entries <= DISK_SLOTS)
        return -EINVAL;
    nvme_disable(ctrl);
    int err = init_queue(ctrl, &ctrl->admin, 0);
    if (err)
        return err;
    write32(ctrl, REG_AQA, (ctrl->max_entries - 1) << 16 | (ctrl->max_entries - 1));
    write64(ctrl, REG_ASQ, virt_to_phys(ctrl->admin.sq));
    write64(ctrl, REG_ACQ, virt_to_phys((const void *)(uintptr_t)ctrl->admin.cq));
    write32(ctrl, REG_CC, CC_ENABLE | CC_SIZES);
    return wait_ready(ctrl, 1) ? 0 : -ETIMEDOUT;
}

static void queue_pending(void *arg)
{
    struct nvme_queue *queue = arg;

    disk_queue_advance(&queue->q);
}

/* An MSI-X entry of its own on its CPU, the first CPU for one that is still to come; where there is
 * no such entry the first queue has the device's interrupt, and is the only one. Returns the entry.
 */
static int route(struct nvme *ctrl, struct nvme_queue *queue, u32 cpu)
{
    if (!pci_find_capability(&ctrl->pci, 0, PCI_CAP_MSIX))
        return min(pci_enable_irq(&ctrl->pci, queue_pending, queue), 0);
    int line = irq_register(queue_pending, queue);
    if (line < 0)
        return line;
    int err = pci_enable_msix(&ctrl->pci, queue->id, (u32)line, cpu_is_online(cpu) ? cpu : 0);
    if (err && !ctrl->nr_queues)
        return min(pci_enable_irq(&ctrl->pci, queue_pending, queue), 0);
    return err ? err : queue->id;
}

static int create_queue(struct nvme *ctrl, u32 cpu)
{
    struct nvme_queue *queue = kzalloc(sizeof(*queue));
    if (!queue)
        return -ENOMEM;
    int err = init_queue(ctrl, queue, (u16)(cpu + 1));
    int vector = err ? err : route(ctrl, queue, cpu);
    if (vector < 0)
        return vector; /* what it holds is left: the handler may know of it */
    u32 size = (queue->entries - 1) << 16 | queue->id;
    struct nvme_command cq = {
        .opcode = CREATE_CQ,
        .prp1 = virt_to_phys((const void *)(uintptr_t)queue->cq),
        .word = {size, (u32)vector << 16 | INTERRUPTS | CONTIGUOUS},
    };
    struct nvme_command sq = {.opcode = CREATE_SQ,
                              .prp1 = virt_to_phys(queue->sq),
                              .word = {size, (u32)queue->id << 16 | CONTIGUOUS}};
    err = admin(ctrl, &cq, NULL);
    if (!err)
        err = admin(ctrl, &sq, NULL);
    if (!err)
        ctrl->queues[ctrl->nr_queues++] = queue;
    return err;
}

static int create_queues(struct nvme *ctrl)
{
    u32 wanted = min(cpu_count, (u32)NVME_MAX_QUEUES), granted;

    if (!pci_find_capability(&ctrl->pci, 0, PCI_CAP_MSIX))
        wanted = 1;
    struct nvme_command command = {.opcode = SET_FEATURES,
                                   .word = {FEATURE_QUEUES, (wanted - 1) << 16 | (wanted - 1)}};
    int err = admin(ctrl, &command, &granted);
    if (err)
        return err;
    wanted = min(wanted, (granted & 0xffff) + 1);
    wanted = min(wanted, (granted >> 16) + 1);
    for (u32 cpu = 0; cpu < wanted && !err; cpu++)
        err = create_queue(ctrl, cpu);
    return ctrl->nr_queues ? 0 : err;
}

static void read_controller(struct nvme *ctrl, const u8 *id)
{
    u32 mdts = id[ID_MDTS];

    ctrl->max_bytes = MAX_BYTES;
    if (mdts && mdts < 8)
        ctrl->max_bytes = (u32)PAGE_SIZE << mdts;
    ctrl->has_cache = id[ID_VWC] & 1;
    ctrl->has_discard = id[ID_ONCS] & ONCS_DATASET;
}

/* @id: what IDENTIFY tells of it. */
static void add_disk(struct nvme *ctrl, u32 nsid, const u8 *id)
{
    u32 lba_format;
    u64 blocks;

    memcpy(&blocks, id, sizeof(blocks));
    memcpy(&lba_format, id + NS_FORMATS + 4 * (id[NS_FLBAS] & 15), sizeof(lba_format));
    if ((lba_format >> 16 & 0xff) != 9 || lba_format & 0xffff) {
        log_err("%s: namespace %u has blocks of other than 512 bytes: not used", ctrl->name, nsid);
        return;
    }
    struct nvme_disk *disk = kzalloc(sizeof(*disk));
    if (!disk) {
        log_err("%s: no memory for namespace %u", ctrl->name, nsid);
        return;
    }
    disk->ctrl = ctrl;
    disk->nsid = nsid;
    format(disk->name, sizeof(disk->name), "%sn%u", ctrl->name, nsid);
    disk->bd = (struct block_dev){
        .name = disk->name,
        .ops = &nvme_ops,
        .sectors = blocks,
        .volatile_cache = ctrl->has_cache,
        .has_fua = true,
        .has_discard = ctrl->has_discard,
        .data = disk,
    };
    int err = block_add(&disk->bd);
    if (err) {
        log_err("%s: cannot be used: error %d", disk->name, -err);
        kfree(disk);
    }
}

static void add_disks(struct nvme *ctrl, u32 *list, u8 *id)
{
    if (identify(ctrl, CNS_LIST, 0, list)) {
        list[0] = 1; /* before NVMe 1.1 */
        list[1] = 0;
    }
    for (u32 i = 0; i < MAX_NAMESPACES && list[i]; i++) {
        if (identify(ctrl, CNS_NAMESPACE, list[i], id))
            log_err("%s: namespace %u does not tell what it is", ctrl->name, list[i]);
        else
            add_disk(ctrl, list[i], id);
    }
}

int nvme_probe(const struct pci_dev *pci)
{
    struct nvme *ctrl = kzalloc(sizeof(*ctrl));
    u8 *id = page_of_zeroes(1);
    int err = -ENOMEM;

    if (!ctrl || !id)
        goto free_memory;
    ctrl->pci = *pci;
    format(ctrl->name, sizeof(ctrl->name), "nvme%u", nr_controllers);
    pci_enable(pci);
    ctrl->regs = pci_map_bar(pci, 0, 0, 2 * REG_DOORBELLS);
    err = ctrl->regs ? enable(ctrl) : -ENODEV;
    if (err)
        goto free_memory;
    nr_controllers++;
    err = identify(ctrl, CNS_CONTROLLER, 0, id);
    if (!err) {
        read_controller(ctrl, id);
        err = create_queues(ctrl);
    }
    if (err) {
        nvme_disable(ctrl); /* its memory stays: handlers may know of it */
        ctrl->dead = true;
    } else {
        add_disks(ctrl, (u32 *)(id + PAGE_SIZE), id);
    }
    page_put(virt_to_page(id));
    return err;

free_memory:
    kfree(ctrl);
    if (id)
        page_put(virt_to_page(id));
    return err;
}
