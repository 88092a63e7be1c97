/* A virtio device that the test plays: it sees the rings as virtio 1.2, 2.7 has them, and may break
 * every rule.  Stands in for virtio.c. */
#pragma once

#include "drv/virtio.h"

enum { PLAYED_QUEUES = 5 };

extern struct virtio_dev played;
extern u64 played_features;  /* what it offers besides VERSION_1 */
extern u8 played_config[64]; /* its configuration */
extern char played_why[128]; /* why virtio_break() was called; "" while it was not */

extern void *played_kept[64]; /* drivers of earlier devices, which are for ever */

extern u32 played_head; /* the first descriptor of the buffer that was used last */

extern u16 played_queue_size;                      /* entries of each queue */
extern struct virtq *played_queues[PLAYED_QUEUES]; /* by number, once the driver has made them */
extern void (*played_notified)(struct virtq *vq);  /* the driver tells the device; or NULL */

/** Let @driver have it. 0 or the driver's error. */
int played_start(const struct virtio_driver *driver);
/** Use the oldest buffer of queue @q, filled with @len bytes. False: there is none. */
bool played_fill(u32 q, const void *bytes, u32 len);
/** Take the oldest chain that the driver sent by queue @q into @buf of @size; its length, or -1. */
int played_take(u32 q, void *buf, u32 size);
/** Put any element into queue @q's used ring. */
void played_use(u32 q, u32 id, u32 len);
/** Answer the oldest chain of queue @q, which the driver made of one piece to read into @buf of
 * @size and one byte to write, with @answer. The length of what was read, or -1. */
int played_answer(u32 q, void *buf, u32 size, u8 answer);
/** The interrupt, and the work behind it. */
void played_interrupt(void);
