/* What the files of the device process share.  One process plays all devices of one guest; each
 * device is served by one thread, which owns its struct.  What a device does is its file's
 * business (net.c, disk.c); how it is started, woken, told of and shut off is in device.c.
 *
 * The guest is hostile: see ring.h.  A device whose driver breaks a rule says so once, on standard
 * error, and is shut off; the others go on. */
#pragma once

#include "abi/window.h"
#include "device/ring.h"

#include <poll.h>
#include <stdio.h>

/** Bits of features that belong to the ring (virtio 1.2, 6). */
enum { DEVICE_F_EVENT_IDX = 29, DEVICE_F_VERSION_1 = 32 };

/** The guest.  Fixed after start. */
struct guest {
    struct guest_memory memory;
    struct window *window;
    u32 nr_devices;
    int irq_fd;  /* pipe to CPUs that wait */
    int pidfd;   /* of the sandbox, -1 where there is none */
    FILE *words; /* where complaints go */
};

/* A device; its thread's own. */
struct device {
    struct guest *guest;
    const char *name; /* for messages: "net", "disk 0" */
    u32 index;
    u64 offered;  /* features, as they were when the guest started */
    u64 features; /* agreed on */
    u32 nr_queues;
    struct window_device *page; /* the guest's too */
    u32 seen;                   /* the last request acted on */
    int doorbell;
    bool running;
    bool broken;
    bool gone;       /* the guest: what it has left behind is still done */
    u64 spin_ns;     /* how long to look before the next sleep */
    u64 nudge_at_ns; /* when a busy guest is to be told by a signal; 0: it need not be */
    struct ring ring[WINDOW_MAX_QUEUES];
};

/** Ready to be served; the doorbell is borrowed. */
void device_init(struct device *dev, struct guest *guest, u32 index, const char *name,
                 int doorbell);

/**
 * See whether the driver has started or reset the device, and do it.
 * True if it is running.
 */
bool device_update(struct device *dev);

/** The driver broke a rule: say it, shut the device off and tell the guest. */
void device_break(struct device *dev, const char *why);

/** ring_take() for queue @i, with device_break().  True if *@chain is filled. */
bool device_take(struct device *dev, u32 i, struct ring_chain *chain);

/** Show what was given back on queue @i, and interrupt where that is wanted. */
void device_publish(struct device *dev, u32 i);

/** The configuration has changed. */
void device_config_changed(struct device *dev);

/**
 * Sleep until a doorbell, one of @fds or @timeout_ms (-1: none); look for a while before.  Returns
 * at once if a queue has work: but for those in @ignored (a bit each), whose chains the device
 * cannot use now.
 * @fds: room for @nr_fds + 1, the first of which is filled here
 * Sets .gone once the guest is gone.
 */
void device_wait(struct device *dev, struct pollfd *fds, u32 nr_fds, int timeout_ms, u32 ignored);

/** Nanoseconds of the monotonic clock. */
u64 device_now_ns(void);

/** Was @feature agreed on? */
static inline bool device_has(const struct device *dev, unsigned feature)
{
    return dev->features >> feature & 1;
}

/* net.c, tap.c, user.c, pcap.c: see net.h.  disk.c: */

struct disk {
    struct device dev;
    int fd;
    bool readonly;
    u64 sectors;
};

/** Do all requests that are there.  True if there was one. */
bool disk_serve(struct disk *disk);
/** Serve until the guest is gone.  @disk: struct disk; the thread's function. */
void *disk_run(void *disk);

/* confine.c */

/** A folder that is served. */
struct confine_folder {
    int fd; /* O_PATH; the same number afterwards */
    bool readonly;
};
/** What this process still needs once everything is open. */
struct confine_needs {
    bool sockets; /* it speaks for the guest: user-mode network */
    bool tap;
    u32 nr_folders;
    struct confine_folder *folders;
    int proc_fd; /* /proc/self/fd, where there are folders; taken, the same number afterwards */
};
/** Before threads are made: other namespaces, an empty file system, where the host permits it. */
void confine_namespaces(const struct confine_needs *needs);
/**
 * Give up this thread's capabilities, and those of the threads that it will start.
 * @files: but those over files that root has, for a thread that serves root's folders
 */
void confine_rights(bool files);
/** When all threads are there: no rights, little memory of names, a filter.  0 or -errno. */
int confine_calls(const struct confine_needs *needs);
