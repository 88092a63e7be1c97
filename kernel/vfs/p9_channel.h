/* Channels to servers of 9p: a driver adds them, the file system looks for one by its name. */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

enum { P9_NAME_MAX = 63 };

/* One message there and one back, each in up to two pieces of kernel memory (the second may be
 * NULL), each piece contiguous. */
struct p9_exchange {
    const void *out[2];
    u32 out_len[2];
    void *in[2];
    u32 in_len[2];
    u32 got; /* bytes that the server wrote, over both pieces; never more than there is room */
};

/* Fields: [I]. */
struct p9_channel {
    char name[P9_NAME_MAX + 1];
    /** Send and sleep until the answer is there; any number of threads at once. 0, -EIO the server
     * is gone. */
    int (*exchange)(struct p9_channel *channel, struct p9_exchange *x);
    struct list_head node;
};

/** At start, by a driver; @channel stays for good. */
void p9_channel_add(struct p9_channel *channel);
/** The channel of that name, or NULL. */
struct p9_channel *p9_channel_find(const char *name);
