/* What hangs on a SCSI host: each target is asked for its units, each unit what it is, how large,
 * and whether it can be written. */
#include "abi/errno.h"
#include "core/log.h"
#include "core/time.h"
#include "drv/scsi.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { ANSWER_BYTES = 512, MAX_LUNS = 16, READ_CAPACITY_16 = 0x10 };
enum { INQUIRY_BYTES = 36, QUALIFIER_ABSENT = 0x60, TYPE_MASK = 0x1f };
enum { MODE_ALL_PAGES = 0x3f, MODE_WRITE_PROTECTED = 0x80 };
static const u64 answer_ns = 5 * NSEC_PER_SEC;

struct scan {
    struct scsi_host *host;
    struct scsi_probe probe;
    u8 *answer; /* ANSWER_BYTES */
};

static void probe_done(struct block_request *request)
{
    container_of(request, struct scsi_probe, request)->finished = true;
}

/* Send one command and wait. 0 or a negative errno. */
static int ask(struct scan *scan, u32 target, u32 lun, const u8 *cdb, u32 cdb_len, u32 bytes)
{
    struct scsi_probe *probe = &scan->probe;
    struct disk_queue *q = &scan->host->q;

    *probe = (struct scsi_probe){.target = (u16)target, .lun = (u16)lun, .cdb_len = (u8)cdb_len};
    memcpy(probe->cdb, cdb, cdb_len);
    memset(scan->answer, 0, ANSWER_BYTES);
    probe->request.op = BLOCK_READ;
    probe->request.done = probe_done;
    probe->request.nr_segments = bytes ? 1 : 0;
    probe->request.segments[0] = (struct block_segment){scan->answer, bytes};
    disk_queue_submit(q, NULL, &probe->request);
    for (u64 end = time_after_ns(answer_ns); !probe->finished; cpu_relax()) {
        disk_queue_advance(q);
        if (time_ns() > end) {
            spin_lock(&q->lock);
            disk_queue_break(q, "it does not answer"); /* and so this one ends too */
            spin_unlock(&q->lock);
        }
    }
    return probe->request.status;
}

static u64 be(const u8 *from, u32 bytes)
{
    u64 value = 0;

    for (u32 i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

/* How many blocks of how many bytes. */
static int ask_capacity(struct scan *scan, const struct scsi_unit *unit, u64 *blocks, u32 *bytes)
{
    static const u8 short_cdb[10] = {SCSI_READ_CAPACITY_10};
    static const u8 long_cdb[16] = {SCSI_SERVICE_ACTION_IN_16, READ_CAPACITY_16, [13] = 32};
    bool cd = unit->type == SCSI_TYPE_CD;
    u32 width = cd ? 4 : 8;
    int err = cd ? ask(scan, unit->target, unit->lun, short_cdb, 10, 8)
                 : ask(scan, unit->target, unit->lun, long_cdb, 16, 32);

    if (err)
        return err;
    *blocks = be(scan->answer, width) + 1;
    *bytes = (u32)be(scan->answer + width, 4);
    return 0;
}

static bool is_readonly(struct scan *scan, const struct scsi_unit *unit)
{
    static const u8 cdb[6] = {SCSI_MODE_SENSE_6, 0, MODE_ALL_PAGES, 0, 252};

    return unit->type == SCSI_TYPE_CD || (!ask(scan, unit->target, unit->lun, cdb, 6, 252) &&
                                          scan->answer[2] & MODE_WRITE_PROTECTED);
}

static int measure(struct scan *scan, struct scsi_unit *unit)
{
    u64 blocks;
    u32 bytes;
    int err = ask_capacity(scan, unit, &blocks, &bytes);

    if (err)
        return err;
    while ((u32)SECTOR_SIZE << unit->shift < bytes && unit->shift < 3)
        unit->shift++;
    if ((u32)SECTOR_SIZE << unit->shift != bytes || blocks > UINT64_MAX >> 12)
        return -EINVAL;
    unit->bd.sectors = blocks << unit->shift;
    return 0;
}

static void add_unit(struct scan *scan, u32 target, u32 lun, u8 type)
{
    struct scsi_unit *unit = kzalloc(sizeof(*unit));
    int err = unit ? 0 : -ENOMEM;

    if (!err) {
        *unit = (struct scsi_unit){
            .host = scan->host, .target = (u16)target, .lun = (u16)lun, .type = type};
        err = measure(scan, unit);
    }
    if (!err) {
        unit->bd.ops = &scsi_block_ops;
        unit->bd.readonly = is_readonly(scan, unit);
        unit->bd.volatile_cache = !unit->bd.readonly;
        unit->bd.name = unit->name;
        unit->bd.data = unit;
        if (type == SCSI_TYPE_CD)
            disk_next_cd_name(unit->name);
        else
            disk_next_name(unit->name);
        err = block_add(&unit->bd);
    }
    if (err == -ENOMEDIUM) {
        log_info("%s: nothing is in the drive at target %u", scan->host->name, target);
    } else if (err) {
        log_err("%s: unit %u of target %u cannot be used: error %d", scan->host->name, lun, target,
                -err);
    }
    if (err)
        kfree(unit);
}

static void look_at_unit(struct scan *scan, u32 target, u32 lun)
{
    static const u8 cdb[6] = {SCSI_INQUIRY, 0, 0, 0, INQUIRY_BYTES};

    if (ask(scan, target, lun, cdb, 6, INQUIRY_BYTES) || scan->answer[0] & QUALIFIER_ABSENT)
        return;
    u8 type = scan->answer[0] & TYPE_MASK;
    if (type == SCSI_TYPE_DISK || type == SCSI_TYPE_CD)
        add_unit(scan, target, lun, type);
    else
        log_info("%s: target %u is of type %u: not used", scan->host->name, target, type);
}

/* SPC-4, 6.33: eight bytes a unit behind a header; of the address methods the two simple ones. */
static u32 read_luns(const u8 *answer, u16 luns[MAX_LUNS])
{
    u32 nr = (u32)min(be(answer, 4) / 8, (u64)MAX_LUNS);

    for (u32 i = 0; i < nr; i++)
        luns[i] = (u16)(be(answer + 8 + 8 * i, 2) & 0x3fff);
    return nr;
}

static void look_at_target(struct scan *scan, u32 target)
{
    static const u8 inquiry[6] = {SCSI_INQUIRY, 0, 0, 0, INQUIRY_BYTES};
    static const u8 report[12] = {SCSI_REPORT_LUNS, [8] = ANSWER_BYTES >> 8, ANSWER_BYTES & 0xff};
    u16 luns[MAX_LUNS] = {0};
    u32 nr = 1;

    if (ask(scan, target, 0, inquiry, 6, INQUIRY_BYTES))
        return; /* nobody there */
    if (!ask(scan, target, 0, report, 12, ANSWER_BYTES))
        nr = max(read_luns(scan->answer, luns), 1u);
    for (u32 i = 0; i < nr; i++)
        look_at_unit(scan, target, luns[i]);
}

void scsi_scan(struct scsi_host *host)
{
    struct scan scan = {.host = host, .answer = kzalloc(ANSWER_BYTES)};

    if (!scan.answer) {
        log_err("%s: no memory", host->name);
        return;
    }
    for (u32 target = 0; target < host->nr_targets && !host->q.broken; target++)
        look_at_target(&scan, target);
    kfree(scan.answer);
}
