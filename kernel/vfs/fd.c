/* Descriptor tables.  Readers go through .slots without the lock; writers hold it.  A longer array
 * replaces a full one, which stays until the table goes (all old ones together are smaller than
 * the new one), so a reader that is behind reads old truth, not freed memory. */
#include "vfs/fd.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/inode.h"
#include "vfs/lock.h"

enum { FD_MAX = 1 << 20, RLIMIT_NOFILE_INDEX = 7 };

static struct fd_slots *slots_create(u32 capacity)
{
    size_t words = capacity / 64;
    struct fd_slots *slots =
        kzalloc(sizeof(*slots) + capacity * sizeof(slots->files[0]) + 2 * words * sizeof(u64));

    if (!slots)
        return NULL;
    slots->capacity = capacity;
    slots->open = (u64 *)(void *)&slots->files[capacity];
    slots->cloexec = slots->open + words;
    return slots;
}

struct fd_table *fd_table_create(void)
{
    struct fd_table *table = kzalloc(sizeof(*table));
    if (!table)
        return NULL;
    table->slots = slots_create(FD_INLINE);
    if (!table->slots) {
        kfree(table);
        return NULL;
    }
    ref_init(&table->refs);
    spin_init(&table->lock);
    return table;
}

/* The contents of @from in the longer @to; the lock of the table is held. */
static void slots_copy(struct fd_slots *to, const struct fd_slots *from)
{
    size_t bytes = from->capacity / 8;

    memcpy(to->files, from->files, from->capacity * sizeof(to->files[0]));
    memcpy(to->open, from->open, bytes);
    memcpy(to->cloexec, from->cloexec, bytes);
}

struct fd_table *fd_table_clone(struct fd_table *from)
{
    struct fd_table *table = kzalloc(sizeof(*table));
    if (!table)
        return NULL;
    for (;;) {
        u32 capacity = from->slots->capacity;
        table->slots = slots_create(capacity);
        if (!table->slots) {
            kfree(table);
            return NULL;
        }
        spin_lock(&from->lock);
        if (from->slots->capacity == capacity)
            break;
        spin_unlock(&from->lock); /* it has grown meanwhile */
        kfree(table->slots);
    }
    slots_copy(table->slots, from->slots);
    for (u32 word = 0; word < table->slots->capacity / 64; word++)
        for (u64 left = table->slots->open[word]; left; left &= left - 1)
            file_get(table->slots->files[word * 64 + (u32)__builtin_ctzll(left)]);
    table->first_free = from->first_free;
    spin_unlock(&from->lock);
    ref_init(&table->refs);
    spin_init(&table->lock);
    return table;
}

void fd_table_get(struct fd_table *table)
{
    ref_get(&table->refs);
}

struct fd_table *fd_table_of(struct process *process)
{
    spin_lock(&process->siglock);
    struct fd_table *table = process->files;
    if (table)
        ref_get(&table->refs);
    spin_unlock(&process->siglock);
    return table;
}

static inline __attribute__((always_inline)) void close_file(struct fd_table *table,
                                                             struct file *file)
{
    if (file->inode && unlikely(file->inode->locks != NULL))
        locks_release_posix(file, table);
    if (file->ops->flush)
        file->ops->flush(file);
    file_put(file);
}

void fd_table_put(struct fd_table *table)
{
    if (!ref_put(&table->refs))
        return;
    for (u32 word = 0; word < table->slots->capacity / 64; word++)
        for (u64 left = table->slots->open[word]; left; left &= left - 1)
            close_file(table, table->slots->files[word * 64 + (u32)__builtin_ctzll(left)]);
    for (struct fd_slots *old, *slots = table->slots; slots; slots = old) {
        old = slots->old;
        kfree(slots);
    }
    kfree(table);
}

/* With a reference, while others may close it: a file that was freed in between may have become
 * another one, so it must still be in its slot once we hold it. */
struct file *fd_get_shared(struct fd_table *table, int fd)
{
    for (;;) {
        struct file *file = fd_peek(table, fd);
        if (!file)
            return NULL;
        if (!ref_get_unless_zero(&file->refs))
            continue;
        if (likely(fd_peek(table, fd) == file))
            return file;
        file_put(file);
    }
}

struct file *fd_get_raw(int fd)
{
    struct fd_ref ref = fd_borrow_raw(fd);

    if (ref.file && !ref.owned)
        file_get(ref.file);
    return ref.file;
}

struct file *fd_get(int fd)
{
    struct file *file = fd_get_raw(fd);

    if (file && unlikely(file->mode & FILE_PATH)) {
        file_put(file);
        return NULL;
    }
    return file;
}

static u32 fd_limit(void)
{
    u64 limit = current_process()->rlimits[RLIMIT_NOFILE_INDEX].cur;
    return (u32)min(limit, (u64)FD_MAX);
}

/* The lowest clear bit from @from on; .capacity if there is none. */
static u32 find_free(const struct fd_slots *slots, u32 from)
{
    for (u32 i = from; i < slots->capacity;) {
        u64 free = ~slots->open[i / 64] & ~0ull << i % 64;
        if (free)
            return i / 64 * 64 + (u32)__builtin_ctzll(free);
        i = (i / 64 + 1) * 64;
    }
    return slots->capacity;
}

static inline void set_bit(u64 *bits, u32 i, bool value)
{
    u64 bit = 1ull << i % 64, word = bits[i / 64];

    bits[i / 64] = value ? word | bit : word & ~bit;
}

/* Make room for @fd. The table is locked, and is on return; 0 or -ENOMEM. */
static int grow(struct fd_table *table, u32 fd)
{
    while (fd >= table->slots->capacity) {
        u32 capacity = table->slots->capacity;
        while (capacity <= fd)
            capacity *= 2;
        spin_unlock(&table->lock);
        struct fd_slots *slots = slots_create(capacity);
        spin_lock(&table->lock);
        if (!slots)
            return -ENOMEM;
        if (slots->capacity <= table->slots->capacity) {
            kfree(slots);
            continue;
        }
        slots_copy(slots, table->slots);
        slots->old = table->slots;
        __atomic_store_n(&table->slots, slots, __ATOMIC_RELEASE);
    }
    return 0;
}

static void put_in_slot(struct fd_table *table, u32 fd, struct file *file, bool cloexec)
{
    set_bit(table->slots->open, fd, true);
    set_bit(table->slots->cloexec, fd, cloexec);
    __atomic_store_n(&table->slots->files[fd], file, __ATOMIC_RELEASE);
}

/* Where fd_install() has to look further, or to make the table longer. */
static __attribute__((noinline)) int install_any(struct fd_table *table, struct file *file,
                                                 int min_fd, bool cloexec)
{
    u32 limit = fd_limit(), fd;

    if (min_fd < 0 || (u32)min_fd >= limit)
        return -EINVAL;
    spin_lock(&table->lock);
    for (;;) {
        fd = max((u32)min_fd, table->first_free);
        if (fd >= table->slots->capacity || table->slots->files[fd])
            fd = find_free(table->slots, fd);
        int err = fd >= limit ? -EMFILE : 0;
        if (likely(!err && fd < table->slots->capacity))
            break;
        if (!err)
            err = grow(table, fd);
        if (err) {
            spin_unlock(&table->lock);
            return err;
        }
    }
    put_in_slot(table, fd, file, cloexec);
    if ((u32)min_fd <= table->first_free)
        table->first_free = fd + 1;
    spin_unlock(&table->lock);
    return (int)fd;
}

int fd_install(struct file *file, int min_fd, bool cloexec)
{
    struct process *process = current_process();
    struct fd_table *table = process->files;

    spin_lock(&table->lock);
    u32 fd = table->first_free;
    if (unlikely(min_fd || fd >= table->slots->capacity || table->slots->files[fd] ||
                 fd >= process->rlimits[RLIMIT_NOFILE_INDEX].cur)) {
        spin_unlock(&table->lock);
        return install_any(table, file, min_fd, cloexec);
    }
    put_in_slot(table, fd, file, cloexec);
    table->first_free = fd + 1;
    spin_unlock(&table->lock);
    return (int)fd;
}

bool fd_has_room(void)
{
    struct fd_table *table = current_process()->files;
    u32 limit = fd_limit();

    spin_lock(&table->lock);
    u32 fd = table->first_free;
    if (fd < table->slots->capacity && table->slots->files[fd])
        fd = find_free(table->slots, fd);
    spin_unlock(&table->lock);
    return fd < limit;
}

int fd_install_at(struct file *file, int fd, bool cloexec)
{
    struct fd_table *table = current_process()->files;

    if (fd < 0 || (u32)fd >= fd_limit())
        return -EBADF;
    spin_lock(&table->lock);
    int err = grow(table, (u32)fd);
    if (err) {
        spin_unlock(&table->lock);
        return err;
    }
    struct file *old = table->slots->files[fd];
    put_in_slot(table, (u32)fd, file, cloexec);
    spin_unlock(&table->lock);
    if (old)
        close_file(table, old);
    return fd;
}

int fd_close(int fd)
{
    struct fd_table *table = current_process()->files;
    struct file *file = NULL;

    spin_lock(&table->lock);
    struct fd_slots *slots = table->slots;
    if (likely((u32)fd < slots->capacity))
        file = slots->files[fd];
    if (likely(file != NULL)) {
        __atomic_store_n(&slots->files[fd], NULL, __ATOMIC_RELEASE);
        set_bit(slots->open, (u32)fd, false);
        table->first_free = min(table->first_free, (u32)fd);
    }
    spin_unlock(&table->lock);
    if (unlikely(!file))
        return -EBADF;
    close_file(table, file);
    return 0;
}

int fd_get_flags(int fd)
{
    struct fd_table *table = current_process()->files;
    int flags = -EBADF;

    spin_lock(&table->lock);
    const struct fd_slots *slots = table->slots;
    if ((u32)fd < slots->capacity && slots->files[fd])
        flags = slots->cloexec[fd / 64] >> fd % 64 & 1 ? FD_CLOEXEC : 0;
    spin_unlock(&table->lock);
    return flags;
}

int fd_set_flags(int fd, int flags)
{
    struct fd_table *table = current_process()->files;
    int err = -EBADF;

    spin_lock(&table->lock);
    struct fd_slots *slots = table->slots;
    if ((u32)fd < slots->capacity && slots->files[fd]) {
        set_bit(slots->cloexec, (u32)fd, flags & FD_CLOEXEC);
        err = 0;
    }
    spin_unlock(&table->lock);
    return err;
}

int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg)
{
    for (u32 fd = 0; fd < __atomic_load_n(&table->slots, __ATOMIC_ACQUIRE)->capacity; fd++) {
        struct file *file = fd_get_shared(table, (int)fd);
        if (!file)
            continue;
        int stop = fn((int)fd, file, arg);
        file_put(file);
        if (stop)
            return stop;
    }
    return 0;
}

void fd_close_on_exec(struct fd_table *table)
{
    for (u32 word = 0; word < table->slots->capacity / 64; word++)
        for (u64 left = table->slots->open[word] & table->slots->cloexec[word]; left;
             left &= left - 1)
            (void)fd_close((int)(word * 64) + __builtin_ctzll(left)); /* nobody else is left */
}
