/* Waiting for several files at once.  The first look queues nowhere: most calls end there. */
#include "vfs/anon/poll.h"

#include "abi/errno.h"
#include "sched/thread.h"

static u32 look(struct poll_slot *slots, u32 n)
{
    u32 nr_ready = 0;

    for (u32 i = 0; i < n; i++) {
        struct poll_slot *slot = &slots[i];
        if (!slot->file)
            continue;
        slot->ready = file_ready(slot->file) & slot->events;
        nr_ready += slot->ready != 0;
    }
    return nr_ready;
}

static bool poll_wake(struct wait_entry *entry, u32 events)
{
    struct poll_slot *slot = container_of(entry, struct poll_slot, wait);

    if (!events || (events & slot->events))
        thread_wake(entry->thread);
    return false;
}

static void queue_all(struct poll_slot *slots, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        struct poll_slot *slot = &slots[i];
        if (!slot->file || !slot->file->waitq)
            continue;
        wait_entry_init(&slot->wait);
        slot->wait.wake = poll_wake;
        waitq_add(slot->file->waitq, &slot->wait);
    }
}

static void unqueue_all(struct poll_slot *slots, u32 n)
{
    for (u32 i = 0; i < n; i++)
        if (slots[i].file && slots[i].file->waitq)
            waitq_remove(slots[i].file->waitq, &slots[i].wait);
}

int poll_slots(struct poll_slot *slots, u32 n, u64 deadline_ns)
{
    u32 nr_ready = look(slots, n);
    int err = 0;

    if (nr_ready || !deadline_ns)
        return (int)nr_ready;
    queue_all(slots, n);
    for (;;) {
        thread_prepare_sleep(true);
        nr_ready = look(slots, n);
        if (nr_ready || err)
            break;
        err = thread_sleep_until(deadline_ns);
    }
    thread_finish_sleep();
    unqueue_all(slots, n);
    return nr_ready ? (int)nr_ready : err == -EINTR ? err : 0;
}
