#include "unit/test.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include "mm/lock.h"

/* As it is where the host may stop who has the lock. */
void spin_lock_slow(struct spinlock *l)
{
    while (!spin_trylock(l))
        usleep(0);
}

/* ---- threads that sleep ---- */

struct sleeper {
    sem_t woken;
    int wakes;
};

static __thread struct sleeper own;
static int wakes; /* [A] of all threads */

static void *self(void)
{
    return &own;
}

static void wait_for_turn(struct mm_waiter *w)
{
    while (mm_waits(w))
        sem_wait(&own.woken);
}

static void wake(void *thread)
{
    struct sleeper *s = thread;

    __atomic_fetch_add(&wakes, 1, __ATOMIC_RELAXED);
    sem_post(&s->woken);
}

static const struct mm_lock_hooks hooks = {self, wait_for_turn, wake};

/* ---- the storm ---- */

enum { THREADS = 8, ROUNDS = 8000 };

static struct mm_lock lock;
static int inside, alone; /* [A] who holds it; who does so alone */
static long counter;      /* under the lock held alone */
static int broken;        /* [A] */

static void enter(bool shared)
{
    if (__atomic_load_n(&alone, __ATOMIC_SEQ_CST))
        __atomic_fetch_add(&broken, 1, __ATOMIC_RELAXED);
    if (!shared) {
        if (__atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST))
            __atomic_fetch_add(&broken, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&alone, 1, __ATOMIC_SEQ_CST);
        counter++;
        __atomic_fetch_sub(&alone, 1, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST);
    }
    __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
}

static void *storm(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg * 7919 + 1;
    long done = 0;

    sem_init(&own.woken, 0, 0);
    for (int i = 0; i < ROUNDS; i++) {
        seed = seed * 1103515245 + 12345;
        unsigned what = seed >> 16 & 7;
        if (what < 3) {
            mm_lock(&lock);
            enter(false);
            done++;
            mm_unlock(&lock);
        } else if (what == 3) {
            if (mm_trylock(&lock)) {
                enter(false);
                done++;
                mm_unlock(&lock);
            }
        } else {
            mm_lock_shared(&lock);
            enter(true);
            if (what == 7)
                usleep(0); /* so that others come meanwhile */
            mm_unlock_shared(&lock);
        }
    }
    return (void *)done;
}

TEST(one_alone_or_many_together_and_nobody_is_forgotten)
{
    pthread_t threads[THREADS];
    long done = 0;

    mm_set_lock_hooks(&hooks);
    mm_lock_init(&lock);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, storm, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *count;
        pthread_join(threads[i], &count);
        done += (long)count;
    }
    EXPECT_EQ(broken, 0, NULL);
    EXPECT_EQ(counter, done, "no change is lost");
    EXPECT_EQ(lock.state, 0, "nobody has it, and nobody waits");
}

/* ---- order ---- */

static int order[16], nr_order;

static void *take_alone(void *arg)
{
    sem_init(&own.woken, 0, 0);
    mm_lock(&lock);
    order[nr_order++] = (int)(uintptr_t)arg;
    mm_unlock(&lock);
    return NULL;
}

static int sharing; /* [A] */

static void *take_shared(void *arg)
{
    (void)arg;
    sem_init(&own.woken, 0, 0);
    mm_lock_shared(&lock);
    __atomic_fetch_add(&sharing, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&sharing, __ATOMIC_SEQ_CST) < 3) /* all three have it at once */
        usleep(100);
    mm_unlock_shared(&lock);
    return NULL;
}

static u32 nr_waiters(void)
{
    struct mm_waiter *w;
    u32 n = 0;

    spin_lock(&lock.queue);
    list_for_each(w, &lock.waiters, node)
        n++;
    spin_unlock(&lock.queue);
    return n;
}

static void start_waiter(pthread_t *thread, void *(*fn)(void *), int arg)
{
    u32 before = nr_waiters();

    pthread_create(thread, NULL, fn, (void *)(uintptr_t)arg);
    while (nr_waiters() == before)
        usleep(100);
}

TEST(waiters_come_in_order_of_arrival_and_each_is_woken_once)
{
    pthread_t threads[8];

    mm_set_lock_hooks(&hooks);
    mm_lock_init(&lock);
    mm_lock(&lock);
    wakes = 0;
    start_waiter(&threads[0], take_alone, 1);
    start_waiter(&threads[1], take_alone, 2);
    for (int i = 2; i < 5; i++)
        start_waiter(&threads[i], take_shared, 0);
    start_waiter(&threads[5], take_alone, 3);
    EXPECT_FALSE(mm_trylock(&lock), NULL);
    mm_unlock(&lock);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(nr_order, 3, NULL);
    EXPECT_TRUE(order[0] == 1 && order[1] == 2 && order[2] == 3, "in order");
    EXPECT_EQ(wakes, 6, "one wake a waiter");
    EXPECT_EQ(lock.state, 0, NULL);
}
