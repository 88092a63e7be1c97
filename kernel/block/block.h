/* Disks as the rest of the kernel sees them.  Drivers add them; file systems read through
 * block_read() or straight into pages, many pieces at once through a block_batch.
 * A write that has finished is durable after the next block_flush() that begins later, not before;
 * writes in flight are in no order. */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

struct block_dev;
struct waitq;

enum { SECTOR_SIZE = 512, BLOCK_MAX_SEGMENTS = 32 };
/** DISCARD leaves the contents unspecified; it has one segment without a buffer, whose .len is the
 * range. */
enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, NR_BLOCK_OPS };

/** A piece of kernel memory that a device reads or writes: direct-map address, below 4 GiB long. */
struct block_segment {
    void *buf;
    u32 len; /* bytes, a multiple of 512 */
};

/* One transfer.  The submitter owns it until .done was called. */
struct block_request {
    enum block_op op;
    bool fua;   /* a write that is durable when it is done; only where .has_fua, see block_run() */
    u64 sector; /* of 512 bytes */
    u32 nr_segments;
    struct block_segment segments[BLOCK_MAX_SEGMENTS];
    int status;                                  /* set before .done: 0 or -EIO */
    void (*done)(struct block_request *request); /* safe-point context; must not sleep */
    void *owner;                                 /* the submitter's */
    struct list_head node;                       /* the driver's while it has the request */
    struct block_dev *bd;                        /* likewise */
};

/** What a driver fills in.  Thread context. */
struct block_ops {
    /**
     * Start a transfer; .done is called when it is through (maybe before this returns).
     * A driver whose queue is full keeps the request in a list and starts it later.
     */
    void (*submit)(struct block_dev *bd, struct block_request *request);
};

/** What has been done, for /proc/diskstats.  [A] */
struct block_count {
    u64 requests, bytes;
};

/* Fields: [I] fixed once added, [A]. */
struct block_dev {
    const char *name;            /* [I] "vda"; owned by the driver */
    const struct block_ops *ops; /* [I] */
    u64 sectors;                 /* [I] capacity in units of 512 bytes */
    u32 max_segments;            /* [I] of one request, at most BLOCK_MAX_SEGMENTS; 0 means that */
    u32 max_bytes;               /* [I] of one request; 0: no limit */
    bool readonly;               /* [I] */
    bool has_fua;                /* [I] takes .fua; else a flush follows */
    bool volatile_cache;         /* [I] flushes do something */
    bool has_discard;            /* [I] */
    u32 max_discard_bytes;       /* [I] of one request; 0: no limit */
    u32 discard_align;           /* [I] bytes; 0: a sector */
    u64 dev;                     /* [I] device number; set by block_add() if 0 */
    void *data;                  /* [I] the driver's */
    struct block_dev *whole;     /* [I] of a partition: its disk; else NULL */
    struct block_count counts[NR_BLOCK_OPS]; /* [A] of a disk, with those of its partitions */
    struct list_head node;                   /* [I] */
};

/** Make a disk known. 0, -EEXIST (name taken) or -EINVAL (no sectors). */
int block_add(struct block_dev *bd);
/** By name, with or without "/dev/"; NULL: no such disk. */
struct block_dev *block_find(const char *name);
/** Walk the disks in order of arrival, until @fn returns non-zero. */
int block_for_each(int (*fn)(struct block_dev *bd, void *arg), void *arg);

/**
 * Read whole sectors, sleeping until the data is in memory.
 * @sector: first one, in units of 512 bytes; @buf: direct-map memory of @count * 512 bytes.
 * 0, -EINVAL past the end of the disk, or -EIO. Thread context only.
 */
int block_read(struct block_dev *bd, u64 sector, void *buf, size_t count);
/** As block_read, the other way. -EROFS for a read-only disk. */
int block_write(struct block_dev *bd, u64 sector, const void *buf, size_t count);
/** Make what was written durable. 0 or -EIO. */
int block_flush(struct block_dev *bd);
/**
 * The contents of [@sector, +@count) are not needed any more. 0 (also where the disk cannot),
 * -EROFS, -EINVAL past the end of the disk, or -EIO.
 */
int block_discard(struct block_dev *bd, u64 sector, u64 count);
/**
 * Run several requests at once and wait for all of them; .done and .owner are used.
 * A .fua on a disk that has none becomes a flush after all are done.
 * 0 or the first failure; each request's own is in .status.
 */
int block_run(struct block_dev *bd, struct block_request *requests, u32 count);

/* Pieces that are gathered into few requests: what continues the piece before, on the disk, is
 * merged with it, and several requests are in flight at once. */
struct block_batch {
    struct block_dev *bd;
    struct block_request *requests; /* owns; NULL: .one */
    struct block_request one;
    enum block_op op;
    u32 nr, max;
    u32 bytes; /* of the last request */
    int err;   /* the first failure */
};
/** @op: BLOCK_READ or BLOCK_WRITE. Without memory it is slower, no less. */
void block_batch_init(struct block_batch *batch, struct block_dev *bd, enum block_op op);
/** Add @len bytes at @buf; the memory must stay until block_batch_finish(), and may be read or
 * written from now on. Waits when many are gathered. */
void block_batch_add(struct block_batch *batch, u64 sector, void *buf, u32 len);
/** Wait for all. 0, or the first failure: -EIO, -EINVAL (past the end), -EROFS. */
int block_batch_finish(struct block_batch *batch);
