/* Disks as the rest of the kernel sees them.  Drivers add them; file systems read through
 * block_read() or straight into pages. */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

struct block_dev;
struct waitq;

enum { SECTOR_SIZE = 512, BLOCK_MAX_SEGMENTS = 32 };
enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

/** A piece of kernel memory that a device reads or writes: direct-map address, below 4 GiB long. */
struct block_segment {
    void *buf;
    u32 len; /* bytes, a multiple of 512 */
};

/* One transfer.  The submitter owns it until .done was called. */
struct block_request {
    enum block_op op;
    u64 sector; /* of 512 bytes */
    u32 nr_segments;
    struct block_segment segments[BLOCK_MAX_SEGMENTS];
    int status;                                  /* set before .done: 0 or -EIO */
    void (*done)(struct block_request *request); /* safe-point context; must not sleep */
    void *owner;                                 /* the submitter's */
    struct list_head node;                       /* the driver's while it has the request */
};

/** What a driver fills in.  Thread context. */
struct block_ops {
    /**
     * Start a transfer; .done is called when it is through (maybe before this returns).
     * A driver whose queue is full keeps the request in a list and starts it later.
     */
    void (*submit)(struct block_dev *bd, struct block_request *request);
};

/* Fields: [I] fixed once added. */
struct block_dev {
    const char *name;            /* [I] "vda"; owned by the driver */
    const struct block_ops *ops; /* [I] */
    u64 sectors;                 /* [I] capacity in units of 512 bytes */
    u32 max_segments;            /* [I] of one request, at most BLOCK_MAX_SEGMENTS; 0 means that */
    u32 max_bytes;               /* [I] of one request; 0: no limit */
    bool readonly;               /* [I] */
    u64 dev;                     /* [I] device number; set by block_add() if 0 */
    void *data;                  /* [I] the driver's */
    struct list_head node;       /* [I] */
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
 * Run several requests at once and wait for all of them; .done and .owner are used.
 * 0 or the first failure; each request's own is in .status.
 */
int block_run(struct block_dev *bd, struct block_request *requests, u32 count);
