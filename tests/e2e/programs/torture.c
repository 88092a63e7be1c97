/* Processes, threads, signals, stops, timers and execve all at once, at random: for a kernel that
 * checks itself.  torture SECONDS SEED.  At the end nobody may be left, and it says "over". */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FAMILIES = 4, CHILDREN = 6, THREADS = 4 };

static const char *self;
static volatile sig_atomic_t signals;
static uint64_t state;

static unsigned any(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 32) % below;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void nap_us(unsigned us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
}

static void die(const char *what)
{
    fprintf(stderr, "torture[%d]: %s: %s\n", getpid(), what, strerror(errno));
    _exit(1);
}

static void count(int sig)
{
    (void)sig;
    signals++;
}

static void handle_all(void)
{
    struct sigaction act = {.sa_handler = count, .sa_flags = SA_RESTART};
    static const int caught[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF};

    for (size_t i = 0; i < sizeof(caught) / sizeof(*caught); i++)
        sigaction(caught[i], &act, NULL);
}

static void *work_a_little(void *arg)
{
    volatile char *p =
        mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; p != MAP_FAILED && i < 16; i++)
        p[i << 12] = 1;
    nap_us((unsigned)(uintptr_t)arg);
    if (p != MAP_FAILED)
        munmap((void *)(uintptr_t)p, 1 << 16);
    return NULL;
}

static void run_threads(unsigned nr)
{
    pthread_t threads[THREADS];
    unsigned made = 0;

    while (made < nr &&
           !pthread_create(&threads[made], NULL, work_a_little, (void *)(uintptr_t)any(500)))
        made++;
    for (unsigned i = 0; i < made; i++) {
        if (any(2))
            pthread_kill(threads[i], SIGUSR2);
        pthread_join(threads[i], NULL);
    }
}

static void start_timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec spec = {{0, 1000 * (1 + any(900))}, {0, 1000 * (1 + any(900))}};
    struct itimerval interval = {{0, 200 + any(900)}, {0, 200 + any(900)}};
    timer_t timer;

    if (!timer_create(any(2) ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &event, &timer))
        timer_settime(timer, 0, &spec, NULL);
    setitimer(any(2) ? ITIMER_REAL : ITIMER_PROF, &interval, NULL);
}

/* What a child does; many never come to the end. */
static void child(void)
{
    if (any(3) == 0)
        start_timers();
    if (any(3) == 0)
        run_threads(any(THREADS + 1));
    switch (any(5)) {
    case 0:
        execl(self, self, "leaf", NULL);
        die("execl");
        break;
    case 1: /* exits while its threads run */
        for (int i = 0; i < 2; i++) {
            pthread_t thread;
            if (!pthread_create(&thread, NULL, work_a_little, (void *)2000000))
                pthread_detach(thread);
        }
        break;
    case 2: { /* and a grandchild that nobody waits for */
        pid_t pid = fork();
        if (!pid)
            nap_us(any(3000));
        break;
    }
    default:
        nap_us(any(2000));
    }
    _exit(7);
}

static pid_t new_child(void)
{
    uint64_t seed = state ^ ((uint64_t)any(1u << 30) << 32 | 1);
    pid_t pid = fork();

    if (!pid) {
        state = seed;
        child();
    }
    return pid < 0 ? 0 : pid; /* none to be had: the limit */
}

static void disturb(pid_t pid)
{
    static const int some[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGSTOP,
                               SIGCONT, SIGCONT, SIGKILL, SIGTERM};

    kill(pid, some[any(sizeof(some) / sizeof(*some))]);
}

static void end_child(pid_t pid)
{
    int status;

    kill(pid, SIGCONT);
    if (any(2))
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, WUNTRACED) != pid || WIFSTOPPED(status)) {
        if (errno == ECHILD)
            die("a child is lost");
        kill(pid, SIGCONT);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 7)
        die("a child failed");
}

static int family(double end)
{
    pid_t children[CHILDREN] = {0};

    while (now() < end) {
        pid_t *slot = &children[any(CHILDREN)];
        if (!*slot)
            *slot = new_child();
        else if (any(3))
            disturb(*slot);
        else
            end_child(*slot), *slot = 0;
        if (any(4) == 0)
            nap_us(any(300));
    }
    for (int i = 0; i < CHILDREN; i++)
        if (children[i])
            end_child(children[i]);
    return 0;
}

static int processes(void)
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    int n = 0;

    while (dir && (e = readdir(dir)))
        n += *e->d_name >= '1' && *e->d_name <= '9';
    if (dir)
        closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "leaf"))
        return 7;
    if (argc != 3)
        return 2;
    self = argv[0];
    handle_all();
    double end = now() + atof(argv[1]);
    pid_t families[FAMILIES];
    int failed = 0, status;
    for (int i = 0; i < FAMILIES; i++) {
        state = (uint64_t)atoll(argv[2]) * 2654435761u + (uint64_t)i * 40503 + 1;
        families[i] = fork();
        if (families[i] < 0)
            die("fork");
        if (!families[i])
            _exit(family(end));
    }
    for (int i = 0; i < FAMILIES; i++)
        failed += waitpid(families[i], &status, 0) != families[i] || status;
    for (int tries = 0; getpid() == 1 && processes() > 1 && tries < 5000; tries++) {
        while (waitpid(-1, &status, WNOHANG) > 0) /* grandchildren come to the first process */
            ;
        nap_us(1000);
    }
    if (getpid() == 1 && processes() > 1)
        failed++, fprintf(stderr, "torture: %d processes are left\n", processes());
    puts(failed ? "failed" : "over");
    return !!failed;
}
