/* Processes: fork and its kin, copy on write, wait, orphans. */
#define _GNU_SOURCE
#include "child.h"

#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* ---- fork and memory ---- */

CASE(a_child_returns_zero_and_its_exit_code_arrives)
{
    pid_t parent = getpid(), pid = fork();
    NEED(pid >= 0);
    if (!pid)
        _exit(getppid() == parent && getpid() != parent ? 42 : 1);
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
}

static volatile int global = 1;

static int change_memory(void *arg)
{
    volatile char *heap = arg;
    int seen = global == 1 && heap[0] == 'a' && heap[70000] == 'b';
    global = 2;
    heap[0] = 'x';
    heap[70000] = 'y';
    return seen && global == 2 && heap[0] == 'x' ? 0 : 1;
}

CASE(memory_is_copied_when_it_is_written)
{
    char *heap = malloc(100000);
    heap[0] = 'a';
    heap[70000] = 'b';
    global = 1;
    CHECK_EQ(in_child(change_memory, heap), 0);
    CHECK(global == 1 && heap[0] == 'a' && heap[70000] == 'b');
    pid_t pid = fork();
    if (!pid) {
        sleep_ms(30); /* until the parent has written */
        _exit(heap[0] == 'a' && global == 1 ? 0 : 1);
    }
    heap[0] = 'p';
    global = 3;
    CHECK_EQ(status_of(pid), 0);
    CHECK(heap[0] == 'p' && global == 3);
    free(heap);
}

CASE(large_areas_survive_many_generations)
{
    enum { BYTES = 6 << 20 };
    char *big = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(big != MAP_FAILED);
    for (int i = 0; i < BYTES; i += 4096)
        big[i] = (char)(i >> 12);
    pid_t pid = fork();
    if (!pid) {
        pid_t grandchild = fork();
        if (!grandchild) {
            for (int i = 0; i < BYTES; i += 8192)
                big[i] = 'g';
            bool good = true;
            for (int i = 4096; i < BYTES; i += 8192)
                good &= big[i] == (char)(i >> 12);
            _exit(good ? 0 : 1);
        }
        if (status_of(grandchild))
            _exit(2);
        for (int i = 0; i < BYTES; i += 4096)
            if (big[i] != (char)(i >> 12))
                _exit(3);
        munmap(big, BYTES / 2);
        mprotect(big + BYTES / 2, BYTES / 2, PROT_READ);
        _exit(big[BYTES / 2] == (char)(BYTES / 2 >> 12) ? 0 : 4);
    }
    CHECK_EQ(status_of(pid), 0);
    for (int i = 0; i < BYTES; i += 4096)
        NEED(big[i] == (char)(i >> 12));
    munmap(big, BYTES);
}

static int add_to_shared(void *arg)
{
    int *words = arg;
    __atomic_fetch_add(&words[0], 1, __ATOMIC_SEQ_CST);
    words[2048] = 7;
    return 0;
}

CASE(shared_memory_stays_shared)
{
    int *words = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(words != MAP_FAILED);
    words[0] = 1;
    CHECK_EQ(in_child(add_to_shared, words), 0);
    CHECK_EQ(words[0], 2);
    CHECK_EQ(words[2048], 7);
    munmap(words, 16384);

    NEED(put_file("shared", "0123456789abcdef"));
    int fd = open("shared", O_RDWR);
    NEED(ftruncate(fd, 16384) == 0);
    words = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(words != MAP_FAILED);
    int before = words[0];
    CHECK_EQ(in_child(add_to_shared, words), 0);
    CHECK_EQ(words[0], before + 1);
    CHECK_EQ(words[2048], 7);
    munmap(words, 16384);
    close(fd);
}

static int look_at_advised(void *arg)
{
    char **areas = arg;
    int fds[2];
    if (pipe(fds) || areas[0][0] != 0)
        return 1;
    return write(fds[1], areas[1], 1) == -1 && errno == EFAULT ? 0 : 2;
}

CASE(advice_about_fork_is_followed)
{
    char *areas[2];
    for (int i = 0; i < 2; i++) {
        areas[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(areas[i] != MAP_FAILED);
        areas[i][0] = 'q';
    }
    NEED(madvise(areas[0], 4096, MADV_WIPEONFORK) == 0);
    NEED(madvise(areas[1], 4096, MADV_DONTFORK) == 0);
    CHECK_EQ(in_child(look_at_advised, areas), 0);
    CHECK(areas[0][0] == 'q' && areas[1][0] == 'q');
}

/* ---- clone, vfork, posix_spawn ---- */

CASE(vfork_lends_memory_and_waits)
{
    volatile int word = 0;
    pid_t pid = vfork();
    if (!pid) {
        word = 5;
        _exit(6);
    }
    CHECK_EQ(word, 5);
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 6);
}

/* Another signal comes first, which waits as long as the parent does. */
CASE(a_parent_in_vfork_can_be_killed)
{
    int gate[2], ready[2];
    char c;
    NEED(pipe(gate) == 0 && pipe(ready) == 0);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (!pid) {
        signal(SIGUSR1, ignore_it);
        close(gate[1]);
        if (!vfork()) {
            syscall(SYS_write, ready[1], "r", 1);
            syscall(SYS_read, gate[0], &c, 1); /* until the test lets go */
            _exit(0);
        }
        _exit(1);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    kill(pid, SIGUSR1);
    usleep(20000); /* it has begun to wait again by then, or has not: both are to work */
    kill(pid, SIGKILL);
    int status = 0, tries = 0;
    while (!waitpid(pid, &status, WNOHANG) && tries++ < 500)
        usleep(10000);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(gate[1]);
    if (tries >= 500)
        waitpid(pid, NULL, 0);
    waitpid(-1, NULL, 0); /* the orphan, where we are its new parent */
    close(gate[0]);
    close(ready[0]);
    close(ready[1]);
}

CASE(posix_spawn_starts_programs)
{
    char *argv[] = {(char *)"w", (char *)"--do", (char *)"exit", (char *)"33", NULL};
    pid_t pid;
    NEED(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0);
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 33);
    CHECK_EQ(posix_spawn(&pid, "/no/such/program", NULL, NULL, argv, environ), ENOENT);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    posix_spawn_file_actions_adddup2(&actions, fd, 60);
    char *check[] = {(char *)"w", (char *)"--do", (char *)"open", (char *)"60", NULL};
    NEED(posix_spawn(&pid, self, &actions, NULL, check, environ) == 0);
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 1);
    posix_spawn_file_actions_destroy(&actions);
    close(fd);
}

CASE(clone3_gives_a_pidfd_and_clears_handlers)
{
    int pidfd = -1;
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                              .pidfd = (uint64_t)(uintptr_t)&pidfd,
                              .exit_signal = SIGCHLD};
    signal(SIGUSR1, ignore_it);
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    NEED(pid >= 0);
    if (!pid) {
        struct sigaction sa;
        sigaction(SIGUSR1, NULL, &sa);
        sleep_ms(20);
        _exit(sa.sa_handler == SIG_DFL ? 9 : 1);
    }
    signal(SIGUSR1, SIG_DFL);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    siginfo_t info = {0};
    CHECK_EQ(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
    CHECK(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 9);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
    close(pidfd);
}

CASE(files_are_copied_or_shared_as_asked)
{
    int fd = open("/dev/null", O_RDONLY);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (!pid) {
        close(fd);
        _exit(0);
    }
    CHECK_EQ(status_of(pid), 0);
    CHECK_ERR(fcntl(fd, F_GETFD), EBADF);

    fd = open("/dev/null", O_RDONLY);
    pid = fork();
    if (!pid) {
        close(fd);
        _exit(0);
    }
    CHECK_EQ(status_of(pid), 0);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
}

CASE(open_files_share_their_position)
{
    NEED(put_file("text", "abcdefgh"));
    int fd = open("text", O_RDONLY);
    pid_t pid = fork();
    char byte = 0;
    if (!pid)
        _exit(read(fd, &byte, 1) == 1 && byte == 'a' ? 0 : 1);
    CHECK_EQ(status_of(pid), 0);
    CHECK(read(fd, &byte, 1) == 1 && byte == 'b');
    close(fd);
}

CASE(places_and_masks_are_copied)
{
    mkdir("below", 0755);
    pid_t pid = fork();
    if (!pid) {
        umask(077);
        _exit(chdir("below"));
    }
    CHECK_EQ(status_of(pid), 0);
    mode_t mask = umask(022);
    umask(mask);
    CHECK(mask != 077 && access("below", F_OK) == 0);
    pid = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
    if (!pid)
        _exit(chdir("below"));
    CHECK_EQ(status_of(pid), 0);
    CHECK(access("../below", F_OK) == 0);
    CHECK_EQ(chdir(".."), 0);
}

/* ---- wait ---- */

CASE(wait_finds_children_by_what_it_is_asked)
{
    int status;
    CHECK_ERR(waitpid(-1, &status, 0), ECHILD);
    CHECK_ERR(waitpid(-1, &status, 0x100), EINVAL);
    int gate[2];
    char c;
    NEED(pipe(gate) == 0);
    pid_t a = fork();
    if (!a) {
        close(gate[1]);
        _exit(read(gate[0], &c, 1) == 1 ? (sleep_ms(40), 1) : 2);
    }
    CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
    siginfo_t info = {.si_pid = 77};
    CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    CHECK_EQ(write(gate[1], "g", 1), 1);
    close(gate[0]), close(gate[1]);
    CHECK_ERR(waitpid(a + 1000, &status, 0), ECHILD);
    CHECK_EQ(waitid(P_PID, (id_t)a, &info, WEXITED | WNOWAIT), 0);
    CHECK(info.si_pid == a && info.si_signo == SIGCHLD && info.si_status == 1);
    CHECK_EQ(waitpid(0, &status, 0), a);
    CHECK_ERR(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    CHECK_ERR(waitid(P_ALL, 0, &info, 0), EINVAL);
}

CASE(a_signal_that_kills_is_in_the_status)
{
    pid_t pid = fork();
    if (!pid) {
        pause();
        _exit(0);
    }
    CHECK_EQ(kill(pid, SIGTERM), 0);
    int status = status_of(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK_ERR(kill(pid, 0), ESRCH);
}

CASE(stopping_and_continuing_is_reported)
{
    int status;
    pid_t pid = fork();
    if (!pid)
        for (;;)
            pause();
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static volatile sig_atomic_t got_signal, got_code, got_pid;

static void note(int sig, siginfo_t *info, void *context)
{
    (void)context;
    got_signal = sig;
    got_code = info->si_code;
    got_pid = info->si_pid;
}

CASE(sigchld_tells_who_ended)
{
    struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO}, old;
    got_signal = 0;
    sigaction(SIGCHLD, &sa, &old);
    pid_t pid = fork();
    if (!pid)
        _exit(3);
    while (!got_signal)
        sleep_ms(1);
    CHECK(got_signal == SIGCHLD && got_code == CLD_EXITED && got_pid == pid);
    CHECK_EQ(WEXITSTATUS(status_of(pid)), 3);
    sigaction(SIGCHLD, &old, NULL);
}

CASE(ignored_children_reap_themselves)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    CHECK_ERR(waitpid(pid, NULL, 0), ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

CASE(wait_is_interrupted_by_signals)
{
    struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(SIGALRM, &sa, NULL);
    pid_t pid = fork();
    if (!pid)
        for (;;)
            pause();
    /* Again and again, as the first may come before the call. */
    struct itimerval soon = {{.tv_usec = 20000}, {.tv_usec = 20000}}, never = {0};
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_ERR(waitpid(pid, NULL, 0), EINTR);
    setitimer(ITIMER_REAL, &never, NULL);
    kill(pid, SIGKILL);
    status_of(pid);
    signal(SIGALRM, SIG_DFL);
}

static void *wait_in_thread(void *arg)
{
    int status = 0;
    pid_t pid = waitpid(*(pid_t *)arg, &status, 0);
    return (void *)(intptr_t)(pid == *(pid_t *)arg ? WEXITSTATUS(status) : -1);
}

CASE(any_thread_may_wait)
{
    pthread_t thread;
    void *result;
    pid_t pid = fork();
    if (!pid) {
        sleep_ms(20);
        _exit(12);
    }
    NEED(pthread_create(&thread, NULL, wait_in_thread, &pid) == 0);
    pthread_join(thread, &result);
    CHECK_EQ((intptr_t)result, 12);
}

/* ---- orphans ---- */

CASE(orphans_go_to_the_subreaper)
{
    int fds[2], status;
    pid_t grandchild = 0;
    NEED(pipe(fds) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t pid = fork();
    if (!pid) {
        if (!fork()) {
            pid_t own = getpid();
            sleep_ms(20);
            if (write(fds[1], &own, sizeof(own)) < 0)
                _exit(1);
            _exit(21);
        }
        _exit(0);
    }
    CHECK_EQ(status_of(pid), 0);
    CHECK_EQ(read(fds[0], &grandchild, sizeof(grandchild)), (ssize_t)sizeof(grandchild));
    CHECK_EQ(waitpid(-1, &status, 0), grandchild);
    CHECK_EQ(WEXITSTATUS(status), 21);
    int is = 0;
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is) == 0 && is == 1);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    close(fds[0]);
    close(fds[1]);
}

CASE(a_child_may_ask_for_its_parents_death)
{
    int fds[2];
    char byte;
    NEED(pipe(fds) == 0);
    pid_t pid = fork();
    if (!pid) {
        int ready[2];
        if (pipe(ready))
            _exit(1);
        if (!fork()) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (write(ready[1], "", 1) < 0)
                _exit(1);
            for (;;)
                pause();
        }
        _exit(read(ready[0], &byte, 1) == 1 ? 0 : 2);
    }
    close(fds[1]);
    CHECK_EQ(status_of(pid), 0);
    CHECK_EQ(read(fds[0], &byte, 1), 0); /* the grandchild held the other end */
    close(fds[0]);
}

/* ---- who may do what to whom ---- */

struct two_users {
    int ours, theirs; /* children of two users, asleep */
};

static pid_t sleeper(uid_t uid)
{
    int ready[2];
    char c;
    if (pipe(ready))
        return -1;
    pid_t pid = fork();
    if (!pid) {
        if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid) || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    bool is_ready = read(ready[0], &c, 1) == 1;
    close(ready[0]);
    return is_ready ? pid : -1;
}

static int as_user(void *arg)
{
    const struct two_users *who = arg;
    struct rlimit limit;
    char path[64], text[64];
    int pidfd = (int)syscall(SYS_pidfd_open, who->theirs, 0);

    if (setresgid(4242, 4242, 4242) || setresuid(4242, 4242, 4242))
        return 1;
    if (kill(who->ours, 0) || kill(who->ours, SIGCONT))
        return 2;
    if (!kill(who->theirs, 0) || errno != EPERM || !kill(who->theirs, SIGTERM) || errno != EPERM)
        return 3;
    if (kill(who->theirs, SIGCONT)) /* of the same session */
        return 4;
    if (!syscall(SYS_tgkill, who->theirs, who->theirs, SIGTERM) || errno != EPERM)
        return 5;
    if (!syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) || errno != EPERM)
        return 6;
    if (syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0 || errno != EPERM)
        return 7;
    if (!prlimit(who->theirs, RLIMIT_NOFILE, NULL, &limit) || errno != EPERM)
        return 8;
    snprintf(path, sizeof(path), "/proc/%d/cwd", who->theirs);
    if (readlink(path, text, sizeof(text)) >= 0 || errno != EACCES)
        return 9;
    snprintf(path, sizeof(path), "/proc/%d/environ", who->theirs);
    struct stat st;
    if (stat(path, &st) || (st.st_mode & 0777) != 0400)
        return 10;
    limit = (struct rlimit){1000, 1000};
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return 11;
    limit.rlim_max = 2000;
    return !setrlimit(RLIMIT_NOFILE, &limit) || errno != EPERM ? 12 : 0;
}

CASE(users_leave_each_other_alone)
{
    if (getuid())
        return;
    struct two_users who = {sleeper(4242), sleeper(5555)};
    CHECK_EQ(in_child(as_user, &who), 0);
    CHECK_EQ(kill(who.ours, SIGKILL), 0);
    CHECK_EQ(kill(who.theirs, SIGKILL), 0);
    CHECK_EQ(WTERMSIG(status_of(who.ours)), SIGKILL);
    CHECK_EQ(WTERMSIG(status_of(who.theirs)), SIGKILL);
}

static int kill_group(void *arg)
{
    (void)arg;
    setpgid(0, 0);
    pid_t ours = sleeper(4242), theirs = sleeper(5555);
    pid_t pid = fork();
    if (!pid) {
        signal(SIGTERM, SIG_IGN);
        if (setresgid(4242, 4242, 4242) || setresuid(4242, 4242, 4242))
            _exit(1);
        _exit(kill(0, SIGUSR1) ? 2 : 0); /* some of them is enough */
    }
    signal(SIGUSR1, SIG_IGN);
    int status;
    if (waitpid(pid, &status, 0) != pid || WTERMSIG(status) != SIGUSR1)
        return 3;
    if (WTERMSIG(status_of(ours)) != SIGUSR1)
        return 4;
    if (waitpid(theirs, &status, WNOHANG)) /* it must not have been reached */
        return 5;
    kill(theirs, SIGKILL);
    return WTERMSIG(status_of(theirs)) == SIGKILL ? 0 : 6;
}

CASE(a_groups_signal_reaches_those_it_may)
{
    if (!getuid())
        CHECK_EQ(in_child(kill_group, NULL), 0);
}

/* ---- semaphores of System V ---- */

static int step(int id, unsigned short n, short by, short flags)
{
    struct sembuf op = {n, by, flags};
    return semop(id, &op, 1);
}

static int take_and_end(void *arg)
{
    int id = *(int *)arg;
    return step(id, 0, -1, SEM_UNDO) || step(id, 0, 2, SEM_UNDO) || step(id, 1, 5, SEM_UNDO);
}

CASE(what_a_process_did_to_a_semaphore_is_undone_at_its_end)
{
    int id = semget(IPC_PRIVATE, 2, 0600);
    NEED(id >= 0 && !step(id, 0, 3, 0));
    CHECK_EQ(in_child(take_and_end, &id), 0);
    CHECK(semctl(id, 0, GETVAL) == 3 && semctl(id, 1, GETVAL) == 0);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

static int wait_for_two(void *arg)
{
    return step(*(int *)arg, 0, -2, 0);
}

CASE(an_end_wakes_who_waits_for_the_semaphore)
{
    int id = semget(IPC_PRIVATE, 2, 0600), pipe_fds[2];
    char byte;
    NEED(id >= 0 && !step(id, 0, 2, 0) && !pipe(pipe_fds));
    pid_t holder = fork();
    if (!holder) {
        if (step(id, 0, -2, SEM_UNDO) || write(pipe_fds[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    NEED(read(pipe_fds[0], &byte, 1) == 1);
    pid_t waiter = fork();
    if (!waiter)
        _exit(wait_for_two(&id));
    while (semctl(id, 0, GETNCNT) != 1)
        sleep_ms(1);
    kill(holder, SIGKILL);
    CHECK(WIFSIGNALED(status_of(holder)));
    CHECK_EQ(status_of(waiter), 0);
    CHECK_EQ(semctl(id, 0, GETVAL), 0);
    CHECK_EQ(semctl(id, 0, GETPID), waiter);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static int take_in_vain(void *arg)
{
    int id = *(int *)arg;
    return step(id, 0, 1, SEM_UNDO) || semctl(id, 0, IPC_RMID);
}

CASE(what_was_to_be_undone_goes_with_the_set)
{
    int id = semget(IPC_PRIVATE, 1, 0600);
    NEED(id >= 0 && !step(id, 0, 1, SEM_UNDO));
    CHECK_EQ(in_child(take_in_vain, &id), 0);
    CHECK_ERR(semctl(id, 0, GETVAL), EINVAL);
    id = semget(IPC_PRIVATE, 1, 0600);
    NEED(id >= 0);
    CHECK_EQ(semctl(id, 0, GETVAL), 0);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

/* ---- what outlives its maker ---- */

/* In a grandchild whose parent has made @fd, and has ended: does it tell of our own signals? */
static int use_signalfd(int fd)
{
    struct signalfd_siginfo info;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd}, got;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ep = epoll_create1(0);
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event))
        return 1;
    for (int i = 0; i < 3; i++) {
        pid_t sender = fork();
        if (!sender) {
            sleep_ms(20);
            _exit(kill(getppid(), SIGUSR1));
        }
        int n = i == 1 ? poll(&p, 1, 10000) : epoll_wait(ep, &got, 1, 10000);
        if (n != 1 || read(fd, &info, sizeof(info)) != sizeof(info))
            return 2;
        if (info.ssi_signo != SIGUSR1 || (pid_t)info.ssi_pid != sender || status_of(sender))
            return 3;
    }
    return 0;
}

CASE(a_signalfd_outlives_the_process_that_made_it)
{
    int result[2];
    char code = 99;
    NEED(!pipe(result));
    pid_t maker = fork();
    if (!maker) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        int fd = signalfd(-1, &set, 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 0))
            _exit(1);
        pid_t own = getpid(), user = fork();
        if (user)
            _exit(user < 0);
        while (kill(own, 0) == 0) /* until it was waited for */
            sleep_ms(1);
        code = (char)use_signalfd(fd);
        _exit(write(result[1], &code, 1) != 1);
    }
    CHECK_EQ(status_of(maker), 0);
    close(result[1]);
    CHECK_EQ(read(result[0], &code, 1), 1);
    CHECK_EQ(code, 0);
    close(result[0]);
    while (waitpid(-1, NULL, WNOHANG) > 0) /* orphans are ours where we are the first process */
        ;
}

static void *stay(void *arg)
{
    sleep_ms(*(int *)arg);
    _exit(7);
}

CASE(a_process_is_shown_whose_first_thread_has_ended)
{
    char path[64];
    pid_t pid = fork();
    if (!pid) {
        pthread_t thread;
        static int ms = 20000;
        prctl(PR_SET_NAME, "the-first");
        if (!pthread_create(&thread, NULL, stay, &ms))
            pthread_exit(NULL);
        _exit(1);
    }
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    for (int i = 0; i < 5000 && !strstr(get_file(path), "(the-first) "); i++)
        sleep_ms(1);
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        if (!CHECK(strstr(get_file(path), "(the-first) ") != NULL))
            break;
        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        CHECK(strstr(get_file(path), "Name:\tthe-first\n") != NULL);
        snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        CHECK(!strcmp(get_file(path), "the-first\n"));
        sleep_ms(1);
    }
    kill(pid, SIGKILL);
    CHECK_EQ(WTERMSIG(status_of(pid)), SIGKILL);
}

static volatile sig_atomic_t cpu_alarms;

static void count_cpu_alarm(int sig)
{
    (void)sig;
    cpu_alarms++;
}

/* A process that has used little time so far; its child uses much. */
static int sleep_beside_a_busy_child(void *clock)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec spec = {{0, 0}, {0, 30000000}};
    int id;
    signal(SIGUSR1, count_cpu_alarm);
    if (syscall(SYS_timer_create, *(clockid_t *)clock, &event, &id) ||
        syscall(SYS_timer_settime, id, 0, &spec, NULL))
        return 1;
    pid_t pid = fork();
    for (; !pid;) /* until it is killed */
        ;
    sleep_ms(300);
    kill(pid, SIGKILL);
    return waitpid(pid, NULL, 0) != pid || cpu_alarms ? 2 : 0;
}

CASE(a_timer_of_cpu_time_does_not_count_the_childs)
{
    clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, -6, -2}; /* as the C library names them */
    for (size_t i = 0; i < COUNT(clocks); i++) {
        int code = 2; /* a guest may take what its host does for its own work: not each time */
        for (int tries = 0; tries < 10 && code == 2; tries++)
            code = in_child(sleep_beside_a_busy_child, &clocks[i]);
        CHECK_EQ(code, 0);
    }
}
