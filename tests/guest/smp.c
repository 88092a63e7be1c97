/* Storms that several CPUs make dangerous: threads that come and go, words handed over, mappings
 * changed under others' feet, signals to threads that run elsewhere.  They hold on one CPU too. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { PAGE = 4096, MAX_THREADS = 16 };

static cpu_set_t all_cpus; /* that the program may use */

__attribute__((constructor)) static void find_cpus(void)
{
    sched_getaffinity(0, sizeof(all_cpus), &all_cpus);
}

/* The @n-th CPU the program may use, round and round. */
static cpu_set_t nth_cpu(int n)
{
    cpu_set_t one;
    int cpu = 0;

    n %= CPU_COUNT(&all_cpus);
    while (!CPU_ISSET(cpu, &all_cpus) || n-- > 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return one;
}

/* Let the calling thread run there. */
static void run_on(int n)
{
    cpu_set_t one = nth_cpu(n);

    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK(CPU_ISSET(sched_getcpu(), &one));
}

static void run_all(int n, void *(*fn)(void *))
{
    pthread_t threads[MAX_THREADS];

    for (long i = 0; i < n; i++)
        NEED(pthread_create(&threads[i], NULL, fn, (void *)i) == 0);
    for (int i = 0; i < n; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}

static long futex(int *word, int op, int value)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* ---- threads ---- */

static void *do_nothing(void *arg)
{
    return arg;
}

static void *make_threads(void *arg)
{
    for (long i = 0; i < 150; i++) {
        pthread_t thread;
        void *result = NULL;
        if (!CHECK_EQ(pthread_create(&thread, NULL, do_nothing, (void *)i), 0))
            break;
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK_EQ((long)result, i);
    }
    return arg;
}

CASE(threads_come_and_go_everywhere)
{
    run_all(4, make_threads);
}

static void *visit_cpus(void *arg)
{
    for (int i = 0; i < 50; i++)
        run_on((int)(long)arg + i);
    return arg;
}

CASE(a_thread_goes_where_it_is_sent)
{
    run_all(4, visit_cpus);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= CPU_COUNT(&all_cpus));
}

static volatile bool stop;

static void *spin(void *arg)
{
    while (!stop)
        ;
    return arg;
}

CASE(a_running_thread_is_moved_by_another)
{
    pthread_t thread;
    cpu_set_t one;

    stop = false;
    NEED(pthread_create(&thread, NULL, spin, NULL) == 0);
    for (int round = 0; round < 4; round++) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &all_cpus))
                continue;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            CHECK_EQ(pthread_setaffinity_np(thread, sizeof(one), &one), 0);
            if (round == 3)
                sleep_ms(1);
        }
    }
    stop = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

enum { RING_MOVERS = 6 };
static pthread_t movers[RING_MOVERS];
static pthread_barrier_t all_there;

/* Each sends the next one about, which sleeps, wakes, gives way and is moved by others meanwhile.
 */
static void *move_the_next(void *arg)
{
    int me = (int)(long)arg;
    unsigned seed = (unsigned)me + 1;

    movers[me] = pthread_self();
    pthread_barrier_wait(&all_there);
    for (int i = 0; i < 2000; i++) {
        pthread_t other = movers[(me + 1 + rand_r(&seed) % (RING_MOVERS - 1)) % RING_MOVERS];
        struct sched_param none = {0};
        cpu_set_t one = nth_cpu(rand_r(&seed) % CPU_COUNT(&all_cpus));
        CHECK_EQ(pthread_setaffinity_np(other, sizeof(one), i % 8 ? &one : &all_cpus), 0);
        if (i % 4 == 0)
            CHECK_EQ(pthread_setschedparam(other, i % 8 ? SCHED_BATCH : SCHED_OTHER, &none), 0);
        if (i % 3 == 0)
            sched_yield();
    }
    pthread_barrier_wait(&all_there);
    return arg;
}

CASE(threads_move_each_other)
{
    pthread_barrier_init(&all_there, NULL, RING_MOVERS);
    run_all(RING_MOVERS, move_the_next);
    pthread_barrier_destroy(&all_there);
}

/* ---- words ---- */

static int turn_word;
enum { RING = 4, LAPS = 500 };

static void *pass_on(void *arg)
{
    int me = (int)(long)arg;

    for (int lap = 0; lap < LAPS; lap++) {
        int want = lap * RING + me, now;
        while ((now = __atomic_load_n(&turn_word, __ATOMIC_ACQUIRE)) != want)
            futex(&turn_word, FUTEX_WAIT, now);
        __atomic_store_n(&turn_word, want + 1, __ATOMIC_RELEASE);
        futex(&turn_word, FUTEX_WAKE, INT_MAX);
    }
    return arg;
}

CASE(a_word_is_handed_round)
{
    turn_word = 0;
    run_all(RING, pass_on);
    CHECK_EQ(turn_word, RING * LAPS);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counted, permits;

static void *count_under_mutex(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        pthread_mutex_lock(&mutex);
        counted++;
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

CASE(a_mutex_excludes_across_cpus)
{
    counted = 0;
    run_all(4, count_under_mutex);
    CHECK_EQ(counted, 40000);
}

static void *give_or_take(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        if ((long)arg % 2) {
            permits++;
            pthread_cond_signal(&cond);
        } else {
            while (!permits)
                pthread_cond_wait(&cond, &mutex);
            permits--;
        }
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

CASE(no_wake_of_a_condition_is_lost)
{
    permits = 0;
    run_all(4, give_or_take);
    CHECK_EQ(permits, 0);
}

static int flag_a, flag_b, both_missed;
static pthread_barrier_t barrier;

/* Store, barrier, load: with the one side's barrier made by the kernel for both. */
static void *light_side(void *arg)
{
    for (int i = 0; i < 300; i++) {
        pthread_barrier_wait(&barrier);
        __atomic_store_n(&flag_a, 1, __ATOMIC_RELAXED);
        __asm__ volatile("" ::: "memory");
        int seen = __atomic_load_n(&flag_b, __ATOMIC_RELAXED);
        pthread_barrier_wait(&barrier);
        both_missed += !seen && !arg;
        pthread_barrier_wait(&barrier);
    }
    return arg;
}

static int heavy_missed;
static void *heavy_side(void *arg)
{
    for (int i = 0; i < 300; i++) {
        both_missed = heavy_missed = 0;
        flag_a = flag_b = 0;
        pthread_barrier_wait(&barrier);
        __atomic_store_n(&flag_b, 1, __ATOMIC_RELAXED);
        CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), 0);
        heavy_missed = !__atomic_load_n(&flag_a, __ATOMIC_RELAXED);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        CHECK(!(both_missed && heavy_missed));
    }
    return arg;
}

static void *either_side(void *arg)
{
    return arg ? heavy_side(arg) : light_side(arg);
}

CASE(membarrier_orders_who_runs_elsewhere)
{
    NEED(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0);
    pthread_barrier_init(&barrier, NULL, 2);
    run_all(2, either_side);
    pthread_barrier_destroy(&barrier);
}

/* ---- memory ---- */

static void *map_and_unmap(void *arg)
{
    for (int i = 0; i < 200; i++) {
        size_t len = (size_t)(1 + i % 16) * PAGE;
        char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (!CHECK(p != MAP_FAILED))
            break;
        for (size_t at = 0; at < len; at += PAGE) {
            CHECK_EQ(p[at], 0);
            p[at] = (char)(long)arg + 1;
        }
        for (size_t at = 0; at < len; at += PAGE)
            CHECK_EQ(p[at], (char)(long)arg + 1);
        CHECK_EQ(munmap(p, len), 0);
    }
    return arg;
}

CASE(mappings_come_and_go_everywhere)
{
    run_all(4, map_and_unmap);
}

enum { SHARED_PAGES = 256 };
static char *shared;

static void *touch_shared(void *arg)
{
    for (int i = 0; i < SHARED_PAGES; i++)
        __atomic_fetch_add((int *)(void *)(shared + (long)i * PAGE), 1, __ATOMIC_SEQ_CST);
    return arg;
}

CASE(threads_that_fault_on_one_page_share_it)
{
    for (int round = 0; round < 8; round++) {
        shared = mmap(NULL, SHARED_PAGES * PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(shared != MAP_FAILED);
        if (round % 2)
            for (int i = 0; i < SHARED_PAGES; i++) /* the page of zeros, to be copied */
                CHECK_EQ(*(volatile char *)(shared + (long)i * PAGE), 0);
        run_all(4, touch_shared);
        for (int i = 0; i < SHARED_PAGES; i++)
            CHECK_EQ(*(int *)(void *)(shared + (long)i * PAGE), 4);
        munmap(shared, SHARED_PAGES * PAGE);
    }
}

enum { BLOCKS = 8, BLOCK = 2 << 20, BLOCK_ROUNDS = 6, PAIR = 2 };
static int at_block;

/* Both arrive at a block of 2 MiB at the same time, which one large page or many small ones fill.
 */
static void *touch_blocks(void *arg)
{
    long me = (long)arg;

    for (int block = 0; block < BLOCKS; block++) {
        __atomic_fetch_add(&at_block, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&at_block, __ATOMIC_ACQUIRE) < PAIR * (block + 1))
            sched_yield();
        char *base = shared + (long)block * BLOCK;
        for (int i = 0; i < 16; i++)
            __atomic_fetch_add((int *)(void *)(base + (i * 31L + me) % 512 * PAGE), 1,
                               __ATOMIC_SEQ_CST);
    }
    return arg;
}

CASE(threads_that_fault_on_one_large_page_share_it)
{
    for (int round = 0; round < BLOCK_ROUNDS; round++) {
        char *area = mmap(NULL, (BLOCKS + 1L) * BLOCK, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(area != MAP_FAILED);
        shared = area + (-(uintptr_t)area & (BLOCK - 1));
        at_block = 0;
        run_all(PAIR, touch_blocks);
        for (int block = 0; block < BLOCKS; block++) {
            int sum = 0;
            for (int i = 0; i < 512; i++)
                sum += *(int *)(void *)(shared + (long)block * BLOCK + (long)i * PAGE);
            CHECK_EQ(sum, 16 * PAIR);
        }
        munmap(area, (BLOCKS + 1L) * BLOCK);
    }
}

static int *remapped;
static int generation;

/* What was true when the generation was raised must be true of the page that is read after it. */
static void *read_remapped(void *arg)
{
    while (!stop) {
        int now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
        int seen = __atomic_load_n(remapped, __ATOMIC_ACQUIRE);
        if (!CHECK(seen >= now))
            break;
    }
    return arg;
}

CASE(a_page_that_is_replaced_is_gone_everywhere)
{
    enum { PAGES = 301 };
    pthread_t threads[3];
    int fd = memfd_create("generations", 0);

    NEED(fd >= 0);
    for (int i = 0; i < PAGES; i++)
        NEED(pwrite(fd, &i, sizeof(i), (off_t)i * PAGE) == sizeof(i));
    NEED(ftruncate(fd, (off_t)PAGES * PAGE) == 0);
    remapped = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    NEED(remapped != MAP_FAILED);
    stop = false;
    generation = 0;
    for (int i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, read_remapped, NULL) == 0);
    for (int i = 1; i < PAGES; i++) {
        CHECK(mmap(remapped, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)i * PAGE) ==
              remapped);
        __atomic_store_n(&generation, i, __ATOMIC_RELEASE);
    }
    stop = true;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    munmap(remapped, PAGE);
    close(fd);
}

static volatile int *guarded;
static volatile int writers_faulted;

static void allow_again(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    if ((uintptr_t)info->si_addr / PAGE != (uintptr_t)guarded / PAGE)
        _exit(99);
    mprotect((void *)(uintptr_t)guarded, PAGE, PROT_READ | PROT_WRITE);
    writers_faulted = writers_faulted + 1;
}

static void *write_guarded(void *arg)
{
    while (!stop)
        guarded[1] = 1;
    return arg;
}

CASE(a_protection_is_obeyed_everywhere)
{
    struct sigaction action = {.sa_sigaction = allow_again, .sa_flags = SA_SIGINFO}, old;
    pthread_t thread;

    guarded = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(guarded != MAP_FAILED);
    NEED(sigaction(SIGSEGV, &action, &old) == 0);
    stop = false;
    NEED(pthread_create(&thread, NULL, write_guarded, NULL) == 0);
    for (int i = 0; i < 200; i++) {
        int faults = writers_faulted;
        CHECK_EQ(mprotect((void *)(uintptr_t)guarded, PAGE, PROT_READ), 0);
        while (writers_faulted == faults)
            sched_yield();
    }
    stop = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(writers_faulted >= 200);
    sigaction(SIGSEGV, &old, NULL);
    munmap((void *)(uintptr_t)guarded, PAGE);
}

/* ---- signals ---- */

static int signals_taken;
static pthread_t ring[4];

static void take_signal(int sig)
{
    (void)sig;
    __atomic_fetch_add(&signals_taken, 1, __ATOMIC_SEQ_CST);
}

/* Each sends to the next and computes: most signals find it running. */
static void *signal_next(void *arg)
{
    long me = (long)arg;

    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(pthread_kill(ring[(me + 1) % 4], SIGUSR1), 0);
        for (volatile int spent = 0; spent < 500; spent = spent + 1)
            ;
    }
    pthread_barrier_wait(&barrier);
    return arg;
}

CASE(signals_reach_threads_that_run_elsewhere)
{
    struct sigaction action = {.sa_handler = take_signal, .sa_flags = SA_RESTART}, old;

    NEED(sigaction(SIGUSR1, &action, &old) == 0);
    signals_taken = 0;
    pthread_barrier_init(&barrier, NULL, 5);
    for (long i = 0; i < 4; i++)
        NEED(pthread_create(&ring[i], NULL, signal_next, (void *)i) == 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(ring[i], NULL), 0);
    CHECK(signals_taken > 0 && signals_taken <= 1200);
    pthread_barrier_destroy(&barrier);
    sigaction(SIGUSR1, &old, NULL);
}

CASE(a_spinning_thread_takes_every_real_time_signal)
{
    struct sigaction action = {.sa_handler = take_signal}, old;
    pthread_t thread;

    NEED(sigaction(SIGRTMIN + 1, &action, &old) == 0);
    stop = false;
    signals_taken = 0;
    NEED(pthread_create(&thread, NULL, spin, NULL) == 0);
    for (int i = 0; i < 500; i++)
        CHECK_EQ(pthread_kill(thread, SIGRTMIN + 1), 0);
    for (int i = 0; i < 2000 && __atomic_load_n(&signals_taken, __ATOMIC_SEQ_CST) < 500; i++)
        sleep_ms(10);
    CHECK_EQ(signals_taken, 500);
    stop = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    sigaction(SIGRTMIN + 1, &old, NULL);
}

/* ---- descriptors ---- */

static int there[2], back[2];

static void *echo(void *arg)
{
    char byte;

    run_on(1);
    while (read(there[0], &byte, 1) == 1)
        CHECK_EQ(write(back[1], &byte, 1), 1);
    return arg;
}

CASE(bytes_go_to_and_fro_between_cpus)
{
    pthread_t thread;
    char byte;

    NEED(pipe(there) == 0 && pipe(back) == 0);
    NEED(pthread_create(&thread, NULL, echo, NULL) == 0);
    for (int i = 0; i < 2000; i++) {
        byte = (char)i;
        CHECK_EQ(write(there[1], &byte, 1), 1);
        CHECK_EQ(read(back[0], &byte, 1), 1);
        CHECK_EQ(byte, (char)i);
    }
    close(there[1]);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close(there[0]), close(back[0]), close(back[1]);
}

static int events, queue;
static long rung, heard;
enum { RINGS = 500 };

static void *ring_or_hear(void *arg)
{
    uint64_t one = 1, got;
    struct epoll_event event;

    if ((long)arg < 2) {
        for (int i = 0; i < RINGS; i++) {
            CHECK_EQ(write(events, &one, 8), 8);
            __atomic_fetch_add(&rung, 1, __ATOMIC_SEQ_CST);
        }
        return arg;
    }
    while (__atomic_load_n(&heard, __ATOMIC_SEQ_CST) < 2 * RINGS) {
        if (epoll_wait(queue, &event, 1, 20) != 1)
            continue;
        if (read(events, &got, 8) == 8)
            __atomic_fetch_add(&heard, (long)got, __ATOMIC_SEQ_CST);
    }
    return arg;
}

CASE(epoll_hears_of_what_happens_elsewhere)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    rung = heard = 0;
    NEED((events = eventfd(0, EFD_NONBLOCK)) >= 0 && (queue = epoll_create1(0)) >= 0);
    NEED(epoll_ctl(queue, EPOLL_CTL_ADD, events, &event) == 0);
    run_all(4, ring_or_hear);
    CHECK_EQ(heard, 2 * RINGS);
    close(queue), close(events);
}

static void *open_and_close(void *arg)
{
    char name[32];

    snprintf(name, sizeof(name), "file-%ld", (long)arg);
    for (int i = 0; i < 100; i++) {
        char text[8] = {0};
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
        if (!CHECK(fd >= 0))
            break;
        CHECK_EQ(write(fd, name, 6), 6);
        CHECK_EQ(pread(fd, text, 6, 0), 6);
        CHECK(!strncmp(text, name, 6));
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(unlink(name), 0);
    }
    return arg;
}

CASE(files_are_made_and_removed_everywhere)
{
    run_all(4, open_and_close);
}

/* From folder to folder, which takes a lock of all renames; the others must wait for it. */
static void *move_about(void *arg)
{
    char here[32], there[32];

    snprintf(here, sizeof(here), "one/file-%ld", (long)arg);
    snprintf(there, sizeof(there), "two/file-%ld", (long)arg);
    int fd = open(here, O_WRONLY | O_CREAT, 0644);
    CHECK(fd >= 0);
    close(fd);
    for (int i = 0; i < 200; i++) {
        if (!CHECK_EQ(rename(here, there), 0) || !CHECK_EQ(rename(there, here), 0))
            break;
    }
    CHECK_EQ(unlink(here), 0);
    return arg;
}

CASE(renames_between_folders_wait_for_each_other)
{
    CHECK_EQ(mkdir("one", 0755), 0);
    CHECK_EQ(mkdir("two", 0755), 0);
    run_all(8, move_about);
    CHECK_EQ(rmdir("one"), 0);
    CHECK_EQ(rmdir("two"), 0);
}

/* ---- time ---- */

static void *sleep_often(void *arg)
{
    for (int i = 0; i < 100; i++) {
        struct timespec ts = {0, 50000 + (long)arg * 10000};
        long long before = now_ms();
        CHECK_EQ(nanosleep(&ts, NULL), 0);
        CHECK(now_ms() >= before);
    }
    return arg;
}

CASE(timers_fire_on_every_cpu)
{
    run_all(8, sleep_often);
}

static long long cpu_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void *burn(void *arg)
{
    long long before = cpu_ns(CLOCK_THREAD_CPUTIME_ID), last = before;

    while (last - before < 30000000) {
        long long now = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
        if (!CHECK(now >= last))
            break;
        last = now;
    }
    return arg;
}

CASE(cpu_time_is_counted_once)
{
    long long wall = cpu_ns(CLOCK_MONOTONIC), used = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);

    run_all(4, burn);
    wall = cpu_ns(CLOCK_MONOTONIC) - wall;
    used = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - used;
    CHECK(used >= 4 * 30000000);
    CHECK(used <= wall * CPU_COUNT(&all_cpus) + 20000000);
}

static void ignore_signal(int sig)
{
    (void)sig;
}

CASE(the_first_thread_gets_its_share_beside_sixteen_others)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART}, old;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    pthread_t threads[16];

    NEED(sigaction(SIGALRM, &action, &old) == 0);
    stop = false;
    for (int i = 0; i < 16; i++)
        NEED(pthread_create(&threads[i], NULL, spin, NULL) == 0);
    NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
    long long begun = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), mine = 0, all = 0;
    long long before = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    while (all < 1000000000 || (mine < all / 17 / 3 && all < 10000000000)) {
        all = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - begun; /* a busy host may leave one CPU alone */
        mine = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - before;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    stop = true;
    for (int i = 0; i < 16; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    sigaction(SIGALRM, &old, NULL);
    CHECK(mine >= all / 17 / 3); /* a third of an even share */
}

static void *spin_for_ever(void *arg)
{
    for (;;)
        ;
    return arg;
}

CASE(zz_the_program_ends_while_others_run)
{
    pthread_t thread;

    for (int i = 0; i < 3; i++)
        NEED(pthread_create(&thread, NULL, spin_for_ever, NULL) == 0);
    sleep_ms(5);
}
