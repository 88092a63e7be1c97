/* Processes and their threads that end, stop, replace and look at each other at the same moment. */
#define _GNU_SOURCE
#include "child.h"
#include "t.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { PAGE = 4096, PATIENCE_MS = 10000, ROUNDS = 60 };

static volatile long *shared; /* with children */

__attribute__((constructor)) static void share_memory(void)
{
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* How @pid ended, or -1: it did not. */
static int end_of(pid_t pid)
{
    int status;

    for (long long end = now_ms() + PATIENCE_MS; now_ms() < end; sched_yield())
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
    kill(pid, SIGKILL);
    return -1;
}

static bool counts_on(long from)
{
    for (long long end = now_ms() + PATIENCE_MS; now_ms() < end; sched_yield())
        if (shared[0] > from)
            return true;
    return false;
}

static _Noreturn void count_for_ever(void)
{
    for (;;)
        shared[0] = shared[0] + 1;
}

static pid_t start_to_count(void)
{
    shared[0] = 0;
    pid_t pid = fork();
    if (!pid)
        count_for_ever();
    NEED(pid > 0);
    NEED(counts_on(0));
    return pid;
}

static void wait_a_little(int n)
{
    for (volatile int i = 0; i < n; i++)
        ;
}

CASE(a_stop_is_taken_back_by_the_continue_behind_it)
{
    pid_t pid = start_to_count();
    for (int i = 0; i < 3000; i++) {
        kill(pid, SIGSTOP);
        wait_a_little(i % 100 * 40);
        kill(pid, SIGCONT);
        wait_a_little(i % 7 * 300);
    }
    CHECK(counts_on(shared[0]));
    kill(pid, SIGKILL);
    CHECK_EQ(end_of(pid), SIGKILL);
}

CASE(who_is_killed_while_it_stops_ends)
{
    for (int i = 0; i < 2 * ROUNDS; i++) {
        pid_t pid = start_to_count();
        kill(pid, SIGSTOP);
        wait_a_little(i * 40);
        kill(pid, SIGKILL);
        if (!CHECK_EQ(end_of(pid), SIGKILL))
            break;
    }
}

static void *do_nothing(void *arg)
{
    return arg;
}

static void *make_threads(void *arg)
{
    pthread_t thread;

    for (;;)
        if (!pthread_create(&thread, NULL, do_nothing, NULL))
            pthread_join(thread, NULL);
    return arg;
}

/* As a thread that stays is more dangerous than one that goes at once. */
static void *make_thread_that_makes(void *arg)
{
    pthread_t thread;

    __atomic_fetch_add(&shared[1], 1, __ATOMIC_SEQ_CST);
    if (shared[1] < 200)
        pthread_create(&thread, NULL, make_thread_that_makes, NULL);
    for (;;)
        pause();
    return arg;
}

static void make_makers(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, make_threads, NULL);
    pthread_create(&thread, NULL, make_thread_that_makes, NULL);
    pthread_create(&thread, NULL, make_thread_that_makes, NULL);
}

CASE(the_end_of_a_process_finds_threads_that_are_being_made)
{
    for (int i = 0; i < ROUNDS; i++) {
        shared[1] = 0;
        pid_t pid = fork();
        if (!pid) {
            make_makers();
            wait_a_little(i % 20 * 10000);
            _exit(7);
        }
        NEED(pid > 0);
        if (!CHECK_EQ(end_of(pid), 7 << 8))
            break;
    }
}

CASE(execve_finds_threads_that_are_being_made)
{
    static char *argv[] = {(char *)"worker", (char *)"--do", (char *)"threads", (char *)"x", NULL};
    static char *envp[] = {NULL};

    for (int i = 0; i < ROUNDS; i++) {
        shared[1] = 0;
        pid_t pid = fork();
        if (!pid) {
            make_makers();
            wait_a_little(i % 20 * 10000);
            execve(self, argv, envp);
            _exit(98);
        }
        NEED(pid > 0);
        if (!CHECK_EQ(end_of(pid), 0))
            break;
    }
}

static void *end_somehow(void *arg)
{
    static char *argv[] = {(char *)"worker", (char *)"--do", (char *)"exit", (char *)"5", NULL};
    static char *envp[] = {NULL};

    switch ((long)arg % 4) {
    case 0:
        _exit(5);
    case 1:
        execve(self, argv, envp);
        break;
    case 2:
        raise(SIGKILL);
        break;
    default:
        syscall(SYS_exit, 5);
    }
    return arg;
}

CASE(threads_end_a_process_in_several_ways_at_once)
{
    for (int i = 0; i < ROUNDS; i++) {
        pid_t pid = fork();
        if (!pid) {
            pthread_t thread;
            for (long n = 0; n < 6; n++)
                pthread_create(&thread, NULL, end_somehow, (void *)(n + i));
            end_somehow((void *)(long)(i % 4));
        }
        NEED(pid > 0);
        int status = end_of(pid);
        if (!CHECK(status == SIGKILL || status == 5 << 8))
            break;
    }
}

static void *crash(void *arg)
{
    __atomic_fetch_add(&shared[1], 1, __ATOMIC_SEQ_CST);
    while (shared[1] < 3)
        sched_yield();
    *(volatile int *)arg = 1;
    return arg;
}

CASE(threads_that_crash_at_once_end_the_process_once)
{
    for (int i = 0; i < 10; i++) {
        shared[1] = 0;
        pid_t pid = fork();
        if (!pid) {
            struct rlimit none = {0, 0};
            pthread_t thread;
            setrlimit(RLIMIT_CORE, &none);
            for (int n = 0; n < 3; n++)
                pthread_create(&thread, NULL, crash, NULL);
            for (;;)
                pause();
        }
        NEED(pid > 0);
        if (!CHECK_EQ(end_of(pid) & 0x7f, SIGSEGV))
            break;
    }
}

/* ---- looking at processes that come and go ---- */

static bool looking_ends; /* [A] */

static void read_all(const char *path)
{
    char buf[4096];
    int fd = open(path, O_RDONLY | O_NONBLOCK);

    while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
        ;
    if (fd >= 0)
        close(fd);
}

static void *look_at_children(void *arg)
{
    static const char *const names[] = {"stat",         "status",    "maps",  "cmdline", "environ",
                                        "fdinfo/0",     "statm",     "smaps", "io",      "limits",
                                        "task/%d/stat", "mountinfo", "sched", "comm"};
    char path[64], link[256];
    unsigned int n = (unsigned int)(long)arg;

    while (!__atomic_load_n(&looking_ends, __ATOMIC_RELAXED)) {
        long pid = shared[2 + n++ % 2];
        if (!pid) {
            sched_yield();
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%ld/%s", pid, names[n / 2 % COUNT(names)]);
        read_all(path);
        snprintf(path, sizeof(path), "/proc/%ld/%s", pid, n % 3 ? "exe" : "fd/1");
        if (readlink(path, link, sizeof(link)) < 0)
            continue;
        getpgid((pid_t)pid);
        getsid((pid_t)pid);
        setpgid((pid_t)pid, n % 2 ? (pid_t)pid : 0);
        getpriority(PRIO_PROCESS, (id_t)pid);
        struct rlimit64 limit;
        prlimit64((pid_t)pid, RLIMIT_NOFILE, NULL, &limit);
        struct timespec ts;
        clock_gettime((clockid_t)(~(unsigned int)pid << 3 | 2), &ts);
        if (n % 5 == 0)
            kill((pid_t)pid, SIGCONT);
    }
    return arg;
}

static void come_and_go(long slot, int round)
{
    static char *argv[] = {(char *)"worker", (char *)"--do", (char *)"exit", (char *)"0", NULL};
    static char *envp[] = {NULL};
    pid_t pid = round % 4 == 3 ? vfork() : fork();

    if (!pid) {
        if (round % 4 == 3)
            _exit(0);
        if (round % 2)
            execve(self, argv, envp);
        wait_a_little(round % 10 * 1000);
        _exit(0);
    }
    if (pid < 0)
        return;
    shared[2 + slot] = pid;
    int status = end_of(pid);
    CHECK_EQ(status, 0);
    shared[2 + slot] = 0;
}

static void *make_children(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        come_and_go((long)arg, i);
    return arg;
}

CASE(processes_are_looked_at_while_they_come_and_go)
{
    pthread_t lookers[3], makers[2];

    looking_ends = false;
    shared[2] = shared[3] = 0;
    for (long i = 0; i < 3; i++)
        NEED(pthread_create(&lookers[i], NULL, look_at_children, (void *)i) == 0);
    for (long i = 0; i < 2; i++)
        NEED(pthread_create(&makers[i], NULL, make_children, (void *)i) == 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(makers[i], NULL), 0);
    __atomic_store_n(&looking_ends, true, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(lookers[i], NULL), 0);
}
