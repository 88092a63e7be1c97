/* The write-back thread and the limits of dirty pages. */
#include "vfs/writeback.h"

#include "core/time.h"
#include "mm/page.h"
#include "sched/thread.h"

/* Shares of all memory: from the first on the thread writes at once, from the second on writers do
 * it themselves. */
enum { BACKGROUND_SHARE = 16, LIMIT_SHARE = 8, LEAST_PAGES = 64 };
#define PERIOD_NS NSEC_PER_SEC
#define AGE_NS    (5 * NSEC_PER_SEC)
#define WAIT_NS   NSEC_PER_SEC

static struct mutex run_lock; /* the list, and one run at a time; the first lock of write-back */
static struct list_head targets = LIST_INIT(targets);
static s64 nr_dirty;    /* [A] */
static u32 rounds;      /* [A] runs that have ended */
static bool pending;    /* [A] something is dirty, the thread looks every second */
static bool wanted;     /* [A] it shall look at once */
static bool memory_low; /* [A] */
static struct waitq wake, done;
static struct thread *thread; /* [I] once started */

static bool run_all(u64 older_than_ns, bool memory)
{
    struct writeback *wb;
    bool left = false;

    mutex_lock(&run_lock);
    list_for_each(wb, &targets, node)
        left |= wb->run(wb, older_than_ns, memory);
    mutex_unlock(&run_lock);
    return left;
}

static bool is_wanted(void)
{
    return __atomic_load_n(&wanted, __ATOMIC_ACQUIRE);
}

static void writeback_thread(void *arg)
{
    (void)arg;
    for (;;) {
        bool armed = __atomic_load_n(&pending, __ATOMIC_ACQUIRE);
        (void)wait_event(&wake,
                         is_wanted() || (!armed && __atomic_load_n(&pending, __ATOMIC_ACQUIRE)),
                         false, armed ? time_after_ns(PERIOD_NS) : TIME_NEVER);
        if (!armed && !is_wanted())
            continue; /* the first thing is dirty: it may rest for a while */
        bool memory = __atomic_exchange_n(&memory_low, false, __ATOMIC_ACQ_REL);
        bool now = __atomic_exchange_n(&wanted, false, __ATOMIC_ACQ_REL);
        __atomic_store_n(&pending, false, __ATOMIC_RELEASE);
        u64 time = time_ns();
        if (run_all(now ? time : time - min(time, (u64)AGE_NS), memory))
            __atomic_store_n(&pending, true, __ATOMIC_RELEASE);
        __atomic_add_fetch(&rounds, 1, __ATOMIC_RELEASE);
        waitq_wake_all(&done, 0);
    }
}

void writeback_add(struct writeback *wb)
{
    if (!thread) {
        mutex_init(&run_lock);
        waitq_init(&wake);
        waitq_init(&done);
        mm_wait_for_memory = writeback_wait;
        thread = thread_create_kernel(writeback_thread, NULL, "writeback");
        if (thread)
            thread_start(thread);
    }
    mutex_lock(&run_lock);
    list_add_tail(&targets, &wb->node);
    mutex_unlock(&run_lock);
}

void writeback_remove(struct writeback *wb)
{
    mutex_lock(&run_lock);
    list_remove(&wb->node);
    mutex_unlock(&run_lock);
}

void writeback_dirtied(void)
{
    if (likely(__atomic_load_n(&pending, __ATOMIC_ACQUIRE)))
        return;
    __atomic_store_n(&pending, true, __ATOMIC_RELEASE);
    waitq_wake_all(&wake, 0);
}

void writeback_count(s64 pages)
{
    __atomic_add_fetch(&nr_dirty, pages, __ATOMIC_RELAXED);
}

u64 writeback_dirty_pages(void)
{
    s64 n = __atomic_load_n(&nr_dirty, __ATOMIC_RELAXED);
    return n > 0 ? (u64)n : 0;
}

static inline bool is_above(u32 share)
{
    s64 dirty = __atomic_load_n(&nr_dirty, __ATOMIC_RELAXED);

    return dirty > LEAST_PAGES && (u64)dirty > page_total() / share;
}

bool writeback_over_limit(void)
{
    return is_above(LIMIT_SHARE);
}

bool writeback_over_background(void)
{
    if (likely(!is_above(BACKGROUND_SHARE)))
        return false;
    if (!is_wanted()) {
        __atomic_store_n(&wanted, true, __ATOMIC_RELEASE);
        waitq_wake_all(&wake, 0);
    }
    return true;
}

bool writeback_wait(void)
{
    u64 before = writeback_dirty_pages();
    u32 round = __atomic_load_n(&rounds, __ATOMIC_ACQUIRE);

    if (!thread || !before)
        return false;
    __atomic_store_n(&memory_low, true, __ATOMIC_RELEASE);
    __atomic_store_n(&wanted, true, __ATOMIC_RELEASE);
    waitq_wake_all(&wake, 0);
    (void)wait_event(&done, __atomic_load_n(&rounds, __ATOMIC_ACQUIRE) != round, false,
                     time_after_ns(WAIT_NS)); /* what counts is what became of it */
    return writeback_dirty_pages() < before;
}
