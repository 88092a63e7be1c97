/* VMware's paravirtual SCSI host.  No public specification; its interface is that of QEMU's device
 * and of the open drivers: a page of indices, a ring of requests, a ring of completions. */
#include "abi/errno.h"
#include "core/log.h"
#include "drv/pci.h"
#include "drv/scsi.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"

enum pvscsi_reg {
    REG_COMMAND = 0x0000,
    REG_COMMAND_DATA = 0x0004,
    REG_INTR_STATUS = 0x100c,
    REG_INTR_MASK = 0x2010,
    REG_KICK_OTHER = 0x3014,
    REG_KICK_RW = 0x4018,
    REG_BYTES = 0x5000,
};
enum pvscsi_command { COMMAND_RESET = 1, COMMAND_SETUP_RINGS = 3 };
enum { INTR_COMPLETION = 3 };
enum { FLAG_SG = 1 << 0, FLAG_NONE = 1 << 2, FLAG_FROM_DEVICE = 1 << 3, FLAG_TO_DEVICE = 1 << 4 };
enum host_status {
    HOST_OK = 0,
    HOST_LINKED = 0x0a,
    HOST_LINKED_FLAG,
    HOST_UNDERRUN,
    HOST_RUN = 0x12
};
enum { REQUESTS = 32, COMPLETIONS = 128, NR_TARGETS = 64, SIMPLE_TAG = 0x20, RING_PPNS = 32 };

struct pvscsi_setup {
    u32 request_pages, completion_pages;
    u64 state_ppn;
    u64 request_ppns[RING_PPNS], completion_ppns[RING_PPNS];
};
static_assert(sizeof(struct pvscsi_setup) == 528, "as the device counts its words");

struct pvscsi_state {
    u32 request_produced, request_consumed, request_log2;
    u32 completion_produced, completion_consumed, completion_log2;
};

struct pvscsi_request {
    u64 context;
    u64 data_pa, data_len;
    u64 sense_pa;
    u32 sense_len, flags;
    u8 cdb[16];
    u8 cdb_len;
    u8 lun[8];
    u8 tag, bus, target;
    u16 cpu;
    u8 unused[58];
};
static_assert(sizeof(struct pvscsi_request) == 128, "32 to a page");

struct pvscsi_completion {
    u64 context, data_len;
    u32 sense_len;
    u16 host_status, scsi_status;
    u32 pad[2];
};
static_assert(sizeof(struct pvscsi_completion) == 32, "128 to a page");

struct pvscsi_piece {
    u64 pa;
    u32 len, flags;
};

/* Fields: [I], [L] under the host's queue lock. */
struct pvscsi {
    struct scsi_host host;
    char name[20];
    volatile char *regs;
    volatile struct pvscsi_state *state;
    struct pvscsi_request *requests;
    volatile struct pvscsi_completion *completions;
    struct pvscsi_piece (*pieces)[SCSI_MAX_PIECES]; /* one list a slot */
    u32 produced, consumed;                         /* [L] */
    bool kick_rw, kick_other;                       /* [L] */
};

static void put(struct pvscsi *pv, u32 reg, u32 value)
{
    *(volatile u32 *)(pv->regs + reg) = value;
}

static void set_data(struct pvscsi *pv, struct pvscsi_request *r, const struct scsi_command *c)
{
    struct pvscsi_piece *list = pv->pieces[c->tag];

    r->data_len = c->bytes;
    if (c->nr_pieces <= 1) {
        r->data_pa = c->nr_pieces ? c->pieces[0].pa : 0;
        return;
    }
    for (u32 i = 0; i < c->nr_pieces; i++)
        list[i] = (struct pvscsi_piece){c->pieces[i].pa, c->pieces[i].len, 0};
    r->data_pa = virt_to_phys(list);
    r->flags |= FLAG_SG;
}

static int send(struct scsi_host *host, const struct scsi_command *c)
{
    struct pvscsi *pv = host->data;
    struct pvscsi_request *r = &pv->requests[pv->produced % REQUESTS];
    bool rw = c->cdb[0] == SCSI_READ_16 || c->cdb[0] == SCSI_WRITE_16 || c->cdb[0] == SCSI_READ_10;

    if (pv->produced - pv->state->request_consumed >= REQUESTS)
        return -EIO; /* it has DISK_SLOTS at most: the device has lost some */
    *r = (struct pvscsi_request){.context = c->tag + 1u,
                                 .sense_pa = virt_to_phys(c->sense),
                                 .sense_len = SCSI_SENSE_BYTES,
                                 .cdb_len = c->cdb_len,
                                 .lun = {[1] = (u8)c->lun},
                                 .tag = SIMPLE_TAG,
                                 .target = (u8)c->target};
    r->flags = !c->bytes ? FLAG_NONE : c->to_device ? FLAG_TO_DEVICE : FLAG_FROM_DEVICE;
    memcpy(r->cdb, c->cdb, c->cdb_len);
    set_data(pv, r, c);
    pv->produced++;
    pv->kick_rw |= rw;
    pv->kick_other |= !rw;
    return 0;
}
static_assert((u32)REQUESTS >= (u32)DISK_SLOTS, "a slot is a request");

static bool kick(struct scsi_host *host)
{
    struct pvscsi *pv = host->data;

    if (pv->kick_rw || pv->kick_other) {
        wmb(); /* the requests before the index */
        pv->state->request_produced = pv->produced;
    }
    if (pv->kick_rw)
        put(pv, REG_KICK_RW, 0);
    if (pv->kick_other)
        put(pv, REG_KICK_OTHER, 0);
    pv->kick_rw = pv->kick_other = false;
    return false;
}

static void collect(struct scsi_host *host)
{
    struct pvscsi *pv = host->data;

    while (pv->consumed != pv->state->completion_produced && !host->q.broken) {
        rmb(); /* the completion after the index */
        volatile struct pvscsi_completion *c = &pv->completions[pv->consumed % COMPLETIONS];
        u16 how = c->host_status;
        u64 context = c->context;
        u32 sense_len = c->sense_len;
        u8 status = (u8)c->scsi_status;
        bool ok = how == HOST_OK || (how >= HOST_LINKED && how <= HOST_UNDERRUN) ||
                  how == HOST_RUN; /* less data than asked for is for the status to tell */
        pv->state->completion_consumed = ++pv->consumed;
        scsi_done(host, context > DISK_SLOTS ? UINT32_MAX : (u32)context - 1, ok ? 0 : -EIO, status,
                  sense_len ? sense_len : SCSI_SENSE_BYTES);
    }
}

static void shut_off(struct scsi_host *host)
{
    struct pvscsi *pv = host->data;

    put(pv, REG_INTR_MASK, 0);
    put(pv, REG_COMMAND, COMMAND_RESET);
}

static const struct scsi_host_ops ops = {
    .send = send, .kick = kick, .collect = collect, .shut_off = shut_off};

static void interrupt(void *arg)
{
    struct pvscsi *pv = arg;
    u32 causes = *(volatile u32 *)(pv->regs + REG_INTR_STATUS);

    if (causes)
        put(pv, REG_INTR_STATUS, causes);
    disk_queue_advance(&pv->host.q);
}

/* The words of the command, one after the other. */
static void give_rings(struct pvscsi *pv, u8 *pages)
{
    u64 ppn = virt_to_phys(pages) >> PAGE_SHIFT;
    struct pvscsi_setup setup = {.request_pages = 1, .completion_pages = 1, .state_ppn = ppn};
    u32 word;

    setup.request_ppns[0] = ppn + 1;
    setup.completion_ppns[0] = ppn + 2;
    put(pv, REG_COMMAND, COMMAND_SETUP_RINGS);
    for (u32 i = 0; i < sizeof(setup); i += sizeof(word)) {
        memcpy(&word, (const u8 *)&setup + i, sizeof(word));
        put(pv, REG_COMMAND_DATA, word);
    }
}

int pvscsi_probe(const struct pci_dev *pci)
{
    struct pvscsi *pv = kzalloc(sizeof(*pv));
    struct page *page = page_alloc(2, PAGE_ZERO); /* state, requests, completions */
    int err = -ENOMEM;

    if (!pv || !page)
        goto free_memory;
    pci_enable(pci);
    pv->regs = pci_map_bar(pci, 0, 0, REG_BYTES);
    pv->pieces = kcalloc(DISK_SLOTS, sizeof(*pv->pieces));
    pv->host = (struct scsi_host){
        .ops = &ops, .name = pci_name(pci, pv->name), .nr_targets = NR_TARGETS, .data = pv};
    err = pv->regs ? scsi_host_init(&pv->host) : -ENODEV;
    if (!err && !pv->pieces)
        err = -ENOMEM;
    if (err)
        goto free_memory;
    u8 *pages = page_to_virt(page);
    pv->state = (volatile struct pvscsi_state *)pages;
    pv->requests = (struct pvscsi_request *)(pages + PAGE_SIZE);
    pv->completions = (volatile struct pvscsi_completion *)(pages + 2 * PAGE_SIZE);
    err = pci_enable_irq(pci, interrupt, pv);
    if (err < 0)
        goto free_memory;
    put(pv, REG_COMMAND, COMMAND_RESET);
    give_rings(pv, pages);
    put(pv, REG_INTR_MASK, INTR_COMPLETION);
    scsi_scan(&pv->host);
    return 0;

free_memory:
    if (pv) {
        kfree(pv->host.sense);
        kfree(pv->pieces);
    }
    kfree(pv);
    if (page)
        page_put(page);
    return err;
}
