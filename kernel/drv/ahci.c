/* Serial ATA disks behind an AHCI controller: AHCI 1.3.1.  Each port is a queue; commands are not
 * native-queued, the controller gives them to the disk one after the other. */
#include "abi/errno.h"
#include "core/log.h"
#include "core/time.h"
#include "drv/ata.h"
#include "drv/disk_queue.h"
#include "drv/pci.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "mm/page.h"

enum hba_reg { HBA_CAP = 0x00, HBA_GHC = 0x04, HBA_IS = 0x08, HBA_PI = 0x0c, HBA_PORTS = 0x100 };
enum port_reg {
    PORT_CLB = 0x00,
    PORT_FB = 0x08,
    PORT_IS = 0x10,
    PORT_IE = 0x14,
    PORT_CMD = 0x18,
    PORT_TFD = 0x20,
    PORT_SIG = 0x24,
    PORT_SSTS = 0x28,
    PORT_SERR = 0x30,
    PORT_CI = 0x38,
};
enum { PORT_BYTES = 0x80, NR_PORTS = 32 };
#define GHC_ENABLE (1u << 31)
#define CAP_64     (1u << 31)
enum { GHC_INTERRUPTS = 2 };
enum { CMD_START = 1, CMD_SPIN_UP = 2, CMD_FIS = 1 << 4, CMD_FIS_ON = 1 << 14, CMD_ON = 1 << 15 };
enum { CMD_SLOT_SHIFT = 8, CMD_SLOT_MASK = 31 };
enum { IS_FIS = 1, IS_FATAL = 1 << 30 | 1 << 29 | 1 << 28 | 1 << 27 };
enum { SSTS_PRESENT = 3, SIGNATURE_ATA = 0x101 };
enum { FIS_H2D = 0x27, FIS_IS_COMMAND = 0x80, FIS_DWORDS = 5, HEADER_WRITE = 1 << 6 };
enum { AHCI_SLOTS = 8, TABLE_PRDS = 56, MAX_BYTES = 8 << 20 };
static const u64 port_ns = NSEC_PER_SEC;

struct ahci_header {
    u16 flags;
    u16 nr_prds;
    u32 bytes;
    u64 table_pa;
    u32 reserved[4];
};

struct ahci_table {
    u8 fis[64], packet[64];
    struct {
        u64 pa;
        u32 reserved;
        u32 last_byte; /* length less 1 */
    } prds[TABLE_PRDS];
};
static_assert(sizeof(struct ahci_table) == 1024, "4.2.3: aligned to 128");

/* What the controller reads and writes. */
struct ahci_memory {
    struct ahci_header headers[32];
    u8 received[256];
    u8 pad[2816];
    struct ahci_table tables[AHCI_SLOTS];
};
static_assert(offsetof(struct ahci_memory, tables) == 4096, "headers at 1024, FIS at 256");

/* A port with its disk. Fields: [I], [L] under .q.lock. */
struct ahci_port {
    struct disk_queue q;
    struct block_dev bd;
    char name[8];
    volatile char *regs;
    struct ahci_memory *mem;
    u32 started; /* [L] slots to be told of */
    bool lba48;
};

struct ahci {
    volatile char *regs;
    struct ahci_port *ports[NR_PORTS]; /* NULL: no disk */
};

static u32 get(volatile char *regs, u32 reg)
{
    return *(volatile u32 *)(regs + reg);
}

static void put(volatile char *regs, u32 reg, u32 value)
{
    *(volatile u32 *)(regs + reg) = value;
}

static bool wait_clear(volatile char *regs, u32 reg, u32 bits)
{
    for (u64 end = time_after_ns(port_ns); get(regs, reg) & bits; cpu_relax()) {
        if (time_ns() > end)
            return false;
    }
    return true;
}

/* 10.1.2: nothing is fetched or written any more. */
static bool port_stop(volatile char *regs)
{
    put(regs, PORT_CMD, get(regs, PORT_CMD) & ~(u32)CMD_START);
    bool idle = wait_clear(regs, PORT_CMD, CMD_ON);

    put(regs, PORT_CMD, get(regs, PORT_CMD) & ~(u32)CMD_FIS);
    return wait_clear(regs, PORT_CMD, CMD_FIS_ON) && idle;
}

static bool port_start(volatile char *regs)
{
    put(regs, PORT_SERR, UINT32_MAX);
    put(regs, PORT_IS, UINT32_MAX);
    put(regs, PORT_CMD, get(regs, PORT_CMD) | CMD_FIS | CMD_SPIN_UP);
    if (!wait_clear(regs, PORT_TFD, ATA_BSY | ATA_DRQ))
        return false;
    put(regs, PORT_CMD, get(regs, PORT_CMD) | CMD_START);
    return true;
}

/* ---- commands ---- */

static void fill_fis(u8 *fis, u8 command, u64 lba, u32 nr)
{
    memset(fis, 0, 20);
    fis[0] = FIS_H2D;
    fis[1] = FIS_IS_COMMAND;
    fis[2] = command;
    for (u32 i = 0; i < 3; i++) {
        fis[4 + i] = (u8)(lba >> 8 * i);
        fis[8 + i] = (u8)(lba >> (24 + 8 * i));
    }
    fis[7] = ATA_LBA;
    fis[12] = (u8)nr;
    fis[13] = (u8)(nr >> 8);
}

static void set_prd(struct ahci_table *table, u32 n, u64 pa, u32 len)
{
    table->prds[n].pa = pa;
    table->prds[n].reserved = 0;
    table->prds[n].last_byte = len - 1;
}

static void set_header(struct ahci_port *port, u32 i, bool write, u32 nr_prds)
{
    port->mem->headers[i] = (struct ahci_header){
        .flags = (u16)(FIS_DWORDS | (write ? HEADER_WRITE : 0)),
        .nr_prds = (u16)nr_prds,
        .table_pa = virt_to_phys(&port->mem->tables[i]),
    };
}

static int start(struct disk_queue *q, u32 i)
{
    struct ahci_port *port = q->data;
    struct disk_slot *slot = &q->slots[i];
    struct disk_piece walk = disk_piece_first(slot);
    const struct block_request *request = slot->request;
    struct ahci_table *table = &port->mem->tables[i];
    bool write = request->op == BLOCK_WRITE;
    u32 n = 0, len;
    u64 pa;

    if (request->op == BLOCK_FLUSH) {
        fill_fis(table->fis, port->lba48 ? ATA_FLUSH_EXT : ATA_FLUSH, 0, 0);
    } else if (!write && request->op != BLOCK_READ) {
        return -EOPNOTSUPP;
    } else {
        for (; n < TABLE_PRDS && disk_piece_peek(&walk, MAX_BYTES - walk.bytes, &pa, &len); n++) {
            len = min(len, 1u << 22); /* 4.2.3.3 */
            set_prd(table, n, pa, len);
            disk_piece_take(&walk, len);
        }
        disk_slot_took(slot, &walk);
        fill_fis(table->fis, write ? ATA_WRITE_DMA_EXT : ATA_READ_DMA_EXT,
                 request->sector + slot->done / SECTOR_SIZE, walk.bytes / SECTOR_SIZE);
    }
    set_header(port, i, write, n);
    port->started |= 1u << i;
    return 0;
}

static bool kick(struct disk_queue *q)
{
    struct ahci_port *port = q->data;

    wmb(); /* the tables before the bits */
    if (port->started)
        put(port->regs, PORT_CI, port->started);
    port->started = 0;
    return false;
}

/* 6.2.2: the command that the controller was at has failed, the others are given again. */
static void recover(struct ahci_port *port)
{
    struct disk_queue *q = &port->q;
    u32 at = get(port->regs, PORT_CMD) >> CMD_SLOT_SHIFT & CMD_SLOT_MASK;
    u32 left = get(port->regs, PORT_CI);

    if (!port_stop(port->regs) || !port_start(port->regs)) {
        disk_queue_break(q, "it does not recover from an error");
        return;
    }
    for (u32 i = 0; i < q->nr_slots; i++) {
        if (!disk_queue_is_busy(q, i) || !(left & 1u << i))
            continue;
        if (i == at)
            disk_queue_finish(q, i, -EIO);
        else
            port->started |= 1u << i;
    }
}

static void collect(struct disk_queue *q)
{
    struct ahci_port *port = q->data;
    u32 causes = get(port->regs, PORT_IS);

    put(port->regs, PORT_IS, causes);
    u32 left = get(port->regs, PORT_CI) | port->started;
    if (left == UINT32_MAX) {
        disk_queue_break(q, "it is gone");
        return;
    }
    for (u32 i = 0; i < q->nr_slots; i++) {
        if (disk_queue_is_busy(q, i) && !(left & 1u << i))
            disk_queue_finish(q, i, 0);
    }
    if (causes & IS_FATAL)
        recover(port);
}

static void shut_off(struct disk_queue *q)
{
    struct ahci_port *port = q->data;

    put(port->regs, PORT_IE, 0);
    (void)port_stop(port->regs); /* nothing more can be done */
}

static const struct disk_queue_ops queue_ops = {
    .start = start, .kick = kick, .collect = collect, .shut_off = shut_off};

static void submit(struct block_dev *bd, struct block_request *request)
{
    struct ahci_port *port = bd->data;

    disk_queue_submit(&port->q, bd, request);
}

static const struct block_ops block_ops = {.submit = submit};

/* The port's cause first, then the controller's: 5.6.2. */
static void interrupt(void *arg)
{
    struct ahci *ahci = arg;
    u32 causes = get(ahci->regs, HBA_IS);

    for (u32 i = 0; i < NR_PORTS; i++) {
        struct ahci_port *port = ahci->ports[i];
        if (!port || !(causes & 1u << i))
            continue;
        disk_queue_advance(&port->q);
        put(port->regs, PORT_IS, IS_FIS);
        put(ahci->regs, HBA_IS, 1u << i);
        disk_queue_advance(&port->q);
    }
}

/* ---- start ---- */

/* IDENTIFY by the first slot, before anybody else has commands. */
static int identify(struct ahci_port *port, u16 *id)
{
    set_prd(&port->mem->tables[0], 0, virt_to_phys(id), SECTOR_SIZE);
    fill_fis(port->mem->tables[0].fis, ATA_IDENTIFY, 0, 0);
    set_header(port, 0, false, 1);
    put(port->regs, PORT_CI, 1);
    bool done = wait_clear(port->regs, PORT_CI, 1);
    return done && !(get(port->regs, PORT_TFD) & (ATA_ERR | ATA_DF)) ? 0 : -EIO;
}

static int start_port(struct ahci_port *port)
{
    struct page *page = page_alloc(2, PAGE_ZERO); /* 12 KiB are needed */
    u16 *id = kzalloc(SECTOR_SIZE);
    int err = -ENOMEM;

    if (!page || !id)
        goto out;
    port->mem = page_to_virt(page);
    err = -EIO;
    if (!port_stop(port->regs))
        goto out;
    u64 pa = virt_to_phys(port->mem);
    put(port->regs, PORT_CLB, (u32)pa);
    put(port->regs, PORT_CLB + 4, (u32)(pa >> 32));
    pa += offsetof(struct ahci_memory, received);
    put(port->regs, PORT_FB, (u32)pa);
    put(port->regs, PORT_FB + 4, (u32)(pa >> 32));
    if (!port_start(port->regs))
        goto out;
    err = identify(port, id);
    if (!err)
        port->bd.sectors = ata_sectors(id, &port->lba48);
    if (!err && (!port->bd.sectors || !port->lba48)) {
        log_err("ahci: a disk without 48-bit addresses, or with sectors of other than 512 bytes");
        err = -EINVAL;
    }
out:
    if (err && page) {
        (void)port_stop(port->regs); /* nothing more can be done */
        page_put(page);
    }
    kfree(id);
    return err;
}

static void add_port(struct ahci *ahci, u32 i)
{
    volatile char *regs = ahci->regs + HBA_PORTS + i * PORT_BYTES;
    struct ahci_port *port;

    if ((get(regs, PORT_SSTS) & 15) != SSTS_PRESENT || get(regs, PORT_SIG) != SIGNATURE_ATA)
        return;
    port = kzalloc(sizeof(*port));
    int err = port ? 0 : -ENOMEM;
    if (!err) {
        port->regs = regs;
        err = start_port(port);
    }
    if (err) {
        log_err("ahci: the disk at port %u does not start: error %d", i, -err);
        kfree(port);
        return;
    }
    disk_next_name(port->name);
    disk_queue_init(&port->q, port->name, &queue_ops, port, AHCI_SLOTS);
    port->bd.name = port->name;
    port->bd.ops = &block_ops;
    port->bd.volatile_cache = true;
    port->bd.data = port;
    ahci->ports[i] = port;
    put(regs, PORT_IS, UINT32_MAX);
    put(regs, PORT_IE, IS_FIS | IS_FATAL);
    err = block_add(&port->bd);
    if (err)
        log_err("%s: cannot be used: error %d", port->name, -err);
}

int ahci_probe(const struct pci_dev *pci)
{
    struct ahci *ahci = kzalloc(sizeof(*ahci));
    if (!ahci)
        return -ENOMEM;
    pci_enable(pci);
    ahci->regs = pci_map_bar(pci, 5, 0, HBA_PORTS + NR_PORTS * PORT_BYTES);
    u32 cap = ahci->regs ? get(ahci->regs, HBA_CAP) : UINT32_MAX;
    if (cap == UINT32_MAX || (!(cap & CAP_64) && boot_info.ram_end > GIB(4))) {
        kfree(ahci);
        return -ENODEV;
    }
    put(ahci->regs, HBA_GHC, get(ahci->regs, HBA_GHC) | GHC_ENABLE);
    int err = pci_enable_irq(pci, interrupt, ahci);
    if (err < 0)
        return err; /* the handler may know of it */
    for (u32 i = 0, present = get(ahci->regs, HBA_PI); i < NR_PORTS; i++)
        if (present & 1u << i)
            add_port(ahci, i);
    put(ahci->regs, HBA_IS, UINT32_MAX);
    put(ahci->regs, HBA_GHC, get(ahci->regs, HBA_GHC) | GHC_INTERRUPTS);
    return 0;
}
