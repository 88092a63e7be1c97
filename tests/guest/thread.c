/* Threads: pthreads as glibc makes them, thread-local storage, and the futex beneath. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static long futex(int *word, int op, int value, const void *timeout, int *word2, int value3)
{
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

static void *double_it(void *arg)
{
    return (void *)((long)arg * 2);
}

CASE(create_and_join)
{
    pthread_t threads[16];
    void *result;
    for (long i = 0; i < 16; i++)
        NEED(pthread_create(&threads[i], NULL, double_it, (void *)i) == 0);
    for (long i = 0; i < 16; i++) {
        CHECK_EQ(pthread_join(threads[i], &result), 0);
        CHECK_EQ((long)result, 2 * i);
    }
}

static pthread_barrier_t barrier;
static void *meet(void *arg)
{
    pthread_barrier_wait(&barrier);
    return arg;
}

CASE(five_hundred_threads_at_once)
{
    enum { N = 500 };
    static pthread_t threads[N];
    pthread_attr_t attr;
    void *result;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 32 * 1024);
    pthread_barrier_init(&barrier, NULL, N + 1);
    for (long i = 0; i < N; i++)
        NEED(pthread_create(&threads[i], &attr, meet, NULL) == 0);
    pthread_barrier_wait(&barrier);
    for (long i = 0; i < N; i++)
        CHECK_EQ(pthread_join(threads[i], &result), 0);
    pthread_barrier_destroy(&barrier);
}

CASE(two_thousand_threads_one_after_another)
{
    pthread_t thread;
    for (long i = 0; i < 2000; i++) {
        void *result;
        NEED(pthread_create(&thread, NULL, double_it, (void *)i) == 0);
        NEED(pthread_join(thread, &result) == 0 && (long)result == 2 * i);
    }
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void *count_up(void *arg)
{
    for (long i = 0; i < (long)arg; i++) {
        pthread_mutex_lock(&mutex);
        long seen = counter;
        if (i % 64 == 0)
            sched_yield();
        counter = seen + 1;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

CASE(a_mutex_excludes)
{
    pthread_t threads[8];
    counter = 0;
    for (int i = 0; i < 8; i++)
        NEED(pthread_create(&threads[i], NULL, count_up, (void *)2000) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(counter, 16000);
}

CASE(kinds_of_mutexes)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t m;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&m, &attr);
    CHECK(pthread_mutex_lock(&m) == 0 && pthread_mutex_lock(&m) == 0);
    CHECK(pthread_mutex_unlock(&m) == 0 && pthread_mutex_unlock(&m) == 0);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&m, &attr);
    CHECK_EQ(pthread_mutex_lock(&m), 0);
    CHECK_EQ(pthread_mutex_lock(&m), EDEADLK);
    CHECK_EQ(pthread_mutex_trylock(&m), EBUSY);
    struct timespec past = {1, 0};
    pthread_mutex_unlock(&m);
    pthread_mutex_init(&m, NULL);
    pthread_mutex_lock(&m);
    CHECK_EQ(pthread_mutex_timedlock(&m, &past), ETIMEDOUT);
    pthread_mutex_unlock(&m);
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *take_turns(void *arg)
{
    long me = (long)arg;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != me)
            pthread_cond_wait(&cond, &mutex);
        turn = (int)(me + 1) % 3;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

CASE(condition_variables_pass_turns)
{
    pthread_t threads[3];
    turn = 0;
    for (long i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, take_turns, (void *)i) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(turn, 0);
}

CASE(a_timed_wait_ends_in_time)
{
    struct timespec ts;
    long long start = now_ms();
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 50000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    pthread_mutex_lock(&mutex);
    CHECK_EQ(pthread_cond_timedwait(&cond, &mutex, &ts), ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    CHECK(now_ms() - start >= 49 && now_ms() - start < 10000);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static void *use_rwlock(void *arg)
{
    for (int i = 0; i < 500; i++) {
        if ((long)arg) {
            pthread_rwlock_wrlock(&rwlock);
            counter++;
        } else {
            pthread_rwlock_rdlock(&rwlock);
        }
        pthread_rwlock_unlock(&rwlock);
    }
    sem_post(&semaphore);
    return NULL;
}

CASE(rwlocks_and_semaphores)
{
    pthread_t threads[6];
    counter = 0;
    sem_init(&semaphore, 0, 0);
    for (long i = 0; i < 6; i++)
        NEED(pthread_create(&threads[i], NULL, use_rwlock, (void *)(i % 2)) == 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(sem_wait(&semaphore), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(counter, 1500);
    CHECK_ERR(sem_trywait(&semaphore), EAGAIN);
}

static __thread int tls_number = 7;
static __thread char tls_zero[5000];
static void *check_tls(void *arg)
{
    long bad = tls_number != 7;
    for (size_t i = 0; i < sizeof(tls_zero); i++)
        bad += tls_zero[i] != 0;
    tls_number = (int)(long)arg;
    memset(tls_zero, (int)(long)arg, sizeof(tls_zero));
    for (int i = 0; i < 50; i++)
        sched_yield();
    for (size_t i = 0; i < sizeof(tls_zero); i++)
        bad += tls_zero[i] != (char)(long)arg;
    return (void *)(bad + (tls_number != (int)(long)arg));
}

CASE(thread_local_storage)
{
    pthread_t threads[8];
    void *bad;
    for (long i = 0; i < 8; i++)
        NEED(pthread_create(&threads[i], NULL, check_tls, (void *)(i + 1)) == 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &bad);
        CHECK_EQ((long)bad, 0);
    }
    CHECK_EQ(tls_number, 7);
}

static int destroyed;
static void on_destroy(void *value)
{
    __atomic_fetch_add(&destroyed, (int)(long)value, __ATOMIC_SEQ_CST);
}
static pthread_key_t key;
static void *set_key(void *arg)
{
    pthread_setspecific(key, arg);
    return NULL;
}

CASE(keys_and_once)
{
    pthread_t thread;
    pthread_key_create(&key, on_destroy);
    NEED(pthread_create(&thread, NULL, set_key, (void *)5) == 0);
    pthread_join(thread, NULL);
    CHECK_EQ(destroyed, 5);
    pthread_key_delete(key);
}

static int done;
static void *set_done(void *arg)
{
    sleep_ms((long)arg);
    __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

CASE(detached_threads_end_by_themselves)
{
    pthread_t thread;
    for (int i = 0; i < 50; i++) {
        done = 0;
        NEED(pthread_create(&thread, NULL, set_done, (void *)0) == 0);
        CHECK_EQ(pthread_detach(thread), 0);
        while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST))
            sched_yield();
    }
}

CASE(a_busy_thread_does_not_starve_another)
{
    pthread_t thread;
    done = 0;
    NEED(pthread_create(&thread, NULL, set_done, (void *)20) == 0);
    long long start = now_ms();
    while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST) && now_ms() - start < 20000)
        ; /* no call: only preemption lets the other one run */
    CHECK(done);
    pthread_join(thread, NULL);
}

static void *spin_forever(void *arg)
{
    while (!__atomic_load_n((int *)arg, __ATOMIC_SEQ_CST))
        ;
    return NULL;
}

CASE(a_sleeper_wakes_between_spinners)
{
    static int stop;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, spin_forever, &stop) == 0);
    long long start = now_ms();
    for (int i = 0; i < 5; i++)
        sleep_ms(2);
    CHECK(now_ms() - start < 10000);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static int word;
static void *wait_word(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
        futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

/* Until @count threads wait on .word, which is 0: those who do are moved away and back. */
static void await_waiters(int count)
{
    static int aside;

    for (int tries = 0; tries < 10000; tries++) {
        long moved = futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)1000, &aside, 0);
        futex(&aside, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)1000, &word, 0);
        if (moved == count)
            return;
        sleep_ms(1);
    }
}

CASE(futex_wait_and_wake)
{
    pthread_t threads[4];
    struct timespec ts = {0, 30000000};
    word = 0;
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
    CHECK_ERR(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0), EAGAIN);
    long long start = now_ms();
    CHECK_ERR(futex(&word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), ETIMEDOUT);
    CHECK(now_ms() - start >= 29);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    CHECK_ERR(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &ts, NULL, -1), ETIMEDOUT);
    CHECK_ERR(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex((int *)((char *)&word + 1), FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex((int *)8192, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERR(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
    for (int i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, wait_word, NULL) == 0);
    await_waiters(4);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 3);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static int word_b;
static void *wait_once(void *arg)
{
    (void)arg;
    futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

CASE(futex_requeue_and_wake_op)
{
    pthread_t threads[3];
    word = word_b = 0;
    for (int i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, wait_once, NULL) == 0);
    await_waiters(3);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &word_b, 5), EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10, &word_b, 0), 3);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
    int op = FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_EQ, 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10, &word_b, op), 2);
    CHECK_EQ(word_b, 9);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void *wait_forever(void *arg)
{
    pthread_cleanup_push(on_destroy, (void *)100);
    for (;;)
        read(*(int *)arg, &(char){0}, 1);
    pthread_cleanup_pop(0);
    return NULL;
}

CASE(cancellation_ends_a_blocked_read)
{
    pthread_t thread;
    void *result;
    int fds[2];
    destroyed = 0;
    NEED(pipe(fds) == 0);
    NEED(pthread_create(&thread, NULL, wait_forever, &fds[0]) == 0);
    sleep_ms(20);
    CHECK_EQ(pthread_cancel(thread), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED && destroyed == 100);
    close(fds[0]), close(fds[1]);
}

static pthread_mutex_t robust;
static void *die_holding(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&robust);
    return NULL;
}

CASE(a_robust_mutex_survives_its_holder)
{
    pthread_mutexattr_t attr;
    pthread_t thread;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    NEED(pthread_create(&thread, NULL, die_holding, NULL) == 0);
    pthread_join(thread, NULL);
    CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(&robust), 0);
    CHECK_EQ(pthread_mutex_unlock(&robust), 0);
}

static pid_t tid_seen;
static void *note_tid(void *arg)
{
    (void)arg;
    tid_seen = (pid_t)syscall(SYS_gettid);
    return (void *)(long)getpid();
}

CASE(thread_identities)
{
    pthread_t thread;
    void *pid;
    char name[16];
    NEED(pthread_create(&thread, NULL, note_tid, NULL) == 0);
    pthread_join(thread, &pid);
    CHECK_EQ((long)pid, getpid());
    CHECK(tid_seen != getpid() && tid_seen > 0);
    CHECK_EQ(syscall(SYS_gettid), getpid());
    CHECK_EQ(pthread_setname_np(pthread_self(), "named"), 0);
    CHECK(pthread_getname_np(pthread_self(), name, 16) == 0 && !strcmp(name, "named"));
}

static void *use_floats(void *arg)
{
    double x = (double)(long)arg, sum = 0;
    for (int i = 0; i < 20000; i++) {
        sum += x / 3.0;
        if (i % 100 == 0)
            sched_yield();
    }
    return (void *)(long)(sum + 0.5);
}

CASE(vector_state_is_the_threads_own)
{
    pthread_t threads[4];
    void *sum;
    for (long i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, use_floats, (void *)(3 * (i + 1))) == 0);
    for (long i = 0; i < 4; i++) {
        pthread_join(threads[i], &sum);
        CHECK_EQ((long)sum, 20000 * (i + 1));
    }
}

CASE(the_stack_of_a_thread_has_a_guard)
{
    pthread_attr_t attr;
    void *base;
    size_t size, guard;
    NEED(pthread_getattr_np(pthread_self(), &attr) == 0);
    CHECK_EQ(pthread_attr_getstack(&attr, &base, &size), 0);
    CHECK((char *)base < (char *)&attr && (char *)&attr < (char *)base + size);
    CHECK_EQ(pthread_attr_getguardsize(&attr, &guard), 0);
    pthread_attr_destroy(&attr);
}

CASE(affinity_and_priorities)
{
    cpu_set_t set;
    struct sched_param param = {0};
    CPU_ZERO(&set);
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    CHECK(CPU_COUNT(&set) >= 1);
    CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQ(sched_getparam(0, &param), 0);
    CHECK(sched_getcpu() >= 0);
    CHECK_EQ(sched_yield(), 0);
    CPU_ZERO(&set);
    CHECK_ERR(sched_setaffinity(0, sizeof(set), &set), EINVAL);
}

/* ---- a condition whose waiters are moved to its lock ---- */

static int condition, pi_lock, owners;

static void *wait_and_own(void *arg)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += 20;
    long result =
        syscall(SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 7, &deadline, &pi_lock, 0);
    CHECK_EQ(result, 0);
    CHECK_EQ(__atomic_load_n(&pi_lock, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK, syscall(SYS_gettid));
    owners++; /* the lock is held */
    CHECK_EQ(futex(&pi_lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    return arg;
}

static long move_to_lock(int expected, long others)
{
    return syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, others, &pi_lock,
                   expected);
}

/* Three wait; who moves them has the lock, or nobody has. */
static void move_three(bool held)
{
    pthread_t threads[3];
    int moved = 0;

    condition = 7;
    pi_lock = owners = 0;
    for (int i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, wait_and_own, NULL) == 0);
    if (held)
        CHECK_EQ(futex(&pi_lock, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_ERR(move_to_lock(8, 10), EAGAIN);
    for (int i = 0; moved < 3 && i < 10000; i++) {
        long n = move_to_lock(7, 10);
        moved += n > 0 ? (int)n : 0;
        sleep_ms(1);
    }
    CHECK_EQ(moved, 3);
    if (held) {
        CHECK_EQ(owners, 0);
        CHECK_EQ((unsigned)pi_lock, (unsigned)syscall(SYS_gettid) | FUTEX_WAITERS);
        CHECK_EQ(futex(&pi_lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(owners, 3);
    CHECK_EQ(pi_lock, 0);
}

CASE(waiters_of_a_condition_are_moved_to_a_held_lock)
{
    move_three(true);
}

CASE(the_first_waiter_of_a_condition_gets_a_free_lock)
{
    move_three(false);
}

CASE(what_a_move_to_a_lock_refuses)
{
    struct timespec past = {0, 1};

    condition = 7;
    CHECK_ERR(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 2, 1, &pi_lock, 7),
              EINVAL);
    CHECK_ERR(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 1, &condition, 7),
              EINVAL);
    CHECK_ERR(syscall(SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 7, NULL, &condition, 0),
              EINVAL);
    CHECK_ERR(syscall(SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 8, NULL, &pi_lock, 0),
              EAGAIN);
    CHECK_ERR(syscall(SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 7, &past, &pi_lock, 0),
              ETIMEDOUT);
    CHECK_EQ(move_to_lock(7, 1), 0);
}
