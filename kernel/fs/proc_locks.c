/* /proc/locks: proc(5).  Who waits for one is not shown. */
#include "abi/errno.h"
#include "abi/stat.h"
#include "fs/proc.h"
#include "mm/heap.h"
#include "vfs/lock.h"

static void add(struct text *out, size_t number, const struct lock_shown *shown)
{
    static const char kinds[][7] = {
        [LOCK_POSIX] = "POSIX ", [LOCK_OFD] = "OFDLCK", [LOCK_FLOCK] = "FLOCK "};
    const struct file_lock *lock = &shown->lock;

    text_add(out, "%lu: %s ADVISORY  %s %d %02x:%02x:%lu %lu ", number, kinds[lock->family],
             lock->type == F_WRLCK ? "WRITE" : "READ", lock->pid, dev_major(shown->dev),
             dev_minor(shown->dev), (unsigned long)shown->ino, (unsigned long)lock->start);
    text_add(out, lock->end == UINT64_MAX ? "EOF\n" : "%lu\n", (unsigned long)lock->end);
}

int proc_show_locks(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct lock_shown *shown = NULL;
    size_t room = 0, n;

    while ((n = locks_show(shown, room)) > room) {
        kfree(shown);
        room = n;
        shown = kcalloc(room, sizeof(*shown));
        if (!shown)
            return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        add(out, i + 1, &shown[i]);
    kfree(shown);
    return 0;
}
