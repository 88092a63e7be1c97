/* Paths that were looked for and not found: ingot.missing=1 prints each once, as it happens;
 * ingot.missing=2 prints the last of them if the program fails, so that whoever started it can tell
 * what it lacked. */
#include "vfs/path.h"

#include "abi/errno.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/spinlock.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/walk.h"

enum {
    MISSING_MAX = 4096,
    MISSING_LAST = 32,  /* paths that are remembered */
    MISSING_BYTES = 96, /* of each; a longer one is not */
};

u8 vfs_trace_missing;

static struct spinlock last_lock;
static char last[MISSING_LAST][MISSING_BYTES]; /* [last_lock] a ring; "" is free */
static u32 last_at;                            /* [last_lock] where the next one goes */

/* The hashes of what was reported: a collision costs one line. */
static bool seen_before(const char *text)
{
    static u32 seen[MISSING_MAX];
    u32 hash = 2166136261u;

    for (; *text; text++)
        hash = (hash ^ (u8)*text) * 16777619u;
    hash |= 1;
    for (u32 i = 0; i < 8; i++) {
        u32 *slot = &seen[(hash >> 8 ^ i) % MISSING_MAX];
        if (*slot == hash)
            return true;
        if (!*slot) {
            *slot = hash;
            return false;
        }
    }
    return false;
}

static void report(int dirfd, const char *text)
{
    struct path start;
    char *full = kmalloc(2 * LINUX_PATH_MAX);

    if (!full)
        return;
    size_t len = 0;
    if (*text != '/' && !path_start(dirfd, *text, &start)) {
        bool cwd = !start.dentry;
        ssize_t n = path_name(cwd ? &current_fs()->cwd : &start, full, LINUX_PATH_MAX);
        if (!cwd)
            path_put(&start);
        len = n > 1 ? (size_t)n : 0;
        full[len++] = '/';
    }
    str_copy(full + len, text, LINUX_PATH_MAX);
    if (!seen_before(full))
        log_raw("missing: %s", full);
    kfree(full);
}

/* Absolute paths only: what a program lacks of its files is looked for by those. */
static void remember(const char *text)
{
    size_t len = strlen(text);

    if (*text != '/' || len >= MISSING_BYTES || str_starts(text, "/proc/") ||
        str_starts(text, "/sys/") || str_starts(text, "/dev/"))
        return;
    spin_lock(&last_lock);
    memcpy(last[last_at++ % MISSING_LAST], text, len + 1);
    spin_unlock(&last_lock);
}

void missing_report(int dirfd, const char *text)
{
    if (vfs_trace_missing == MISSING_AT_END)
        remember(text);
    else
        report(dirfd, text);
}

/* The newest first.  Nobody runs any more who could hold the lock for long, or hold it at all. */
static void print_last(void)
{
    if (!vm_ends_badly())
        return;
    for (u32 i = 1; i <= MISSING_LAST; i++) {
        const char *text = last[(last_at - i) % MISSING_LAST];
        if (*text && !seen_before(text))
            log_raw("missing: %s", text);
    }
}

void missing_begin(u64 mode)
{
    vfs_trace_missing = mode <= MISSING_AT_END ? (u8)mode : 0;
    if (vfs_trace_missing == MISSING_AT_END)
        vm_end_hook(print_last);
}
