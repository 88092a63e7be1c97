/* Locks between processes: flock, POSIX record locks and those of open file descriptions. */
#define _GNU_SOURCE
#include "t.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>

static int set_lock(int fd, int cmd, short type, off_t start, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    return fcntl(fd, cmd, &lock);
}

/* Run @body in a child; its exit status is 0 if all of it held. */
#define CHILD(...)                                                                                 \
    ({                                                                                             \
        pid_t t_pid = fork();                                                                      \
        if (!t_pid) {                                                                              \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        t_pid;                                                                                     \
    })
#define HOLDS(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            _exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1);                                          \
    } while (0)

static int end_of(pid_t pid)
{
    int status;

    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

CASE(flock_is_of_the_open_file)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644), same = dup(fd), other = open("f", O_RDWR);

    NEED(fd >= 0 && same >= 0 && other >= 0);
    CHECK_EQ(flock(fd, LOCK_EX), 0);
    CHECK_EQ(flock(same, LOCK_EX | LOCK_NB), 0);
    CHECK_ERR(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(end_of(CHILD(HOLDS(flock(fd, LOCK_EX | LOCK_NB) == 0))), 0); /* inherited */
    close(fd);
    CHECK_ERR(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK); /* its copy has it still */
    CHECK_EQ(flock(same, LOCK_SH), 0);
    CHECK_EQ(flock(other, LOCK_SH | LOCK_NB), 0);
    CHECK_ERR(flock(same, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(same);
    CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
    CHECK_EQ(flock(other, LOCK_UN), 0);
    CHECK_ERR(flock(other, 77), EINVAL);
    CHECK_ERR(flock(-1, LOCK_EX), EBADF);
    close(other);
    unlink("f");
}

CASE(flock_waits)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644), ready[2];
    char c;

    NEED(fd >= 0 && pipe(ready) == 0 && flock(fd, LOCK_EX) == 0);
    pid_t pid = CHILD({
        int mine = open("f", O_RDWR);
        long long start = now_ms();
        HOLDS(write(ready[1], "r", 1) == 1);
        HOLDS(flock(mine, LOCK_EX) == 0);
        HOLDS(now_ms() - start >= 40);
    });
    NEED(read(ready[0], &c, 1) == 1);
    sleep_ms(60);
    CHECK_EQ(flock(fd, LOCK_UN), 0);
    CHECK_EQ(end_of(pid), 0);
    close(fd), close(ready[0]), close(ready[1]);
    unlink("f");
}

CASE(record_locks_of_processes)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    pid_t own = getpid();

    NEED(fd >= 0 && set_lock(fd, F_SETLK, F_WRLCK, 10, 10) == 0);
    CHECK_EQ(end_of(CHILD({
                 struct flock found = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 100};
                 HOLDS(fcntl(fd, F_GETLK, &found) == 0 && found.l_type == F_WRLCK);
                 HOLDS(found.l_start == 10 && found.l_len == 10 && found.l_pid == own);
                 HOLDS(set_lock(fd, F_SETLK, F_RDLCK, 19, 1) == -1 &&
                       (errno == EAGAIN || errno == EACCES));
                 HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 0, 10) == 0);
                 HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 20, 0) == 0);
                 found = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 5};
                 HOLDS(fcntl(fd, F_GETLK, &found) == 0 && found.l_type == F_UNLCK);
             })),
             0);
    CHECK_EQ(set_lock(fd, F_SETLK, F_WRLCK, 0, 0), 0); /* a child's end frees its own */
    CHECK_EQ(set_lock(fd, F_SETLK, F_UNLCK, 15, 5), 0);
    CHECK_EQ(end_of(CHILD({
                 HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 15, 5) == 0);
                 HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 14, 1) == -1);
                 HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 20, 1) == -1);
             })),
             0);
    struct flock bad = {.l_type = 9, .l_whence = SEEK_SET};
    CHECK_ERR(fcntl(fd, F_SETLK, &bad), EINVAL);
    CHECK_ERR(set_lock(fd, F_SETLK, F_WRLCK, -5, 2), EINVAL);
    int reads = open("f", O_RDONLY), writes = open("f", O_WRONLY);
    CHECK_ERR(set_lock(reads, F_SETLK, F_WRLCK, 0, 1), EBADF);
    CHECK_ERR(set_lock(writes, F_SETLK, F_RDLCK, 0, 1), EBADF);
    close(reads), close(writes), close(fd);
    unlink("f");
}

CASE(any_close_frees_the_process_locks)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644), again = open("f", O_RDONLY);

    NEED(fd >= 0 && set_lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0);
    close(again);
    CHECK_EQ(end_of(CHILD(HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0))), 0);
    close(fd);
    unlink("f");
}

CASE(a_record_lock_waits_and_deadlock_is_told)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644), ready[2];
    char c, stat[64];

    NEED(fd >= 0 && pipe(ready) == 0 && set_lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
    pid_t pid = CHILD({
        HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 1, 1) == 0);
        HOLDS(write(ready[1], "r", 1) == 1);
        HOLDS(set_lock(fd, F_SETLKW, F_WRLCK, 0, 1) == 0);
    });
    NEED(read(ready[0], &c, 1) == 1);
    snprintf(stat, sizeof(stat), "/proc/%d/stat", pid);
    CHECK(falls_asleep(stat)); /* it waits for ours now */
    CHECK_ERR(set_lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    CHECK_EQ(set_lock(fd, F_SETLK, F_UNLCK, 0, 1), 0);
    CHECK_EQ(end_of(pid), 0);
    CHECK_EQ(set_lock(fd, F_SETLKW, F_WRLCK, 1, 1), 0);
    close(fd), close(ready[0]), close(ready[1]);
    unlink("f");
}

static void on_alarm(int sig)
{
    (void)sig;
}

CASE(a_signal_ends_the_wait)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644), ready[2];
    char c;

    NEED(fd >= 0 && pipe(ready) == 0);
    pid_t pid = CHILD({
        HOLDS(set_lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0 && write(ready[1], "r", 1) == 1);
        pause();
    });
    NEED(read(ready[0], &c, 1) == 1);
    struct sigaction act = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &act, NULL);
    struct itimerval often = {{.tv_usec = 50000}, {.tv_usec = 50000}}, never = {0};
    setitimer(ITIMER_REAL, &often, NULL); /* the first may come before the call */
    CHECK_ERR(set_lock(fd, F_SETLKW, F_WRLCK, 0, 1), EINTR);
    setitimer(ITIMER_REAL, &never, NULL);
    kill(pid, SIGKILL);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK_EQ(set_lock(fd, F_SETLKW, F_WRLCK, 0, 1), 0);
    close(fd), close(ready[0]), close(ready[1]);
    unlink("f");
}

CASE(locks_of_open_descriptions)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644), other = open("f", O_RDWR), same = dup(fd);

    NEED(fd >= 0 && other >= 0);
    CHECK_EQ(set_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10), 0);
    CHECK_ERR(set_lock(other, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN);
    CHECK_EQ(set_lock(same, F_OFD_SETLK, F_WRLCK, 5, 1), 0);
    CHECK_EQ(set_lock(other, F_OFD_SETLK, F_WRLCK, 10, 1), 0);
    CHECK_ERR(set_lock(fd, F_SETLK, F_WRLCK, 10, 1), EAGAIN); /* against a process's too */
    struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    CHECK(fcntl(other, F_OFD_GETLK, &found) == 0 && found.l_type == F_WRLCK && found.l_pid == -1);
    int again = open("f", O_RDONLY);
    close(again); /* frees none of them */
    CHECK_ERR(set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
    close(fd);
    CHECK_ERR(set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN); /* its copy is open */
    close(same);
    CHECK_EQ(set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 1), 0);
    found = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = 5};
    CHECK_ERR(fcntl(other, F_OFD_SETLK, &found), EINVAL);
    pid_t pid = CHILD({
        int mine = open("f", O_RDWR);
        close(other); /* our copy would keep its locks */
        HOLDS(set_lock(mine, F_OFD_SETLKW, F_WRLCK, 0, 0) == 0);
    });
    sleep_ms(30);
    close(other);
    CHECK_EQ(end_of(pid), 0);
    unlink("f");
}

static bool shown(const char *kind, const char *type, pid_t pid, int fd, const char *range)
{
    static char text[8192], line[128];
    struct stat st;
    FILE *locks = fopen("/proc/locks", "r");

    if (!locks || fstat(fd, &st))
        return false;
    text[fread(text, 1, sizeof(text) - 1, locks)] = 0;
    fclose(locks);
    snprintf(line, sizeof(line), ": %s ADVISORY  %s %d %02x:%02x:%lu %s\n", kind, type, pid,
             major(st.st_dev), minor(st.st_dev), st.st_ino, range);
    return strstr(text, line) != NULL;
}

CASE(locks_are_shown_in_proc)
{
    int fd = open("shown", O_RDWR | O_CREAT, 0644), other = open("shown", O_RDWR);

    NEED(fd >= 0 && other >= 0);
    NEED(!set_lock(fd, F_SETLK, F_WRLCK, 10, 5) && !set_lock(other, F_OFD_SETLK, F_RDLCK, 100, 0));
    NEED(!flock(fd, LOCK_EX));
    CHECK(shown("POSIX ", "WRITE", getpid(), fd, "10 14"));
    CHECK(shown("OFDLCK", "READ", -1, fd, "100 EOF"));
    CHECK(shown("FLOCK ", "WRITE", getpid(), fd, "0 EOF"));
    flock(fd, LOCK_UN);
    CHECK(!shown("FLOCK ", "WRITE", getpid(), fd, "0 EOF"));
    close(other);
    close(fd);
    unlink("shown");
}
