/* Parallel ATA disks and CDs behind a bus master as in the PIIX (ATA/ATAPI-8 APT; Programming
 * interface for bus master IDE controllers 1.0).  A channel does one command at a time, for
 * whichever of its two disks; data goes by a buffer of our own, since the bus master reaches 4 GiB
 * only and no piece may cross 64 KiB. */
#include "abi/errno.h"
#include "arch/cpu.h"
#include "core/log.h"
#include "core/time.h"
#include "drv/ata.h"
#include "drv/disk_queue.h"
#include "drv/pci.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "mm/page.h"

enum ide_reg { REG_DATA, REG_FEATURES, REG_COUNT, REG_LBA, REG_DEVICE = 6, REG_COMMAND = 7 };
enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4, BM_CHANNEL = 8 };
enum { BM_START = 1, BM_TO_MEMORY = 8, BM_ERROR = 2, BM_INTERRUPT = 4 };
enum { CONTROL_NO_IRQ = 2, DEVICE_LBA = 0xe0, DEVICE_SECOND = 0x10 };
enum { BUFFER_ORDER = 4, BUFFER_BYTES = PAGE_SIZE << BUFFER_ORDER, LAST_PRD = 0x8000 };
enum {
    READ_CAPACITY_10 = 0x25,
    READ_10 = 0x28,
    CD_BYTES = 2048,
    CD_SECTORS = CD_BYTES / SECTOR_SIZE
};
enum { IRQ_FIRST = 14, PROGIF_NATIVE = 1, BAR_MASTER = 4 };

struct ide_prd {
    u32 pa;
    u16 bytes; /* 0: 64 KiB */
    u16 flags;
};

/* Fields: [I], [L] under .q.lock. */
struct ide_channel {
    struct disk_queue q;
    char name[8];          /* "ide0" */
    u16 ports, control;    /* of the registers */
    u16 master;            /* of the bus master's */
    bool cds[2];           /* which devices take packets */
    u8 *buffer;            /* BUFFER_BYTES, below 4 GiB, of that alignment */
    struct ide_prd *table; /* one entry, below 4 GiB */
    bool writing, moving;  /* [L] what the command does */
};

struct ide_disk {
    struct block_dev bd;
    struct ide_channel *channel;
    char name[8];
    u8 device; /* which of the two, as the register has it */
    bool lba48;
    bool packet; /* a CD */
};

static u8 status_of(const struct ide_channel *c)
{
    return inb(c->control); /* the alternate one, which acknowledges nothing */
}

/* A device needs 400 ns to show what it does. */
static void pause_400ns(const struct ide_channel *c)
{
    for (u32 i = 0; i < 4; i++)
        (void)status_of(c);
}

static bool wait_idle(const struct ide_channel *c)
{
    for (u64 end = time_after_ns(NSEC_PER_SEC); status_of(c) & ATA_BSY; cpu_relax()) {
        if (time_ns() > end)
            return false;
    }
    return true;
}

/* ---- commands ---- */

/* The registers take a second byte first, for 48-bit addresses. */
static void write_address(const struct ide_disk *disk, u64 lba, u32 nr)
{
    u16 ports = disk->channel->ports;

    if (disk->lba48) {
        outb(ports + REG_COUNT, (u8)(nr >> 8));
        for (u32 i = 0; i < 3; i++)
            outb((u16)(ports + REG_LBA + i), (u8)(lba >> (24 + 8 * i)));
    }
    outb(ports + REG_COUNT, (u8)nr);
    for (u32 i = 0; i < 3; i++)
        outb((u16)(ports + REG_LBA + i), (u8)(lba >> 8 * i));
}

static u8 command_of(const struct ide_disk *disk, enum block_op op)
{
    if (op == BLOCK_FLUSH)
        return disk->lba48 ? ATA_FLUSH_EXT : ATA_FLUSH;
    if (op == BLOCK_READ)
        return disk->lba48 ? ATA_READ_DMA_EXT : ATA_READ_DMA;
    return disk->lba48 ? ATA_WRITE_DMA_EXT : ATA_WRITE_DMA;
}

/* What goes by the buffer in this command. */
static u32 take_bytes(struct disk_slot *slot)
{
    struct disk_piece walk = disk_piece_first(slot);
    u32 len;
    u64 pa;

    while (disk_piece_peek(&walk, BUFFER_BYTES - walk.bytes, &pa, &len))
        disk_piece_take(&walk, len);
    disk_slot_took(slot, &walk);
    return walk.bytes;
}

/* A SCSI command for a CD, whose registers are written: ATA/ATAPI-8 ACS, 7.20. False: it does not
 * take it. */
static bool send_packet(const struct ide_channel *c, bool dma, const u8 packet[12],
                        u16 answer_bytes)
{
    outb(c->ports + REG_FEATURES, dma);
    outb(c->ports + REG_LBA + 1, (u8)answer_bytes);
    outb(c->ports + REG_LBA + 2, (u8)(answer_bytes >> 8));
    outb(c->ports + REG_COMMAND, ATA_PACKET);
    pause_400ns(c);
    if (!wait_idle(c) || (status_of(c) & (ATA_DRQ | ATA_ERR)) != ATA_DRQ)
        return false;
    for (u32 i = 0; i < 12; i += 2)
        outw(c->ports + REG_DATA, (u16)(packet[i] | packet[i + 1] << 8));
    return true;
}

/* READ (10) of whole blocks of 2048 bytes. */
static bool read_cd(const struct ide_channel *c, u64 sector, u32 bytes)
{
    u32 block = (u32)(sector / CD_SECTORS), nr = bytes / CD_BYTES;
    const u8 packet[12] = {
        READ_10,       0,     (u8)(block >> 24), (u8)(block >> 16), (u8)(block >> 8), (u8)block, 0,
        (u8)(nr >> 8), (u8)nr};

    return !(sector % CD_SECTORS) && !(bytes % CD_BYTES) && send_packet(c, true, packet, 0);
}

static int start(struct disk_queue *q, u32 i)
{
    struct ide_channel *c = q->data;
    struct disk_slot *slot = &q->slots[i];
    const struct block_request *request = slot->request;
    const struct ide_disk *disk = request->bd->data;
    u64 lba = request->sector + slot->done / SECTOR_SIZE;

    if (request->op != BLOCK_FLUSH && request->op != BLOCK_READ && request->op != BLOCK_WRITE)
        return -EOPNOTSUPP;
    if (disk->packet && request->op != BLOCK_READ)
        return -EROFS;
    if (!wait_idle(c))
        return -EIO;
    c->writing = request->op == BLOCK_WRITE;
    c->moving = request->op != BLOCK_FLUSH;
    outb(c->ports + REG_DEVICE,
         (u8)(DEVICE_LBA | disk->device | (disk->lba48 ? 0 : lba >> 24 & 15)));
    pause_400ns(c);
    if (c->moving) {
        u32 bytes = take_bytes(slot);
        if (c->writing)
            disk_slot_copy(slot, c->buffer, bytes, true);
        *c->table = (struct ide_prd){(u32)virt_to_phys(c->buffer), (u16)bytes, LAST_PRD};
        outl(c->master + BM_TABLE, (u32)virt_to_phys(c->table));
        outb(c->master + BM_COMMAND, c->writing ? 0 : BM_TO_MEMORY);
        if (!disk->packet)
            write_address(disk, lba, bytes / SECTOR_SIZE);
    }
    outb(c->master + BM_STATUS, inb(c->master + BM_STATUS) | BM_ERROR | BM_INTERRUPT);
    if (disk->packet && !read_cd(c, lba, slot->bytes))
        return -EIO;
    if (!disk->packet)
        outb(c->ports + REG_COMMAND, command_of(disk, request->op));
    if (c->moving)
        outb(c->master + BM_COMMAND, (c->writing ? 0 : BM_TO_MEMORY) | BM_START);
    return 0;
}

static void collect(struct disk_queue *q)
{
    struct ide_channel *c = q->data;
    u8 master = inb(c->master + BM_STATUS);

    if (!disk_queue_is_busy(q, 0) || !(master & BM_INTERRUPT) || status_of(c) & ATA_BSY)
        return;
    u8 status = inb(c->ports + REG_COMMAND); /* acknowledges */
    outb(c->master + BM_COMMAND, 0);
    outb(c->master + BM_STATUS, master | BM_ERROR | BM_INTERRUPT);
    bool bad = status & (ATA_ERR | ATA_DF) || (c->moving && master & BM_ERROR);
    if (!bad && c->moving && !c->writing)
        disk_slot_copy(&q->slots[0], c->buffer, q->slots[0].bytes, false);
    disk_queue_finish(q, 0, bad ? -EIO : 0);
}

static void shut_off(struct disk_queue *q)
{
    const struct ide_channel *c = q->data;

    outb(c->master + BM_COMMAND, 0);
    outb(c->control, CONTROL_NO_IRQ);
}

static const struct disk_queue_ops queue_ops = {
    .start = start, .collect = collect, .shut_off = shut_off};

static void submit(struct block_dev *bd, struct block_request *request)
{
    const struct ide_disk *disk = bd->data;

    disk_queue_submit(&disk->channel->q, bd, request);
}

static const struct block_ops block_ops = {.submit = submit};

static void interrupt(void *arg)
{
    struct ide_channel *c = arg;

    disk_queue_advance(&c->q);
}

/* ---- start ---- */

/* IDENTIFY DEVICE by hand. False: nothing there, or no ATA disk. */
static bool identify(const struct ide_channel *c, u8 device, u16 *id)
{
    outb(c->ports + REG_DEVICE, (u8)(DEVICE_LBA | device));
    pause_400ns(c);
    u8 status = status_of(c);
    if (status == 0 || status == 0xff || !wait_idle(c))
        return false;
    outb(c->ports + REG_COUNT, 0);
    for (u32 i = 0; i < 3; i++)
        outb((u16)(c->ports + REG_LBA + i), 0);
    outb(c->ports + REG_COMMAND, ATA_IDENTIFY);
    pause_400ns(c);
    if (!wait_idle(c) || (status_of(c) & (ATA_DRQ | ATA_ERR)) != ATA_DRQ)
        return false;
    for (u32 i = 0; i < 256; i++)
        id[i] = inw(c->ports + REG_DATA);
    (void)inb(c->ports + REG_COMMAND); /* acknowledges */
    return true;
}

/* A device that takes packets refuses IDENTIFY DEVICE, and leaves its signature: 7.12.5. */
static bool is_packet_device(const struct ide_channel *c)
{
    return inb(c->ports + REG_LBA + 1) == 0x14 && inb(c->ports + REG_LBA + 2) == 0xeb;
}

/* READ CAPACITY (10), by hand; the first commands after a reset are refused. Sectors, 0: no CD. */
static u64 cd_sectors(const struct ide_channel *c, u8 device)
{
    static const u8 packet[12] = {READ_CAPACITY_10};
    u8 answer[8];

    for (u32 tries = 0; tries < 3; tries++) {
        outb(c->ports + REG_DEVICE, (u8)(DEVICE_LBA | device));
        pause_400ns(c);
        if (!wait_idle(c) || !send_packet(c, false, packet, sizeof(answer)))
            return 0;
        pause_400ns(c);
        bool good = wait_idle(c) && (status_of(c) & (ATA_DRQ | ATA_ERR)) == ATA_DRQ;
        for (u32 i = 0; good && i < sizeof(answer); i += 2) {
            u16 word = inw(c->ports + REG_DATA);
            answer[i] = (u8)word;
            answer[i + 1] = (u8)(word >> 8);
        }
        (void)inb(c->ports + REG_COMMAND); /* acknowledges */
        if (good && answer[6] == CD_BYTES >> 8 && !answer[5] && !answer[7])
            return ((u64)answer[0] << 24 | answer[1] << 16 | answer[2] << 8 | answer[3]) *
                       CD_SECTORS +
                   CD_SECTORS;
    }
    return 0;
}

static void add_disk(struct ide_channel *c, u8 device, const u16 *id)
{
    struct ide_disk *disk = kzalloc(sizeof(*disk));
    if (!disk) {
        log_err("%s: no memory for a disk", c->name);
        return;
    }
    disk->channel = c;
    disk->device = device;
    disk->packet = c->cds[device == DEVICE_SECOND];
    u64 sectors = disk->packet ? cd_sectors(c, device) : ata_sectors(id, &disk->lba48);
    if (disk->packet && !sectors) {
        log_info("%s: nothing is in the drive", c->name);
        kfree(disk);
        return;
    }
    if (disk->packet)
        disk_next_cd_name(disk->name);
    else
        disk_next_name(disk->name);
    disk->bd = (struct block_dev){.name = disk->name,
                                  .ops = &block_ops,
                                  .sectors = sectors,
                                  .readonly = disk->packet,
                                  .volatile_cache = !disk->packet,
                                  .data = disk};
    int err = block_add(&disk->bd);
    if (err) {
        log_err("%s: cannot be used: error %d", disk->name, -err);
        kfree(disk);
    }
}

/* The memory that the bus master reaches. */
static int alloc_memory(struct ide_channel *c)
{
    struct page *page = page_alloc(BUFFER_ORDER + 1, PAGE_ZERO);

    if (!page || page_to_phys(page) + 2 * BUFFER_BYTES > GIB(4)) {
        if (page)
            page_put(page);
        return -ENOMEM;
    }
    c->buffer = page_to_virt(page);
    c->table = (struct ide_prd *)(c->buffer + BUFFER_BYTES);
    return 0;
}

static int start_channel(struct ide_channel *c, const u16 *id, bool found[2], u32 gsi,
                         const struct pci_dev *pci)
{
    int err = alloc_memory(c);
    if (err)
        return err;
    disk_queue_init(&c->q, c->name, &queue_ops, c, 1);
    err = gsi ? pci_enable_fixed_irq(gsi, interrupt, c) : min(pci_enable_irq(pci, interrupt, c), 0);
    if (err)
        return err;
    outb(c->control, 0);
    for (u32 i = 0; i < 2; i++)
        if (found[i])
            add_disk(c, i ? DEVICE_SECOND : 0, id + i * (size_t)256);
    return 0;
}

static int probe_channel(const struct pci_dev *pci, u32 n, u16 master)
{
    static const u16 ports[] = {0x1f0, 0x170}, controls[] = {0x3f6, 0x376};
    static u32 count;
    bool native = pci->class_code & (u32)PROGIF_NATIVE << 2 * n, found[2];
    struct ide_channel *c = kzalloc(sizeof(*c));
    u16 *id = kzalloc(2 * SECTOR_SIZE);
    int err = -ENOMEM;

    if (!c || !id)
        goto out;
    format(c->name, sizeof(c->name), "ide%u", count++);
    c->ports = native ? pci_io_bar(pci, 2 * n) : ports[n];
    c->control = native ? (u16)(pci_io_bar(pci, 2 * n + 1) + 2) : controls[n];
    c->master = (u16)(master + n * BM_CHANNEL);
    outb(c->control, CONTROL_NO_IRQ);
    for (u32 i = 0; i < 2; i++) {
        found[i] = identify(c, i ? DEVICE_SECOND : 0, id + i * (size_t)256);
        c->cds[i] = !found[i] && is_packet_device(c);
        found[i] |= c->cds[i];
    }
    err = 0;
    if (found[0] || found[1])
        err = start_channel(c, id, found, native ? 0 : IRQ_FIRST + n, pci);
out:
    if (err || !c->buffer)
        kfree(c);
    kfree(id);
    return err;
}

int ide_probe(const struct pci_dev *pci)
{
    u16 master = pci_io_bar(pci, BAR_MASTER);

    if (!master)
        return -ENODEV;
    pci_enable(pci);
    int first = probe_channel(pci, 0, master), second = probe_channel(pci, 1, master);
    return first ? first : second;
}
