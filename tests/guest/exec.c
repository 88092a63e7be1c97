/* Processes: groups and sessions, execve, what is and is not inherited, what they share. */
#define _GNU_SOURCE
#include "child.h"

#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* ---- groups, sessions, signals ---- */

CASE(groups_get_signals_together)
{
    pid_t pids[3], group = 0;
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (!pids[i])
            for (;;)
                pause();
        CHECK_EQ(setpgid(pids[i], group), 0);
        group = group ? group : pids[0];
        CHECK_EQ(getpgid(pids[i]), group);
    }
    CHECK_EQ(killpg(group, SIGUSR1), 0);
    for (int i = 0; i < 3; i++) {
        int status = 0;
        CHECK(waitpid(-group, &status, 0) > 0 && WTERMSIG(status) == SIGUSR1);
    }
    CHECK_ERR(killpg(group, 0), ESRCH);
    CHECK_ERR(waitpid(-group, NULL, 0), ECHILD);
}

static int new_session(void *arg)
{
    (void)arg;
    pid_t pid = getpid();
    if (getsid(0) == pid || setsid() != pid || getsid(0) != pid || getpgrp() != pid)
        return 1;
    return setsid() == -1 && errno == EPERM && setpgid(0, 0) == -1 && errno == EPERM ? 0 : 2;
}

CASE(sessions_are_made_by_who_leads_no_group)
{
    CHECK_EQ(in_child(new_session, NULL), 0);
    CHECK_ERR(setpgid(0, 999999), EPERM);
    CHECK_ERR(setpgid(999999, 0), ESRCH);
}

CASE(setpgid_comes_too_late_after_execve)
{
    int fds[2];
    char byte;
    NEED(pipe2(fds, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (!pid) {
        char *argv[] = {(char *)"w", (char *)"--do", (char *)"exit", (char *)"0", NULL};
        execve(self, argv, environ);
        _exit(1);
    }
    close(fds[1]);
    CHECK_EQ(read(fds[0], &byte, 1), 0);
    CHECK_ERR(setpgid(pid, pid), EACCES);
    CHECK_EQ(status_of(pid), 0);
    close(fds[0]);
}

/* ---- execve ---- */

CASE(execve_starts_a_program_anew)
{
    CHECK_EQ(run_worker("exit", "17"), 17);
    CHECK_EQ(run_worker("env", "ONLY=this"), 0);
    char *argv[] = {(char *)"x", NULL};
    CHECK_ERR(execve("/no/such", argv, environ), ENOENT);
    CHECK_ERR(execve("/", argv, environ), EACCES);
    NEED(put_file("plain", "nothing to run"));
    CHECK_ERR(execve("plain", argv, environ), EACCES);
    CHECK_ERR(execve((char *)8, argv, environ), EFAULT);
    CHECK_ERR(execve(self, (char **)8, environ), EFAULT);
}

static bool copy_self(const char *to)
{
    char buf[4096];
    ssize_t n;
    int in = open(self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
    bool good = in >= 0 && out >= 0;
    while (good && (n = read(in, buf, sizeof(buf))) > 0)
        good = write(out, buf, (size_t)n) == n;
    close(in);
    close(out);
    return good;
}

/* A process that runs @path, once it does so; or -errno of its execve. */
static pid_t started(const char *path)
{
    char *argv[] = {(char *)"worker", (char *)"--do", (char *)"stay", (char *)"", NULL};
    int fds[2], err = 0;
    if (pipe2(fds, O_CLOEXEC))
        return -1;
    pid_t pid = fork();
    if (!pid) {
        execve(path, argv, environ);
        err = errno;
        _exit(write(fds[1], &err, sizeof(err)) < 0);
    }
    close(fds[1]);
    ssize_t n = read(fds[0], &err, sizeof(err));
    close(fds[0]);
    if (n <= 0)
        return pid;
    status_of(pid);
    return -err;
}

CASE(what_runs_is_not_written_and_what_is_written_does_not_run)
{
    NEED(copy_self("copy"));
    int fd = open("copy", O_WRONLY);
    NEED(fd >= 0);
    CHECK_EQ(started("copy"), -ETXTBSY);
    close(fd);
    pid_t one = started("copy"), two = started("copy");
    NEED(one > 0 && two > 0);
    CHECK_ERR(open("copy", O_WRONLY), ETXTBSY);
    CHECK_ERR(open("copy", O_RDWR | O_CREAT, 0755), ETXTBSY);
    CHECK_ERR(open("copy", O_RDONLY | O_TRUNC), ETXTBSY);
    CHECK_ERR(truncate("copy", 0), ETXTBSY);
    fd = open("copy", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
    kill(one, SIGKILL);
    status_of(one);
    CHECK_ERR(open("copy", O_WRONLY), ETXTBSY);
    CHECK_EQ(rename("copy", "other"), 0);
    CHECK_ERR(open("other", O_WRONLY), ETXTBSY);
    kill(two, SIGKILL);
    status_of(two);
    fd = open("other", O_WRONLY);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(truncate("other", 0), 0);
    CHECK_EQ(unlink("other"), 0);
}

CASE(a_script_may_be_written_while_its_interpreter_runs)
{
    char text[100], target[64];
    ssize_t n = readlink(self, target, sizeof(target) - 1);
    NEED(n > 0);
    target[n] = 0;
    snprintf(text, sizeof(text), "#!%s --do\n", target);
    NEED(put_file("script", text) && !chmod("script", 0755));
    int fd = open("script", O_WRONLY);
    CHECK_EQ(started("script"), -ETXTBSY);
    close(fd);
    pid_t pid = fork();
    if (!pid) {
        execl("./script", "script", "0", NULL);
        _exit(97);
    }
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 99); /* --do ./script 0: not known */
    fd = open("script", O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    close(fd);
}

CASE(execve_closes_what_is_marked_so)
{
    char number[16];
    int keep = open("/dev/null", O_RDONLY), mark = open("/dev/null", O_RDONLY | O_CLOEXEC);
    snprintf(number, sizeof(number), "%d", keep);
    CHECK_EQ(run_worker("open", number), 1);
    snprintf(number, sizeof(number), "%d", mark);
    CHECK_EQ(run_worker("open", number), 0);
    close(keep);
    close(mark);
}

CASE(execve_resets_handlers_and_keeps_the_mask)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR1, ignore_it);
    signal(SIGUSR2, SIG_IGN);
    CHECK_EQ(run_worker("signals", "-"), 0);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void *exec_in_thread(void *arg)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", getpid());
    char *argv[] = {(char *)"w", (char *)"--do", arg, number, NULL};
    execve(self, argv, environ);
    _exit(97);
}

static void *sleep_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

CASE(execve_of_one_thread_ends_the_others)
{
    const char *what[] = {"tid", "threads"};
    for (unsigned i = 0; i < COUNT(what); i++) {
        pid_t pid = fork();
        if (!pid) {
            pthread_t thread;
            pthread_create(&thread, NULL, sleep_for_ever, NULL);
            pthread_create(&thread, NULL, exec_in_thread, (void *)(uintptr_t)what[i]);
            sleep_for_ever(NULL);
        }
        CHECK_EQ(status_of(pid), 0);
    }
}

CASE(execveat_takes_descriptors)
{
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    char *argv[] = {(char *)"w", (char *)"--do", (char *)"exit", (char *)"44", NULL};
    pid_t pid = fork();
    if (!pid) {
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(1);
    }
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 44);
    CHECK_ERR(syscall(SYS_execveat, fd, "", argv, environ, 0), ENOENT);
    CHECK_ERR(syscall(SYS_execveat, -5, "x", argv, environ, 0), EBADF);
    close(fd);
}

/* ---- what is not inherited ---- */

static int has_no_timer(void *arg)
{
    struct itimerval left = {0};
    (void)arg;
    getitimer(ITIMER_REAL, &left);
    sigset_t set;
    sigpending(&set);
    return left.it_value.tv_sec || sigismember(&set, SIGUSR2) ? 1 : 0;
}

CASE(timers_and_pending_signals_are_not_inherited)
{
    struct itimerval later = {.it_value = {.tv_sec = 100}}, none = {0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    setitimer(ITIMER_REAL, &later, NULL);
    CHECK_EQ(in_child(has_no_timer, NULL), 0);
    setitimer(ITIMER_REAL, &none, NULL);
    struct timespec now = {0};
    CHECK_EQ(sigtimedwait(&set, NULL, &now), SIGUSR2);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

CASE(record_locks_belong_to_a_process)
{
    NEED(put_file("locked", "x"));
    int fd = open("locked", O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    pid_t parent = getpid(), pid = fork();
    if (!pid) {
        struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_SETLK, &other) != -1 || errno != EAGAIN)
            _exit(1);
        fcntl(fd, F_GETLK, &other);
        _exit(other.l_type == F_WRLCK && other.l_pid == parent ? 0 : 2);
    }
    CHECK_EQ(status_of(pid), 0);
    lock.l_type = F_UNLCK;
    fcntl(fd, F_SETLK, &lock);
    pid = fork();
    if (!pid) { /* ends with a lock */
        lock.l_type = F_WRLCK;
        _exit(fcntl(fd, F_SETLK, &lock));
    }
    CHECK_EQ(status_of(pid), 0);
    lock.l_type = F_WRLCK;
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    close(fd);
}

CASE(flock_belongs_to_the_open_file)
{
    NEED(put_file("flocked", "x"));
    int fd = open("flocked", O_RDWR);
    CHECK_EQ(flock(fd, LOCK_EX), 0);
    pid_t pid = fork();
    if (!pid) {
        int other = open("flocked", O_RDWR);
        bool refused = flock(other, LOCK_EX | LOCK_NB) == -1;
        _exit(refused && flock(fd, LOCK_UN) == 0 && flock(other, LOCK_EX | LOCK_NB) == 0 ? 0 : 1);
    }
    CHECK_EQ(status_of(pid), 0);
    close(fd);
}

/* ---- between processes ---- */

CASE(pipes_and_sockets_connect_processes)
{
    int pair[2], out[2];
    char text[32] = "";
    NEED(pipe(out) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t pid = fork();
    if (!pid) {
        close(out[0]);
        close(pair[0]);
        ssize_t n = read(pair[1], text, sizeof(text));
        _exit(n > 0 && write(out[1], text, (size_t)n) == n ? 0 : 1);
    }
    close(out[1]);
    close(pair[1]);
    CHECK_EQ(write(pair[0], "through", 7), 7);
    CHECK_EQ(read(out[0], text, sizeof(text)), 7);
    CHECK(!strcmp(text, "through"));
    CHECK_EQ(status_of(pid), 0);
    CHECK_EQ(read(out[0], text, sizeof(text)), 0);
    close(out[0]);
    close(pair[0]);
}

CASE(a_writer_whose_reader_has_ended_gets_sigpipe)
{
    int fds[2];
    NEED(pipe(fds) == 0);
    pid_t pid = fork();
    if (!pid) {
        char block[4096] = "";
        close(fds[0]);
        for (;;)
            if (write(fds[1], block, sizeof(block)) < 0)
                _exit(1);
    }
    close(fds[1]);
    sleep_ms(10);
    close(fds[0]);
    CHECK_EQ(WTERMSIG(status_of(pid)), SIGPIPE);
}

static long futex(int *word, int op, int value)
{
    return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

CASE(futexes_in_shared_memory_wake_other_processes)
{
    int *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(word != MAP_FAILED);
    pid_t pid = fork();
    if (!pid) {
        while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0)
            futex(word, FUTEX_WAIT, 0);
        _exit(0);
    }
    sleep_ms(20);
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    futex(word, FUTEX_WAKE, 1);
    CHECK_EQ(status_of(pid), 0);
    munmap(word, 4096);
}

CASE(robust_mutexes_outlive_their_owner)
{
    pthread_mutex_t *mutex =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    NEED(mutex != MAP_FAILED && pthread_mutex_init(mutex, &attr) == 0);
    pid_t pid = fork();
    if (!pid) {
        pthread_mutex_lock(mutex);
        raise(SIGKILL);
    }
    CHECK_EQ(WTERMSIG(status_of(pid)), SIGKILL);
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    munmap(mutex, 4096);
}

/* A PI lock that each process has elsewhere. */
struct elsewhere {
    pthread_mutex_t mutex;
    int raw, condition, taken, died;
};

static struct elsewhere *mapped(int fd, long page)
{
    char *at = mmap(NULL, 9 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mmap(at + page * 4096, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
}

/** Die with the lock at @word once @nr processes wait; false: they do not come. */
static bool die_with(int *word, struct elsewhere *e, int nr)
{
    for (int i = 0; i < 500; i++) {
        if (*(volatile int *)word & FUTEX_WAITERS && *(volatile int *)&e->taken == nr) {
            sleep_ms(30);
            raise(SIGKILL);
        }
        sleep_ms(10);
    }
    return false;
}

static int count_in(int *number)
{
    return __atomic_add_fetch(number, 1, __ATOMIC_SEQ_CST);
}

static int wait_for_the_mutex(int fd, long page)
{
    struct elsewhere *e = mapped(fd, page);
    count_in(&e->taken);
    if (pthread_mutex_lock(&e->mutex) != EOWNERDEAD)
        return 1;
    if (count_in(&e->died) == 1)
        raise(SIGKILL); /* once more */
    return pthread_mutex_consistent(&e->mutex) || pthread_mutex_unlock(&e->mutex) ? 2 : 0;
}

CASE(a_robust_pi_mutex_at_other_addresses_outlives_its_owner)
{
    int fd = memfd_create("lock", 0), ready[2];
    pthread_mutexattr_t attr;
    pid_t pid[3];
    char c;

    NEED(fd >= 0 && ftruncate(fd, 4096) == 0 && pipe(ready) == 0);
    struct elsewhere *e = mapped(fd, 8);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    NEED(e != MAP_FAILED && pthread_mutex_init(&e->mutex, &attr) == 0);
    if (!(pid[0] = fork())) {
        pthread_mutex_lock(&e->mutex);
        _exit(write(ready[1], "x", 1) == 1 ? die_with(&e->mutex.__data.__lock, e, 2) : 3);
    }
    NEED(read(ready[0], &c, 1) == 1);
    for (long i = 1; i < 3; i++) {
        pid[i] = fork();
        if (!pid[i]) {
            alarm(10);
            _exit(wait_for_the_mutex(fd, i));
        }
    }
    CHECK_EQ(status_of(pid[0]), SIGKILL);
    CHECK_EQ(status_of(pid[1]) + status_of(pid[2]), SIGKILL); /* one of both */
    CHECK_EQ(e->died, 2);
    CHECK_EQ(e->mutex.__data.__lock & FUTEX_TID_MASK, 0);
    munmap(e, 4096);
    close(fd), close(ready[0]), close(ready[1]);
}

/* By the bare calls, whose owner is in no list of robust locks. */
static int wait_for_the_word(int fd, bool moved)
{
    struct timespec until;
    struct elsewhere *e = mapped(fd, 3);
    clock_gettime(moved ? CLOCK_MONOTONIC : CLOCK_REALTIME, &until);
    until.tv_sec += 8;
    count_in(&e->taken);
    long got = moved
                   ? syscall(SYS_futex, &e->condition, FUTEX_WAIT_REQUEUE_PI, 0, &until, &e->raw, 0)
                   : syscall(SYS_futex, &e->raw, FUTEX_LOCK_PI, 0, &until, NULL, 0);
    if (got)
        return errno;
    if ((*(volatile int *)&e->raw & ~FUTEX_WAITERS) != ((unsigned)gettid() | FUTEX_OWNER_DIED))
        return 201;
    return syscall(SYS_futex, &e->raw, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) ? 202 : 0;
}

static void outlive(bool moved)
{
    int fd = memfd_create("lock", 0);
    NEED(fd >= 0 && ftruncate(fd, 4096) == 0);
    struct elsewhere *e = mapped(fd, 8);
    NEED(e != MAP_FAILED);
    pid_t owner = fork();
    if (!owner) {
        e->raw = gettid();
        for (int i = 0; moved && i < 500; i++, sleep_ms(10))
            if (syscall(SYS_futex, &e->condition, FUTEX_CMP_REQUEUE_PI, 1, (void *)9L, &e->raw,
                        e->condition) == 1)
                break;
        _exit(die_with(&e->raw, e, 1));
    }
    while (!*(volatile int *)&e->raw)
        sleep_ms(1);
    pid_t heir = fork();
    if (!heir)
        _exit(wait_for_the_word(fd, moved));
    CHECK_EQ(status_of(owner), SIGKILL);
    CHECK_EQ(status_of(heir), 0);
    munmap(e, 4096);
    close(fd);
}

CASE(a_pi_lock_at_another_address_is_inherited)
{
    outlive(false);
}

CASE(a_pi_lock_that_a_condition_waits_for_is_inherited)
{
    outlive(true);
}

CASE(who_goes_is_told_of_no_message_though_his_child_has_the_queue)
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    char c, name[32];
    int fds[2];

    snprintf(name, sizeof(name), "/ingot-exec-%d", getpid());
    int q = (int)mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
    NEED(q >= 0 && pipe(fds) == 0);
    pid_t pid = fork();
    if (!pid) {
        int err = mq_notify(q, &event);
        if (!fork()) {
            close(fds[1]);
            sleep_ms(1000); /* and has the queue meanwhile */
            _exit(0);
        }
        _exit(err ? errno : 0);
    }
    CHECK_EQ(status_of(pid), 0);
    CHECK_EQ(mq_notify(q, &event), 0);
    close(fds[1]);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    close(fds[0]);
    mq_close(q), mq_unlink(name);
}

CASE(a_pidfd_takes_files_and_sends_signals)
{
    int fds[2];
    NEED(pipe(fds) == 0);
    pid_t pid = fork();
    if (!pid)
        for (;;)
            pause();
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    NEED(pidfd >= 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 0), 0);
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fds[0], 0);
    CHECK(copy >= 0 && fcntl(copy, F_GETFD) == FD_CLOEXEC);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0), 0);
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(WTERMSIG(status_of(pid)), SIGKILL);
    close(pidfd);
    close(copy);
    close(fds[0]);
    close(fds[1]);
}

/* ---- limits and accounts ---- */

static int forks_are_refused(void *arg)
{
    (void)arg;
    struct rlimit limit = {1, 1};
    setrlimit(RLIMIT_NPROC, &limit);
    if (setuid(65534))
        return 2;
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    return pid < 0 && errno == EAGAIN ? 0 : 1;
}

CASE(the_number_of_processes_is_limited)
{
    if (getuid() == 0)
        CHECK_EQ(in_child(forks_are_refused, NULL), 0);
}

static long long us_of(const struct rusage *r)
{
    return (r->ru_utime.tv_sec + r->ru_stime.tv_sec) * 1000000LL + r->ru_utime.tv_usec +
           r->ru_stime.tv_usec;
}

CASE(time_of_children_is_counted)
{
    struct rusage before, after, own;
    struct tms tms;
    getrusage(RUSAGE_CHILDREN, &before);
    pid_t pid = fork();
    if (!pid) {
        while (clock() < CLOCKS_PER_SEC / 25)
            ;
        _exit(0);
    }
    int status;
    CHECK_EQ(wait4(pid, &status, 0, &own), pid);
    getrusage(RUSAGE_CHILDREN, &after);
    CHECK(us_of(&own) >= 20000);
    CHECK(us_of(&after) > us_of(&before));
    CHECK(times(&tms) != (clock_t)-1 && tms.tms_cutime + tms.tms_cstime >= 1);
}

CASE(proc_shows_every_process)
{
    char path[64], want[64];
    pid_t pid = fork();
    if (!pid) {
        prctl(PR_SET_NAME, "the-child");
        for (;;)
            pause();
    }
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    snprintf(want, sizeof(want), "PPid:\t%d\n", getpid());
    for (int i = 0; i < 10000 && !strstr(get_file(path), "the-child"); i++)
        sleep_ms(1);
    CHECK(strstr(get_file(path), want) && strstr(get_file(path), "the-child"));
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    CHECK(strstr(get_file(path), "[stack]") != NULL);
    snprintf(path, sizeof(path), "/proc/%d/fd/0", pid);
    CHECK(access("/proc/self/fd/0", F_OK) != 0 || readlink(path, want, sizeof(want)) > 0);
    kill(pid, SIGKILL);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    CHECK(strstr(get_file(path), ") Z ") != NULL);
    status_of(pid);
    CHECK_EQ(get_file(path)[0], 0);
}

CASE(many_children_come_and_go)
{
    for (int round = 0; round < 200; round++) {
        pid_t pid = fork();
        NEED(pid >= 0);
        if (!pid)
            _exit(round & 127);
        NEED(WEXITSTATUS(status_of(pid)) == (round & 127));
    }
    pid_t pids[20];
    for (int i = 0; i < 20; i++) {
        pids[i] = fork();
        NEED(pids[i] >= 0);
        if (!pids[i])
            _exit(i);
    }
    for (int i = 19; i >= 0; i--)
        CHECK_EQ(WEXITSTATUS(status_of(pids[i])), i);
}

static void *fork_in_thread(void *arg)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (!pid)
            _exit(5);
        if (pid < 0 || WEXITSTATUS(status_of(pid)) != 5)
            return (void *)1;
    }
    return arg;
}

CASE(threads_fork_at_the_same_time)
{
    pthread_t threads[4];
    void *result;
    for (int i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, fork_in_thread, NULL) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        CHECK(result == NULL);
    }
}

/* ---- another process's memory ---- */

CASE(a_childs_memory_is_read_and_written)
{
    int ready[2], go[2], status;
    char c, text[16] = "",
            *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec local = {text, 6}, remote = {p + 4093, 6};
    NEED(!pipe(ready) && !pipe(go) && p != MAP_FAILED);
    memcpy(p + 4093, "before", 6);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (!pid) {
        close(go[1]);
        memcpy(p + 4093, "child!", 6); /* across two pages */
        if (write(ready[1], "", 1) != 1 || read(go[0], &c, 1))
            _exit(1);
        _exit(memcmp(p + 4093, "parent", 6) ? 2 : 0);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 6);
    CHECK(!memcmp(text, "child!", 6) && !memcmp(p + 4093, "before", 6));
    memcpy(text, "parent", 6);
    CHECK_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 6);
    CHECK(!memcmp(p + 4093, "before", 6));
    struct iovec code = {(void *)(uintptr_t)&in_child, 6};
    CHECK_ERR(process_vm_writev(pid, &local, 1, &code, 1, 0), EFAULT);
    char folder[32];
    snprintf(folder, sizeof(folder), "/proc/%d", pid);
    int dir = open(folder, O_RDONLY | O_DIRECTORY), none = open("/proc", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0), 0); /* as good as a pidfd */
    CHECK_ERR(syscall(SYS_pidfd_send_signal, none, 0, NULL, 0), EBADF);
    close(go[1]);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0), ESRCH);
    close(dir), close(none), close(go[0]), close(ready[0]), close(ready[1]);
    munmap(p, 8192);
}
