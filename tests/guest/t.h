/* The harness of the guest tests: a static program a system-call family, which must pass on Linux
 * before it may judge Ingot.  No shell, since the guest has none; fork in fork.c alone.
 *
 *     CASE(pipe_gives_eof_after_the_last_writer)
 *     {
 *         NEED(pipe(fds) == 0);
 *         CHECK_ERR(write(fds[0], "x", 1), EBADF);
 *     }
 *
 * Prints `ok NAME` or `not ok NAME` a case and `1..N` at the end; the exit status is the number of
 * failed cases, at most 100.  Arguments: only the named cases.  Each program runs in a fresh, empty
 * directory of its own. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct t_case {
    const char *name;
    void (*run)(void);
    struct t_case *next;
};

static struct t_case *t_cases, **t_last = &t_cases;
static unsigned int t_problems; /* of the running case; atomic, threads check too */
static jmp_buf t_end;           /* NEED() leaves the case here */
static char t_dir[64];

#define CASE(id)                                                                                   \
    static void case_##id(void);                                                                   \
    __attribute__((constructor)) static void t_register_##id(void)                                 \
    {                                                                                              \
        static struct t_case c = {.name = #id, .run = case_##id};                                  \
        *t_last = &c;                                                                              \
        t_last = &c.next;                                                                          \
    }                                                                                              \
    static void case_##id(void)

__attribute__((format(printf, 2, 3), unused)) static void t_problem(int line, const char *fmt, ...)
{
    char text[300];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    __atomic_fetch_add(&t_problems, 1, __ATOMIC_SEQ_CST);
    printf("# line %d: %s\n", line, text);
}

__attribute__((unused)) static bool t_check(int line, bool good, const char *text)
{
    int err = errno;
    if (!good)
        t_problem(line, "%s (errno %d %s)", text, err, strerror(err));
    return good;
}

__attribute__((unused)) static bool t_check_eq(int line, long long got, long long want,
                                               const char *text)
{
    int err = errno;
    if (got != want)
        t_problem(line, "%s is %lld, want %lld (errno %d %s)", text, got, want, err, strerror(err));
    return got == want;
}

__attribute__((unused)) static bool t_check_err(int line, long long got, int err, int want,
                                                const char *text)
{
    if (got != -1)
        t_problem(line, "%s gave %lld, want error %s", text, got, strerror(want));
    else if (err != want)
        t_problem(line, "%s: errno %d %s, want %s", text, err, strerror(err), strerror(want));
    return got == -1 && err == want;
}

/** The condition holds; else the case fails and goes on. */
#define CHECK(cond) t_check(__LINE__, (cond), #cond)
/** Two integers are equal. */
#define CHECK_EQ(got, want) t_check_eq(__LINE__, (long long)(got), (long long)(want), #got)
/** The call gives -1 and errno is @want. */
#define CHECK_ERR(call, want)                                                                      \
    ({                                                                                             \
        errno = 0;                                                                                 \
        long long t_got = (long long)(call);                                                       \
        t_check_err(__LINE__, t_got, errno, want, #call);                                          \
    })
/** The condition holds; else the case ends here.  Main thread only. */
#define NEED(cond)                                                                                 \
    do {                                                                                           \
        if (!t_check(__LINE__, (cond), #cond))                                                     \
            longjmp(t_end, 1);                                                                     \
    } while (0)

/** Milliseconds of CLOCK_MONOTONIC. */
__attribute__((unused)) static long long now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

__attribute__((unused)) static void sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) && errno == EINTR)
        ;
}

/** Make a file with the given text; false when it fails. */
__attribute__((unused)) static bool put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return false;
    bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return good;
}

/** The file's first bytes as a string, in a buffer the next call uses again; "" on an error. */
__attribute__((unused)) static const char *get_file(const char *path)
{
    static char text[65536];
    size_t len = 0;
    ssize_t n;

    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return "";
    while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    text[len] = 0;
    return text;
}

/** Until the task of this "/proc/.../stat" sleeps, so that it waits for what it was to wait for. */
__attribute__((unused)) static bool falls_asleep(const char *stat)
{
    int seen = 0;

    for (int ms = 0; ms < 20000 && seen < 3; ms++) { /* thrice: no lock on its way there */
        const char *state = strrchr(get_file(stat), ')');
        seen = state && !strncmp(state, ") S ", 4) ? seen + 1 : 0;
        sleep_ms(1);
    }
    return seen == 3;
}

/** The same of the thread @tid points to, which is 0 until it is on its way there. */
__attribute__((unused)) static bool thread_falls_asleep(const pid_t *tid)
{
    char stat[64];

    for (int ms = 0; ms < 20000 && !__atomic_load_n(tid, __ATOMIC_SEQ_CST); ms++)
        sleep_ms(1);
    snprintf(stat, sizeof(stat), "/proc/self/task/%d/stat", __atomic_load_n(tid, __ATOMIC_SEQ_CST));
    return falls_asleep(stat);
}

static int t_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    remove(path);
    return 0;
}

static void t_leave_dir(void)
{
    if (chdir("/") == 0)
        nftw(t_dir, t_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool t_is_wanted(const struct t_case *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], c->name))
            return true;
    return argc < 2;
}

static bool t_run(const struct t_case *c)
{
    t_problems = 0;
    if (setjmp(t_end) == 0)
        c->run();
    printf("%s %s\n", t_problems ? "not ok" : "ok", c->name);
    return t_problems == 0;
}

int main(int argc, char **argv)
{
    unsigned int failed = 0, count = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    mkdir("/tmp", 01777);
    strcpy(t_dir, "/tmp/guest-test-XXXXXX");
    if (!mkdtemp(t_dir) || chdir(t_dir)) {
        printf("not ok a_directory_to_work_in: %s\n", strerror(errno));
        return 100;
    }
    atexit(t_leave_dir);
    for (struct t_case *c = t_cases; c; c = c->next) {
        if (!t_is_wanted(c, argc, argv))
            continue;
        failed += !t_run(c);
        count++;
    }
    printf("1..%u\n", count);
    return failed > 100 ? 100 : (int)failed;
}
