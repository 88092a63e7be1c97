/* SCSI disks and CDs, for host adapters: virtio-scsi and pvscsi.  An adapter moves commands; scsi.c
 * makes them of requests and reads what came of them (SPC-4, SBC-3, MMC-5), scsi_probe.c finds what
 * is there.  One queue serves all units of an adapter. */
#pragma once

#include "drv/disk_queue.h"

enum { SCSI_SENSE_BYTES = 96, SCSI_MAX_PIECES = BLOCK_MAX_SEGMENTS, SCSI_MAX_BYTES = 1 << 20 };

enum scsi_opcode {
    SCSI_TEST_UNIT_READY = 0x00,
    SCSI_INQUIRY = 0x12,
    SCSI_MODE_SENSE_6 = 0x1a,
    SCSI_READ_CAPACITY_10 = 0x25,
    SCSI_READ_10 = 0x28,
    SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
    SCSI_READ_16 = 0x88,
    SCSI_WRITE_16 = 0x8a,
    SCSI_SERVICE_ACTION_IN_16 = 0x9e,
    SCSI_REPORT_LUNS = 0xa0,
};

enum scsi_status { SCSI_GOOD = 0, SCSI_CHECK_CONDITION = 2, SCSI_BUSY = 8 };

/** What an adapter sends. */
struct scsi_command {
    u32 tag; /* comes back: the queue's slot */
    u16 target, lun;
    u8 cdb[16];
    u8 cdb_len;
    bool to_device;
    u32 bytes, nr_pieces;
    struct scsi_piece {
        u64 pa;
        u32 len;
    } pieces[SCSI_MAX_PIECES];
    u8 *sense; /* SCSI_SENSE_BYTES */
};

struct scsi_host;

/** By the adapter; under the queue's lock. */
struct scsi_host_ops {
    /** Start it. 0 or a negative errno; there is room for as many as the queue has slots. */
    int (*send)(struct scsi_host *host, const struct scsi_command *command);
    bool (*kick)(struct scsi_host *host);
    /** Find what is finished, and call scsi_done(). */
    void (*collect)(struct scsi_host *host);
    void (*shut_off)(struct scsi_host *host);
};

/* Fields: [I], [L] under .q.lock. */
struct scsi_host {
    struct disk_queue q;
    const struct scsi_host_ops *ops;
    const char *name;
    u32 nr_targets;
    u8 (*sense)[SCSI_SENSE_BYTES]; /* one a slot */
    u8 retries[DISK_SLOTS];        /* [L] */
    void *data;                    /* the adapter's */
};

/* A logical unit that can be read. Fields: [I]. */
struct scsi_unit {
    struct block_dev bd;
    struct scsi_host *host;
    u16 target, lun;
    u8 type;  /* peripheral device type */
    u8 shift; /* log2 of sectors in a block */
    char name[8];
};
enum { SCSI_TYPE_DISK = 0, SCSI_TYPE_CD = 5 };

/** Prepare a host: .ops, .name, .nr_targets and .data are set. 0 or -ENOMEM. */
int scsi_host_init(struct scsi_host *host);
/** Look at all targets, and add the disks and CDs there. Thread context, at start. */
void scsi_scan(struct scsi_host *host);
/** From collect: the command of @tag is through. @err: the adapter's, 0 or a negative errno. */
void scsi_done(struct scsi_host *host, u32 tag, int err, u8 status, u32 sense_len);
/** What sense data of @len bytes mean: 0, -EAGAIN (to be tried again) or another negative errno. */
int scsi_sense_to_errno(const u8 *sense, u32 len);

/* A command of the scan, which waits for its end. */
struct scsi_probe {
    struct block_request request;
    u16 target, lun;
    u8 cdb[16];
    u8 cdb_len;
    bool finished;
};
extern const struct block_ops scsi_block_ops;
