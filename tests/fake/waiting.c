#include "fake/waiting.h"

#include <stdlib.h>
#include <string.h>

#include "abi/errno.h"
#include "mm/uaccess.h"
#include "sched/thread.h"

void (*fake_world)(void);
unsigned fake_wakes;
void (*file_watchers_gone)(struct file *file);

void waitq_init(struct waitq *q)
{
    list_init(&q->waiters);
}

void waitq_add(struct waitq *q, struct wait_entry *entry)
{
    if (entry->exclusive)
        list_add_tail(&q->waiters, &entry->node);
    else
        list_add(&q->waiters, &entry->node);
}

void waitq_remove(struct waitq *q, struct wait_entry *entry)
{
    (void)q;
    list_remove(&entry->node);
}

void waitq_wake_waiters(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    struct wait_entry *entry, *next;

    list_for_each_safe(entry, next, &q->waiters, node)
    {
        bool exclusive = entry->exclusive;
        if (exclusive && !nr_exclusive)
            break;
        if (entry->wake(entry, events) && exclusive)
            nr_exclusive--;
    }
}

void waitq_wake(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    waitq_wake_waiters(q, events, nr_exclusive);
}

static bool count_wake(struct wait_entry *entry, u32 events)
{
    (void)entry, (void)events;
    fake_wakes++;
    return true;
}

void wait_entry_init(struct wait_entry *entry)
{
    memset(entry, 0, sizeof(*entry));
    list_init(&entry->node);
    entry->wake = count_wake;
}

bool thread_wake(struct thread *thread)
{
    (void)thread;
    fake_wakes++;
    return true;
}

void thread_prepare_sleep(bool interruptible)
{
    (void)interruptible;
}

void thread_finish_sleep(void)
{
}

int thread_sleep_until(u64 deadline_ns)
{
    (void)deadline_ns;
    if (!fake_world)
        return -ETIMEDOUT;
    void (*world)(void) = fake_world;
    fake_world = NULL;
    world();
    return 0;
}

static struct thread *const owner = (struct thread *)&fake_wakes;

bool (*sched_look)(bool rests);

void mutex_lock(struct mutex *m)
{
    if (m->owner)
        abort(); /* one thread: this would be for ever */
    m->owner = owner;
}

bool mutex_trylock(struct mutex *m)
{
    if (m->owner)
        return false;
    m->owner = owner;
    return true;
}

void mutex_unlock(struct mutex *m)
{
    if (!m->owner)
        abort();
    m->owner = NULL;
}

void spin_lock_slow(struct spinlock *l)
{
    (void)l;
    abort(); /* likewise */
}

int copy_to_user(uaddr_t dst, const void *src, size_t n)
{
    if (!dst)
        return -EFAULT;
    memcpy((void *)(uintptr_t)dst, src, n);
    return 0;
}

struct file *file_create_anon(const struct file_ops *ops, void *data, const char *anon_name,
                              u32 flags)
{
    struct file *file = calloc(1, sizeof(*file));

    if (!file)
        return NULL;
    file->refs.raw = 1;
    file->ops = ops;
    file->data = data;
    file->anon_name = anon_name;
    file->flags = flags;
    list_init(&file->watchers);
    return file;
}

void file_put(struct file *file)
{
    if (--file->refs.raw)
        return;
    if (!list_empty(&file->watchers))
        file_watchers_gone(file);
    if (file->ops->release)
        file->ops->release(file);
    free(file);
}

u32 file_ready(struct file *file)
{
    return file->ops->ready(file);
}

static u32 fake_ready(struct file *file)
{
    return container_of(file, struct fake_file, file)->ready_mask;
}

static const struct file_ops fake_ops = {.ready = fake_ready};

struct fake_file *fake_file_create(void)
{
    struct fake_file *f = calloc(1, sizeof(*f));

    if (!f)
        abort();
    f->file.refs.raw = 1;
    f->file.ops = &fake_ops;
    f->file.waitq = &f->waitq;
    list_init(&f->file.watchers);
    waitq_init(&f->waitq);
    return f;
}

void fake_file_set(struct fake_file *f, u32 mask)
{
    f->ready_mask = mask;
    waitq_wake(&f->waitq, mask, 1);
}
