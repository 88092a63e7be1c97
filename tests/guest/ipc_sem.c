/* System V semaphores: semget, semop, semtimedop, semctl (semop(2)); what SEM_UNDO leaves to the
 * end of a process is in fork.c. */
#define _GNU_SOURCE
#include "t.h"

#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

static int value_of(int id, int n)
{
    return semctl(id, n, GETVAL);
}

static int step(int id, unsigned short n, short by, short flags)
{
    struct sembuf op = {n, by, flags};
    return semop(id, &op, 1);
}

CASE(sets_are_found_by_their_key)
{
    key_t key = 0x2345678 + getpid();
    CHECK_ERR(semget(key, 3, 0600), ENOENT);
    int id = semget(key, 3, IPC_CREAT | IPC_EXCL | 0600);
    NEED(id >= 0);
    CHECK_ERR(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(semget(key, 0, 0), id);
    CHECK_EQ(semget(key, 2, IPC_CREAT | 0600), id);
    CHECK_ERR(semget(key, 4, 0), EINVAL);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK_ERR(semget(key, 3, 0), ENOENT);
    CHECK_ERR(semctl(id, 0, IPC_RMID), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, -1, 0600), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
    CHECK_ERR(step(-1, 0, 1, 0), EINVAL);
    CHECK_ERR(step(id, 0, 1, 0), EINVAL);
}

CASE(values_are_set_and_read)
{
    struct semid_ds ds;
    unsigned short values[4] = {1, 2, 32767, 0};
    int id = semget(IPC_PRIVATE, 4, 0640);
    NEED(id >= 0);
    NEED(!semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
    CHECK(ds.sem_nsems == 4 && ds.sem_otime == 0 && ds.sem_ctime > 1000000000);
    CHECK_EQ(ds.sem_perm.mode & 0777, 0640);
    CHECK_EQ(value_of(id, 3), 0);
    CHECK_EQ(semctl(id, 0, SETALL, (union semun){.array = values}), 0);
    memset(values, 0, sizeof(values));
    CHECK_EQ(semctl(id, 0, GETALL, (union semun){.array = values}), 0);
    CHECK(values[0] == 1 && values[1] == 2 && values[2] == 32767 && values[3] == 0);
    CHECK_EQ(semctl(id, 3, SETVAL, (union semun){.val = 9}), 0);
    CHECK_EQ(value_of(id, 3), 9);
    CHECK_EQ(semctl(id, 3, GETPID), getpid());
    CHECK_ERR(semctl(id, 4, GETVAL), EINVAL);
    CHECK_ERR(semctl(id, -1, GETVAL), EINVAL);
    CHECK_ERR(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
    CHECK_ERR(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
    values[1] = 40000;
    CHECK_ERR(semctl(id, 0, SETALL, (union semun){.array = values}), ERANGE);
    CHECK_EQ(value_of(id, 1), 2);
    CHECK_ERR(semctl(id, 0, 77), EINVAL);
    CHECK_ERR(semctl(id, 0, GETALL, (union semun){.array = (unsigned short *)8}), EFAULT);
    CHECK_ERR(semctl(id, 0, SETALL, (union semun){.array = (unsigned short *)8}), EFAULT);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

CASE(several_steps_are_one)
{
    int id = semget(IPC_PRIVATE, 3, 0600);
    NEED(id >= 0);
    struct sembuf up[] = {{0, 2, 0}, {1, 3, 0}};
    CHECK_EQ(semop(id, up, 2), 0);
    struct sembuf too_much[] = {{0, -1, 0}, {1, -4, IPC_NOWAIT}};
    CHECK_ERR(semop(id, too_much, 2), EAGAIN);
    CHECK(value_of(id, 0) == 2 && value_of(id, 1) == 3);
    struct sembuf same_one[] = {{0, -2, 0}, {0, 0, 0}, {0, 1, 0}, {2, 0, 0}};
    CHECK_EQ(semop(id, same_one, 4), 0);
    CHECK_EQ(value_of(id, 0), 1);
    CHECK_ERR(step(id, 0, 0, IPC_NOWAIT), EAGAIN);
    CHECK_ERR(step(id, 0, -2, IPC_NOWAIT), EAGAIN);
    CHECK_ERR(step(id, 0, 32767, 0), ERANGE);
    CHECK_ERR(step(id, 3, 1, 0), EFBIG);
    CHECK_ERR(semop(id, up, 0), EINVAL);
    CHECK_ERR(semop(id, up, 501), E2BIG);
    CHECK_ERR(semop(id, (struct sembuf *)8, 1), EFAULT);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

struct worker {
    int id;
    struct sembuf ops[2];
    unsigned nr;
    int result, err;
    pthread_t thread;
};

static void *do_ops(void *arg)
{
    struct worker *w = arg;
    w->result = semop(w->id, w->ops, w->nr);
    w->err = errno;
    return NULL;
}

static void start_worker(struct worker *w, int id, struct sembuf first, struct sembuf second)
{
    *w = (struct worker){.id = id, .ops = {first, second}, .nr = second.sem_op == 99 ? 1 : 2};
    pthread_create(&w->thread, NULL, do_ops, w);
}

#define ALONE ((struct sembuf){0, 99, 0})

/* Until @n wait for semaphore @which to grow, @z for it to be zero. */
static bool wait_at(int id, int which, int n, int z)
{
    for (int i = 0; i < 20000; i++) {
        if (semctl(id, which, GETNCNT) == n && semctl(id, which, GETZCNT) == z)
            return true;
        sleep_ms(1);
    }
    return false;
}

static bool wait_for(int id, int n, int z)
{
    return wait_at(id, 0, n, z);
}

CASE(who_waits_goes_on_when_it_can)
{
    struct worker down, zero, both;
    int id = semget(IPC_PRIVATE, 2, 0600);
    NEED(id >= 0);
    start_worker(&down, id, (struct sembuf){0, -3, 0}, ALONE);
    CHECK(wait_for(id, 1, 0));
    CHECK_EQ(step(id, 0, 2, 0), 0);
    CHECK_EQ(value_of(id, 0), 2); /* not enough */
    start_worker(&zero, id, (struct sembuf){0, 0, 0}, ALONE);
    CHECK(wait_for(id, 1, 1));
    start_worker(&both, id, (struct sembuf){0, -1, 0}, (struct sembuf){1, -1, 0});
    CHECK(wait_at(id, 1, 1, 0));
    CHECK_EQ(step(id, 0, 1, 0), 0);
    pthread_join(down.thread, NULL);
    CHECK_EQ(down.result, 0);
    pthread_join(zero.thread, NULL); /* it was zero then */
    CHECK_EQ(zero.result, 0);
    CHECK_EQ(step(id, 1, 1, 0), 0);
    CHECK_EQ(value_of(id, 1), 1);
    CHECK_EQ(step(id, 0, 1, 0), 0);
    pthread_join(both.thread, NULL);
    CHECK(both.result == 0 && value_of(id, 0) == 0 && value_of(id, 1) == 0);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

CASE(setting_a_value_wakes_who_waits_and_removal_ends_the_wait)
{
    struct worker a, b;
    int id = semget(IPC_PRIVATE, 1, 0600);
    NEED(id >= 0);
    start_worker(&a, id, (struct sembuf){0, -5, 0}, ALONE);
    CHECK(wait_for(id, 1, 0));
    CHECK_EQ(semctl(id, 0, SETVAL, (union semun){.val = 7}), 0);
    pthread_join(a.thread, NULL);
    CHECK(a.result == 0 && value_of(id, 0) == 2);
    start_worker(&b, id, (struct sembuf){0, -5, 0}, ALONE);
    CHECK(wait_for(id, 1, 0));
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    pthread_join(b.thread, NULL);
    CHECK(b.result == -1 && b.err == EIDRM);
}

CASE(a_wait_has_an_end_in_time)
{
    struct timespec soon = {0, 30000000}, none = {0, 0}, bad = {0, 1000000000};
    struct sembuf down = {0, -1, 0};
    int id = semget(IPC_PRIVATE, 1, 0600);
    NEED(id >= 0);
    long long start = now_ms();
    CHECK_ERR(semtimedop(id, &down, 1, &soon), EAGAIN);
    CHECK(now_ms() - start >= 29);
    CHECK_ERR(semtimedop(id, &down, 1, &none), EAGAIN);
    CHECK_ERR(semtimedop(id, &down, 1, &bad), EINVAL);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    CHECK_EQ(step(id, 0, 1, 0), 0);
    CHECK_EQ(semtimedop(id, &down, 1, &none), 0);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

static void nothing(int sig)
{
    (void)sig;
}

CASE(a_signal_ends_the_wait_whatever_its_flags)
{
    struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    struct worker w;
    int id = semget(IPC_PRIVATE, 1, 0600);
    NEED(id >= 0 && !sigaction(SIGUSR1, &sa, NULL));
    start_worker(&w, id, (struct sembuf){0, -1, 0}, ALONE);
    CHECK(wait_for(id, 1, 0));
    pthread_kill(w.thread, SIGUSR1);
    pthread_join(w.thread, NULL);
    CHECK(w.result == -1 && w.err == EINTR);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

/* A semaphore of 1 as a mutex: no increment may be lost. */
static int mutex_id;
static volatile long counted;

static void *count_up(void *arg)
{
    for (int i = 0; i < 500; i++) {
        if (step(mutex_id, 0, -1, 0))
            return arg;
        long seen = counted;
        if (i % 50 == 0)
            sched_yield();
        counted = seen + 1;
        if (step(mutex_id, 0, 1, 0))
            return arg;
    }
    return NULL;
}

CASE(threads_exclude_each_other)
{
    pthread_t threads[4];
    void *failed;
    mutex_id = semget(IPC_PRIVATE, 1, 0600);
    NEED(mutex_id >= 0 && !step(mutex_id, 0, 1, 0));
    counted = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_up, &mutex_id);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        CHECK(!failed);
    }
    CHECK_EQ(counted, 2000);
    CHECK_EQ(value_of(mutex_id, 0), 1);
    CHECK_EQ(semctl(mutex_id, 0, IPC_RMID), 0);
}

CASE(an_undo_that_would_not_fit_is_refused)
{
    int id = semget(IPC_PRIVATE, 1, 0600);
    NEED(id >= 0);
    CHECK_EQ(step(id, 0, 32767, SEM_UNDO), 0);
    CHECK_EQ(step(id, 0, -32767, 0), 0);
    CHECK_ERR(step(id, 0, 2, SEM_UNDO), ERANGE); /* -32769 */
    CHECK_EQ(value_of(id, 0), 0);
    CHECK_EQ(semctl(id, 0, SETVAL, (union semun){.val = 0}), 0); /* forgets what to undo */
    CHECK_EQ(step(id, 0, 2, SEM_UNDO), 0);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

CASE(who_may_use_a_set)
{
    struct semid_ds ds;
    int id = semget(IPC_PRIVATE, 1, 0640);
    NEED(id >= 0);
    if (!geteuid()) {
        NEED(!seteuid(4242));
        CHECK_EQ(value_of(id, 0), 0);
        CHECK_EQ(step(id, 0, 0, 0), 0);
        CHECK_ERR(step(id, 0, 1, 0), EACCES);
        CHECK_ERR(semctl(id, 0, SETVAL, (union semun){.val = 1}), EACCES);
        CHECK_ERR(semctl(id, 0, IPC_RMID), EPERM);
        NEED(!seteuid(0));
        NEED(!semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
        ds.sem_perm.uid = 4242;
        ds.sem_perm.mode = 0600;
        CHECK_EQ(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}), 0);
        NEED(!seteuid(4242));
        CHECK_EQ(step(id, 0, 1, 0), 0);
        CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
        NEED(!seteuid(0));
    } else {
        CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    }
}

CASE(limits_and_what_there_is)
{
    struct seminfo info;
    struct semid_ds ds;
    char line[64];
    key_t key = 0x3456789 + getpid();
    int id = semget(key, 5, IPC_CREAT | 0600), found = -1;
    NEED(id >= 0);
    CHECK(semctl(0, 0, IPC_INFO, (union semun){.info = &info}) >= 0);
    CHECK(info.semmsl == 32000 && info.semopm == 500 && info.semvmx == 32767);
    int last = semctl(0, 0, SEM_INFO, (union semun){.info = &info});
    CHECK(last >= 0 && info.semusz >= 1 && info.semaem >= 5);
    for (int i = 0; i <= last; i++) {
        int got = semctl(i, 0, SEM_STAT, (union semun){.buf = &ds});
        if (got == id)
            found = i;
    }
    CHECK(found >= 0);
    snprintf(line, sizeof(line), "%10d %10d   600          5", key, id);
    CHECK(strstr(get_file("/proc/sysvipc/sem"), line) != NULL);
    CHECK(!strncmp(get_file("/proc/sysvipc/sem"), "       key      semid perms", 27));
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK(strstr(get_file("/proc/sysvipc/sem"), line) == NULL);
}
