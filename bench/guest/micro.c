/* Operations in loops between two marks, for the plugin to count instructions a call.
 * Prints a line `op NAME ROUNDS` before each pair of marks; each operation is measured three times
 * after a warm-up.  The operation `loop` is the loop itself, to be taken off the others. */
#include "plugin/marker.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MARK_START = 1, MARK_STOP = 2, PAGE = 4096, MANY = 400, MEASURES = 3 };

static int fds[2], back[2], file, epoll_one, epoll_many;
static char buf[PAGE];
static volatile long sink;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void must(long result, const char *what)
{
    if (result < 0)
        die(what);
}

static void op_loop(int n)
{
    for (int i = 0; i < n; i++)
        sink = i;
}

static void op_getpid(int n)
{
    for (int i = 0; i < n; i++)
        sink = syscall(SYS_getpid);
}

static void op_clock_gettime(int n)
{
    struct timespec ts;
    for (int i = 0; i < n; i++)
        sink = clock_gettime(CLOCK_MONOTONIC, &ts);
}

static void op_futex_wake(int n)
{
    static int word;
    for (int i = 0; i < n; i++)
        sink = syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void op_epoll_one(int n)
{
    struct epoll_event events[8];
    for (int i = 0; i < n; i++)
        sink = epoll_wait(epoll_one, events, 8, 0);
}

static void op_epoll_many(int n)
{
    struct epoll_event events[8];
    for (int i = 0; i < n; i++)
        sink = epoll_wait(epoll_many, events, 8, 0);
}

static void op_pipe(int n)
{
    for (int i = 0; i < n; i++) {
        must(write(fds[1], buf, 1), "write");
        must(read(fds[0], buf, 1), "read");
    }
}

static void op_pread_1(int n)
{
    for (int i = 0; i < n; i++)
        must(pread(file, buf, 1, 100), "pread");
}

static void op_pread_4k(int n)
{
    for (int i = 0; i < n; i++)
        must(pread(file, buf, PAGE, 0), "pread");
}

static void op_pwrite_4k(int n)
{
    for (int i = 0; i < n; i++)
        must(pwrite(file, buf, PAGE, 0), "pwrite");
}

static void op_open_close(int n)
{
    for (int i = 0; i < n; i++) {
        int fd = open("/tmp/bench", O_RDONLY);
        must(fd, "open");
        close(fd);
    }
}

static void op_stat(int n)
{
    struct stat st;
    for (int i = 0; i < n; i++)
        must(stat("/tmp/bench", &st), "stat");
}

static void *map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die("mmap");
    return p;
}

static void op_mmap_munmap(int n)
{
    for (int i = 0; i < n; i++)
        munmap(map(PAGE), PAGE);
}

static void op_mmap_touch_munmap(int n)
{
    for (int i = 0; i < n; i++) {
        char *p = map(PAGE);
        *p = 1;
        munmap(p, PAGE);
    }
}

static char *region;
static void op_fault(int n)
{
    for (int i = 0; i < n; i++)
        region[(size_t)i * PAGE] = 1;
}

static void *nothing(void *arg)
{
    return arg;
}

static void op_thread(int n)
{
    pthread_t thread;
    for (int i = 0; i < n; i++) {
        if (pthread_create(&thread, NULL, nothing, NULL))
            die("pthread_create");
        pthread_join(thread, NULL);
    }
}

static void op_fork(int n)
{
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (!pid)
            _exit(0);
        must(waitpid(pid, NULL, 0), "waitpid");
    }
}

static char *program; /* this one: with the argument "exit" it does nothing else */

static void op_spawn(int n)
{
    static char word[] = "exit";
    char *argv[] = {program, word, NULL}, *envp[] = {NULL};
    pid_t pid;
    for (int i = 0; i < n; i++) {
        if (posix_spawn(&pid, program, NULL, NULL, argv, envp))
            die("posix_spawn");
        must(waitpid(pid, NULL, 0), "waitpid");
    }
}

static void *answer(void *arg)
{
    char c;
    while (read(fds[0], &c, 1) == 1 && c != 'q')
        must(write(back[1], &c, 1), "write");
    return arg;
}

static void op_ping_pong(int n)
{
    char c = 'p';
    for (int i = 0; i < n; i++) {
        must(write(fds[1], &c, 1), "write");
        must(read(back[0], &c, 1), "read");
    }
}

static int ball;

/* Half a round: wait for the ball to be @mine, then throw it back. */
static void throw_back(int mine)
{
    int now;

    while ((now = __atomic_load_n(&ball, __ATOMIC_ACQUIRE)) % 2 != mine)
        syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, now, NULL);
    __atomic_store_n(&ball, now + 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1);
}

static void *throw_all_back(void *rounds)
{
    for (int i = 0; i < (int)(long)rounds; i++)
        throw_back(1);
    return rounds;
}

static void op_futex_ping_pong(int n)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, throw_all_back, (void *)(long)n))
        die("pthread_create");
    for (int i = 0; i < n; i++)
        throw_back(0);
    pthread_join(thread, NULL);
}

static const struct op {
    const char *name;
    void (*run)(int n);
    int rounds;
} ops[] = {
    {"loop", op_loop, 1000},
    {"fork_exit_wait", op_fork, 50},
    {"posix_spawn", op_spawn, 50},
    {"getpid", op_getpid, 1000},
    {"clock_gettime", op_clock_gettime, 1000},
    {"futex_wake", op_futex_wake, 1000},
    {"epoll_wait_1", op_epoll_one, 1000},
    {"epoll_wait_400", op_epoll_many, 1000},
    {"pipe_write_read", op_pipe, 1000},
    {"pread_1", op_pread_1, 1000},
    {"pread_4k", op_pread_4k, 500},
    {"pwrite_4k", op_pwrite_4k, 500},
    {"open_close", op_open_close, 500},
    {"stat", op_stat, 500},
    {"mmap_munmap", op_mmap_munmap, 500},
    {"mmap_touch_munmap", op_mmap_touch_munmap, 500},
    {"fault", op_fault, 500},
    {"pthread_create_join", op_thread, 100},
    {"pipe_ping_pong", op_ping_pong, 300},
    {"futex_ping_pong", op_futex_ping_pong, 1000},
};

static void set_up(void)
{
    struct epoll_event event = {.events = EPOLLIN};

    mkdir("/tmp", 0755);
    file = open("/tmp/bench", O_RDWR | O_CREAT | O_TRUNC, 0644);
    must(file, "/tmp/bench");
    must(write(file, buf, PAGE), "write");
    must(pipe(fds), "pipe");
    must(pipe(back), "pipe");
    must(epoll_one = epoll_create1(0), "epoll_create1");
    must(epoll_many = epoll_create1(0), "epoll_create1");
    must(epoll_ctl(epoll_one, EPOLL_CTL_ADD, fds[0], &event), "epoll_ctl");
    for (int i = 0; i < MANY; i++)
        must(epoll_ctl(epoll_many, EPOLL_CTL_ADD, eventfd(0, 0), &event), "epoll_ctl");
}

static void measure(const struct op *op)
{
    bool faults = op->run == op_fault;

    for (int i = 0; i <= MEASURES; i++) {
        if (faults) {
            region = map((size_t)op->rounds * PAGE);
            madvise(region, (size_t)op->rounds * PAGE, MADV_NOHUGEPAGE);
        }
        if (i > 0) {
            printf("op %s %d\n", op->name, op->rounds);
            fflush(stdout);
            MARK(MARK_START);
            op->run(op->rounds);
            MARK(MARK_STOP);
        } else {
            op->run(op->rounds / 10 + 1);
        }
        if (faults)
            munmap(region, (size_t)op->rounds * PAGE);
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc > 1 && !strcmp(argv[1], "exit"))
        _exit(0);
    program = argv[0];
    bool is_init = argc > 1 && !strcmp(argv[1], "reboot");
    if (is_init) { /* where the C library of a static program looks for its own name, as everywhere
                    */
        mkdir("/proc", 0755);
        if (mount("proc", "/proc", "proc", 0, NULL))
            die("mount");
    }
    const char *only = argc > 1 && !is_init ? argv[1] : NULL; /* for bench/profile.py */

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (ops[i].run == op_getpid) /* fork is measured with the usual three descriptors */
            set_up();
        if (ops[i].run == op_ping_pong && pthread_create(&thread, NULL, answer, NULL))
            die("pthread_create");
        if (!only || !strcmp(only, ops[i].name))
            measure(&ops[i]);
    }
    must(write(fds[1], "q", 1), "write");
    pthread_join(thread, NULL);
    puts("done");
    fflush(stdout);
    if (is_init)
        reboot(RB_AUTOBOOT);
    return 0;
}
