/* Calls whose answers are easily got wrong, and that no other family asks: what is refused and with
 * which error, what a flag changes, what is written back. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <utime.h>

enum { PAGE = 4096 };

/* ---- paths ---- */

CASE(chroot_moves_the_root_and_not_where_we_are)
{
    struct stat above, root;
    int out = open("/", O_RDONLY | O_DIRECTORY), here = open(".", O_RDONLY | O_DIRECTORY);

    if (geteuid())
        return;
    NEED(!mkdir("r", 0755) && !mkdir("r/in", 0755) && put_file("r/f", "x") && put_file("f", "x"));
    CHECK_ERR(chroot("f"), ENOTDIR);
    CHECK_ERR(chroot("none"), ENOENT);
    NEED(!chroot("r"));
    CHECK_EQ(access("/in", F_OK), 0);
    CHECK_EQ(access("r/f", F_OK), 0); /* from where we are, outside of it */
    CHECK_EQ(access("f", F_OK), 0);
    CHECK_EQ(chdir("/in"), 0);
    CHECK(!stat("../../..", &above) && !stat("/", &root) && above.st_ino == root.st_ino);
    CHECK_EQ(fchdir(out), 0); /* by a descriptor from before */
    CHECK_EQ(chroot("."), 0);
    CHECK_EQ(fchdir(here), 0);
    CHECK_ERR(access("/in", F_OK), ENOENT);
    close(out), close(here);
}

static int faccessat2_of(int dir, const char *path, int mode, int flags)
{
    return (int)syscall(SYS_faccessat2, dir, path, mode, flags);
}

CASE(faccessat2_knows_its_flags)
{
    NEED(put_file("plain", "x") && !chmod("plain", 0400) && !symlink("none", "dangling"));
    int fd = open("plain", O_PATH);
    CHECK_EQ(faccessat2_of(AT_FDCWD, "plain", R_OK, AT_EACCESS), 0);
    CHECK_ERR(faccessat2_of(AT_FDCWD, "plain", X_OK, AT_EACCESS), EACCES); /* for root as well */
    CHECK_ERR(faccessat2_of(AT_FDCWD, "plain", R_OK, 0x8000), EINVAL);
    CHECK_ERR(faccessat2_of(AT_FDCWD, "plain", 8, 0), EINVAL);
    CHECK_ERR(faccessat2_of(AT_FDCWD, "dangling", F_OK, 0), ENOENT);
    CHECK_EQ(faccessat2_of(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(faccessat2_of(fd, "", R_OK, AT_EMPTY_PATH), 0);
    CHECK_ERR(faccessat2_of(fd, "", R_OK, 0), ENOENT);
    CHECK_ERR(faccessat2_of(fd, "x", R_OK, 0), ENOTDIR);
    CHECK_ERR(faccessat2_of(-1, "x", R_OK, 0), EBADF);
    close(fd);
}

CASE(mknodat_makes_what_the_mode_says)
{
    struct stat st;
    mode_t mask = umask(022);

    CHECK(!mknodat(AT_FDCWD, "fifo", S_IFIFO | 0666, 0) && !lstat("fifo", &st));
    CHECK_EQ(st.st_mode, S_IFIFO | 0644);
    CHECK(!mknodat(AT_FDCWD, "file", 0600, 0) && !lstat("file", &st)); /* no type: a file */
    CHECK_EQ(st.st_mode, S_IFREG | 0600);
    CHECK(!mknodat(AT_FDCWD, "sock", S_IFSOCK | 0600, 0) && !lstat("sock", &st));
    CHECK_EQ(st.st_mode, S_IFSOCK | 0600);
    CHECK_ERR(mknodat(AT_FDCWD, "file", S_IFIFO, 0), EEXIST);
    CHECK_ERR(mknodat(AT_FDCWD, "dir", S_IFDIR | 0700, 0), EPERM);
    CHECK_ERR(mknodat(AT_FDCWD, "odd", S_IFLNK | 0700, 0), EINVAL);
    CHECK_ERR(mknodat(AT_FDCWD, "slash/", S_IFREG | 0700, 0), ENOENT);
    umask(mask);
}

static struct timespec mtime_of(const char *path)
{
    struct stat st = {0};
    stat(path, &st);
    return st.st_mtim;
}

CASE(times_of_files_are_set_by_five_calls)
{
    struct timeval tv[2] = {{100, 5}, {200, 7}};
    struct timespec ts[2] = {{0, UTIME_OMIT}, {300, 9}};
    struct utimbuf old = {11, 12};
    NEED(put_file("t", "x"));
    int fd = open("t", O_RDONLY);

    CHECK_EQ(utimes("t", tv), 0);
    CHECK(mtime_of("t").tv_sec == 200 && mtime_of("t").tv_nsec == 7000);
    tv[1].tv_usec = 1000000;
    CHECK_ERR(utimes("t", tv), EINVAL);
    tv[1].tv_usec = -1;
    CHECK_ERR(syscall(SYS_futimesat, AT_FDCWD, "t", tv), EINVAL);
    CHECK_EQ(utimensat(AT_FDCWD, "t", ts, 0), 0);
    struct stat st;
    NEED(!stat("t", &st));
    CHECK(st.st_atim.tv_sec == 100 && st.st_mtim.tv_sec == 300 && st.st_mtim.tv_nsec == 9);
    CHECK_EQ(utime("t", &old), 0);
    CHECK(mtime_of("t").tv_sec == 12 && mtime_of("t").tv_nsec == 0);
    ts[1].tv_nsec = UTIME_OMIT;
    CHECK_EQ(syscall(SYS_utimensat, AT_FDCWD, "none", ts, 0), 0); /* nothing to do */
    ts[1].tv_nsec = 1000000000;
    CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, "t", ts, 0), EINVAL);
    CHECK_EQ(syscall(SYS_utimensat, fd, NULL, NULL, 0), 0); /* the file of the descriptor */
    CHECK(time(NULL) - mtime_of("t").tv_sec < 100);
    CHECK_ERR(syscall(SYS_utimensat, fd, NULL, NULL, AT_SYMLINK_NOFOLLOW), EINVAL);
    CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, NULL, NULL, 0), EFAULT);
    CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, "t", NULL, 0x8000), EINVAL);
    close(fd);
}

CASE(getdents_wants_room_for_one_name)
{
    char buf[1000];
    NEED(!mkdir("gd", 0755) && put_file("gd/a-rather-long-name-of-a-file", "x"));
    int fd = open("gd", O_RDONLY), file = open("gd/a-rather-long-name-of-a-file", O_RDONLY);

    CHECK_ERR(syscall(SYS_getdents64, fd, buf, 10), EINVAL);
    CHECK(syscall(SYS_getdents64, fd, buf, 48) > 0);
    CHECK_ERR(syscall(SYS_getdents64, file, buf, sizeof(buf)), ENOTDIR);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
    CHECK_EQ(syscall(SYS_getdents64, fd, buf, sizeof(buf)), 0);
    NEED(!unlink("gd/a-rather-long-name-of-a-file") && !rmdir("gd"));
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_ERR(syscall(SYS_getdents64, fd, buf, sizeof(buf)), ENOENT);
    close(fd), close(file);
}

CASE(statx_refuses_what_it_does_not_know)
{
    struct statx st;
    NEED(put_file("sx", "12345"));

    CHECK_ERR(statx(AT_FDCWD, "sx", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &st),
              EINVAL);
    CHECK_ERR(statx(AT_FDCWD, "sx", 0, STATX__RESERVED, &st), EINVAL);
    CHECK_ERR(statx(AT_FDCWD, "sx", 0x40000, STATX_SIZE, &st), EINVAL);
    CHECK(!statx(AT_FDCWD, "sx", 0, 0, &st) && st.stx_mask & STATX_SIZE && st.stx_size == 5);
    CHECK_ERR(statx(AT_FDCWD, "", 0, STATX_SIZE, &st), ENOENT);
}

/* ---- files ---- */

CASE(preadv2_and_pwritev2_take_flags_and_the_position)
{
    char text[8] = {0};
    struct iovec vec = {text, 3}, out = {(char *)"abc", 3};
    int fd = open("v2", O_RDWR | O_CREAT | O_TRUNC, 0600), fds[2];

    NEED(fd >= 0 && !pipe(fds));
    CHECK_EQ(pwritev2(fd, &out, 1, -1, 0), 3); /* as writev */
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    CHECK_EQ(pwritev2(fd, &out, 1, 0, RWF_APPEND), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 6);
    CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
    CHECK_EQ(preadv2(fd, &vec, 1, -1, 0), 3);
    CHECK(!memcmp(text, "bca", 3) && lseek(fd, 0, SEEK_CUR) == 4);
    CHECK_ERR(preadv2(fd, &vec, 1, 0, 0x4000), EOPNOTSUPP);
    CHECK_ERR(preadv2(fd, &vec, 1, -2, 0), EINVAL);
    CHECK_ERR(preadv2(fds[0], &vec, 1, 0, 0), ESPIPE);
    CHECK_ERR(preadv2(fd, &vec, -1, 0, 0), EINVAL);
    CHECK_ERR(preadv2(fd, &vec, 1025, 0, 0), EINVAL);
    close(fd), close(fds[0]), close(fds[1]);
}

CASE(what_only_regular_files_can_is_refused_to_others)
{
    int fds[2], fd = open("reg", O_RDWR | O_CREAT, 0600), only = open("reg", O_WRONLY);
    int dir = open(".", O_RDONLY), append = open("reg", O_WRONLY | O_APPEND);
    loff_t in = 0, to = 2;

    NEED(!pipe(fds) && fd >= 0 && only >= 0 && pwrite(fd, "0123456789", 10, 0) == 10);
    CHECK_ERR(readahead(only, 0, 10), EBADF);
    CHECK_ERR(readahead(fds[0], 0, 10), EINVAL);
    CHECK_EQ(posix_fadvise(fds[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
    CHECK_EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
    CHECK_EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
    CHECK_ERR(sync_file_range(fds[1], 0, 1, 0), ESPIPE);
    CHECK_ERR(sync_file_range(fd, 0, 1, 0x80), EINVAL);
    CHECK_ERR(sync_file_range(fd, -1, 1, 0), EINVAL);
    CHECK_ERR(copy_file_range(fd, &in, fd, &to, 5, 0), EINVAL); /* they overlap */
    CHECK_ERR(copy_file_range(fd, &in, append, NULL, 5, 0), EBADF);
    CHECK_ERR(copy_file_range(dir, &in, fd, &to, 5, 0), EISDIR);
    CHECK_ERR(copy_file_range(fds[0], NULL, fd, &to, 5, 0), EINVAL);
    CHECK_ERR(copy_file_range(fd, &in, fd, &to, 5, 1), EINVAL);
    CHECK_ERR(fsync(fds[1]), EINVAL);
    CHECK_ERR(fdatasync(fds[1]), EINVAL);
    CHECK_ERR(ftruncate(fds[1], 0), EINVAL);
    CHECK_ERR(ftruncate(fd, -1), EINVAL);
    CHECK_ERR(fallocate(fds[1], 0, 0, 1), ESPIPE);
    CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
    CHECK_ERR(read(dir, &in, 1), EISDIR);
    CHECK_ERR(pread(fds[0], &in, 1, 0), ESPIPE);
    CHECK_ERR(pread(fd, &in, 1, -1), EINVAL);
    close(fds[0]), close(fds[1]), close(fd), close(only), close(dir), close(append);
}

CASE(descriptors_are_made_and_closed_as_asked)
{
    int fd = eventfd(0, 0);

    CHECK_ERR(dup3(fd, fd, 0), EINVAL);
    CHECK_ERR(dup3(fd, 50, O_APPEND), EINVAL);
    CHECK(dup3(fd, 50, O_CLOEXEC) == 50 && fcntl(50, F_GETFD) == FD_CLOEXEC);
    CHECK(dup2(fd, fd) == fd && dup2(fd, 51) == 51);
    CHECK_ERR(dup2(99, 99), EBADF);
    CHECK_ERR(syscall(SYS_close_range, 51, 50, 0), EINVAL);
    CHECK_ERR(syscall(SYS_close_range, 50, 51, 8), EINVAL);
    CHECK_EQ(syscall(SYS_close_range, 50, 51, 4), 0); /* CLOSE_RANGE_CLOEXEC */
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(syscall(SYS_close_range, 50, ~0U, 0), 0);
    CHECK_ERR(fcntl(51, F_GETFD), EBADF);
    CHECK_ERR(eventfd(0, 2), EINVAL);
    CHECK_ERR(inotify_init1(1), EINVAL);
    CHECK_ERR(epoll_create1(1), EINVAL);
    CHECK_ERR(epoll_create(0), EINVAL);
    CHECK_ERR(memfd_create("x", 0x100), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    CHECK_ERR(pipe2(&fd, 1), EINVAL);
    close(fd);
}

/* ---- waiting ---- */

CASE(epoll_pwait2_waits_for_nanoseconds)
{
    struct timespec ts = {0, 1000000}, bad = {0, 1000000000}, none = {0, 0};
    struct epoll_event event;
    sigset_t set;
    int fd = epoll_create1(0);

    sigemptyset(&set);
    long long start = now_ms();
    CHECK_EQ(syscall(SYS_epoll_pwait2, fd, &event, 1, &ts, NULL, 8), 0);
    CHECK(now_ms() - start < 10000);
    CHECK_EQ(syscall(SYS_epoll_pwait2, fd, &event, 1, &none, &set, 8), 0);
    CHECK_ERR(syscall(SYS_epoll_pwait2, fd, &event, 1, &bad, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_pwait2, fd, &event, 0, &ts, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_pwait2, fd, &event, 1, &ts, &set, 4), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_pwait2, 0, &event, 1, &ts, NULL, 8), EINVAL);
    close(fd);
}

static void on_signal(int sig)
{
    (void)sig;
}

CASE(pselect6_writes_the_time_left_and_takes_a_mask)
{
    struct sigaction action = {.sa_handler = on_signal}, old;
    struct timespec ts = {100, 0}, bad = {-1, 0};
    sigset_t block, none;
    struct {
        sigset_t *set;
        size_t len;
    } mask = {&none, 8};
    fd_set set;

    sigemptyset(&none), sigemptyset(&block), sigaddset(&block, SIGUSR1);
    NEED(!sigaction(SIGUSR1, &action, &old) && !sigprocmask(SIG_BLOCK, &block, NULL));
    raise(SIGUSR1);
    CHECK_ERR(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, &mask), EINTR);
    CHECK((ts.tv_sec >= 50 && ts.tv_sec < 100) || (ts.tv_sec == 100 && !ts.tv_nsec));
    CHECK(!sigprocmask(SIG_UNBLOCK, &block, &none) && sigismember(&none, SIGUSR1)); /* as before */
    ts = (struct timespec){0, 2000000};
    CHECK_EQ(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, NULL), 0);
    CHECK(ts.tv_sec == 0 && ts.tv_nsec == 0);
    CHECK_ERR(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &bad, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_pselect6, -1, NULL, NULL, NULL, &ts, NULL), EINVAL);
    FD_ZERO(&set);
    FD_SET(60, &set);
    CHECK_ERR(syscall(SYS_pselect6, 61, &set, NULL, NULL, &ts, NULL), EBADF);
    mask.len = 4;
    CHECK_ERR(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, &mask), EINVAL);
    sigaction(SIGUSR1, &old, NULL);
}

struct waitv {
    uint64_t val, addr;
    uint32_t flags, reserved;
};

CASE(futex_waitv_looks_at_all_words_first)
{
    uint32_t words[2] = {1, 2};
    struct waitv w[2] = {{1, (uintptr_t)&words[0], 2, 0}, {2, (uintptr_t)&words[1], 2, 0}};
    struct timespec past;

    clock_gettime(CLOCK_MONOTONIC, &past);
    CHECK_ERR(syscall(SYS_futex_waitv, w, 2, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
    w[1].val = 3;
    CHECK_ERR(syscall(SYS_futex_waitv, w, 2, 0, &past, CLOCK_MONOTONIC), EAGAIN);
    w[1].val = 2;
    CHECK_ERR(syscall(SYS_futex_waitv, w, 2, 1, &past, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(syscall(SYS_futex_waitv, w, 0, 0, &past, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(syscall(SYS_futex_waitv, w, 129, 0, &past, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(syscall(SYS_futex_waitv, w, 2, 0, &past, CLOCK_BOOTTIME), EINVAL);
    w[0].reserved = 1;
    CHECK_ERR(syscall(SYS_futex_waitv, w, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
    w[0].reserved = 0, w[0].flags = 0;
    CHECK_ERR(syscall(SYS_futex_waitv, w, 2, 0, &past, CLOCK_MONOTONIC), EINVAL); /* 8 bits */
    w[0].flags = 2, w[0].addr = 2;
    CHECK_ERR(syscall(SYS_futex_waitv, w, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
}

/* ---- signals ---- */

CASE(signals_are_queued_with_what_the_sender_says)
{
    siginfo_t info = {.si_code = SI_QUEUE}, got;
    struct timespec none = {0, 0}, bad = {0, -1};
    sigset_t set, pending;
    pid_t me = getpid();

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2), sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGRTMIN + 1);
    NEED(!sigprocmask(SIG_BLOCK, &set, NULL));
    info.si_value.sival_int = 1;
    CHECK_EQ(syscall(SYS_rt_sigqueueinfo, me, SIGRTMIN + 1, &info), 0);
    info.si_value.sival_int = 2;
    CHECK_EQ(syscall(SYS_rt_tgsigqueueinfo, me, gettid(), SIGRTMIN, &info), 0);
    info.si_value.sival_int = 3;
    CHECK_EQ(syscall(SYS_rt_sigqueueinfo, me, SIGRTMIN, &info), 0);
    CHECK_EQ(kill(me, SIGUSR2), 0);
    CHECK_EQ(kill(me, SIGUSR2), 0); /* once is enough */
    CHECK(!sigpending(&pending) && sigismember(&pending, SIGRTMIN + 1));
    /* the thread's own come before the process's */
    CHECK(sigtimedwait(&set, &got, &none) == SIGRTMIN && got.si_value.sival_int == 2);
    CHECK(sigtimedwait(&set, &got, &none) == SIGUSR2 && got.si_code == SI_USER);
    CHECK(sigtimedwait(&set, &got, &none) == SIGRTMIN && got.si_value.sival_int == 3);
    CHECK(sigtimedwait(&set, &got, &none) == SIGRTMIN + 1 && got.si_code == SI_QUEUE);
    CHECK_ERR(sigtimedwait(&set, &got, &none), EAGAIN);
    CHECK_ERR(sigtimedwait(&set, &got, &bad), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, me, 65, &info), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, 0x3ffffff, SIGUSR2, &info), ESRCH);
    CHECK_ERR(syscall(SYS_tkill, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_tkill, 0x3ffffff, 0), ESRCH);
    CHECK_EQ(syscall(SYS_tkill, gettid(), 0), 0);
    CHECK_ERR(syscall(SYS_tgkill, me, gettid(), 65), EINVAL);
    CHECK_ERR(syscall(SYS_tgkill, me + 1, gettid(), 0), ESRCH);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, 7, &set, NULL, 8), EINVAL);
    CHECK_EQ(syscall(SYS_rt_sigprocmask, 7, NULL, &set, 8), 0); /* how does not matter then */
    CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigpending, &set, 16), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, SIGKILL, &set, NULL, 8), EINVAL);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

CASE(interval_timers_are_checked_before_they_are_set)
{
    struct itimerval it = {{0, 0}, {0, 1000000}}, was;

    CHECK_ERR(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    CHECK_ERR(getitimer((enum __itimer_which)3, &was), EINVAL);
    it.it_value = (struct timeval){100, 0};
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &it, NULL), 0);
    it.it_value = (struct timeval){0, 0};
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &it, &was), 0);
    CHECK(was.it_value.tv_sec == 99 || was.it_value.tv_sec == 100);
    CHECK(!getitimer(ITIMER_VIRTUAL, &was) && !was.it_value.tv_sec && !was.it_value.tv_usec);
    CHECK_EQ(alarm(50), 0);
    CHECK(!getitimer(ITIMER_REAL, &was) && was.it_value.tv_sec >= 20 && was.it_value.tv_sec <= 50);
    unsigned left = alarm(0); /* 50, unless the machine stood still */
    CHECK(left >= 20 && left <= 50);
}

/* ---- scheduling, limits, names ---- */

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

CASE(sched_attributes_have_a_size)
{
    struct attr attr = {0};
    char large[128] = {0};
    struct timespec ts;
    struct sched_param param = {1};

    CHECK_EQ(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
    CHECK(attr.policy == SCHED_OTHER && attr.size >= 48 && attr.size <= sizeof(attr));
    CHECK_ERR(syscall(SYS_sched_getattr, 0, &attr, 47, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 1), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, -1, &attr, sizeof(attr), 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, 0x3ffffff, &attr, sizeof(attr), 0), ESRCH);
    attr.size = 0; /* means the first version's */
    CHECK_EQ(syscall(SYS_sched_setattr, 0, &attr, 0), 0);
    attr.size = 20;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, &attr, 0), E2BIG);
    CHECK(attr.size >= 48);
    memcpy(large, &attr, sizeof(attr));
    *(uint32_t *)(void *)large = sizeof(large);
    CHECK_EQ(syscall(SYS_sched_setattr, 0, large, 0), 0); /* what is behind is zero */
    large[100] = 1;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, large, 0), E2BIG);
    attr = (struct attr){.size = 48, .policy = 17};
    CHECK_ERR(syscall(SYS_sched_setattr, 0, &attr, 0), EINVAL);
    CHECK_ERR(sched_rr_get_interval(-1, &ts), EINVAL);
    CHECK_ERR(sched_rr_get_interval(0x3ffffff, &ts), ESRCH);
    CHECK_EQ(sched_rr_get_interval(0, &ts), 0);
    CHECK_ERR(sched_setparam(0, &param), EINVAL); /* SCHED_OTHER has 0 only */
    CHECK_ERR(sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){0}), EINVAL);
    CHECK_ERR(sched_get_priority_max(17), EINVAL);
    CHECK(sched_get_priority_max(SCHED_RR) == 99 && sched_get_priority_min(SCHED_RR) == 1);
    CHECK(sched_get_priority_max(SCHED_BATCH) == 0);
}

CASE(limits_are_checked_against_each_other)
{
    struct rlimit lim, was;

    NEED(!getrlimit(RLIMIT_CORE, &was));
    CHECK_ERR(getrlimit((enum __rlimit_resource)16, &lim), EINVAL);
    lim = (struct rlimit){10, 5};
    CHECK_ERR(setrlimit(RLIMIT_CORE, &lim), EINVAL);
    CHECK_ERR(prlimit(0x3ffffff, RLIMIT_CORE, NULL, &lim), ESRCH);
    lim = (struct rlimit){0, was.rlim_max};
    CHECK(!prlimit(getpid(), RLIMIT_CORE, &lim, NULL) && !getrlimit(RLIMIT_CORE, &lim));
    CHECK_EQ(lim.rlim_cur, 0);
    CHECK_EQ(setrlimit(RLIMIT_CORE, &was), 0);
    CHECK_ERR(getpriority((enum __priority_which)3, 0), EINVAL);
    CHECK_ERR(getpriority(PRIO_PROCESS, 0x3ffffff), ESRCH);
    CHECK_ERR(getrusage((enum __rusage_who)7, NULL), EINVAL);
}

CASE(names_and_personalities_have_bounds)
{
    char long_name[70];
    memset(long_name, 'x', sizeof(long_name));

    if (!geteuid()) {
        CHECK_ERR(sethostname(long_name, 65), EINVAL);
        CHECK_ERR(sethostname(long_name, (size_t)-1), EINVAL);
    }
    int was = personality(0xffffffff);
    CHECK(was >= 0);
    CHECK_EQ(personality((unsigned long)was | ADDR_NO_RANDOMIZE), was);
    CHECK_EQ(personality((unsigned long)was), was | ADDR_NO_RANDOMIZE);
    CHECK_EQ(personality(0xffffffff), was);
    CHECK_ERR(klogctl(11, NULL, 0), EINVAL);
    CHECK(klogctl(10, NULL, 0) > 1000);
    CHECK_ERR(getrandom(long_name, 8, 8), EINVAL);
    CHECK_ERR(getrandom(long_name, 8, GRND_RANDOM | GRND_INSECURE), EINVAL);
    CHECK_ERR(syscall(SYS_getcpu, 8, NULL, NULL), EFAULT);
}

/* ---- threads and memory ---- */

CASE(clone3_checks_what_it_is_given)
{
    struct clone_args args = {.exit_signal = 65};
    char large[200] = {0};

    CHECK_ERR(syscall(SYS_clone3, &args, 63), EINVAL);
    CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL); /* there is no such signal */
    args = (struct clone_args){.flags = CLONE_THREAD};
    CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL); /* without CLONE_SIGHAND */
    args = (struct clone_args){.flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, .stack = 4096};
    CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL); /* of no size */
    args = (struct clone_args){.flags = CLONE_SIGHAND};
    CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL); /* without CLONE_VM */
    large[150] = 1;
    CHECK_ERR(syscall(SYS_clone3, large, sizeof(large)), E2BIG);
    CHECK_ERR(syscall(SYS_clone3, large, 5000), E2BIG);
}

CASE(robust_lists_can_be_asked_for)
{
    void *head = NULL;
    size_t len = 0;

    CHECK_EQ(syscall(SYS_get_robust_list, 0, &head, &len), 0);
    CHECK(head && len == 24);
    CHECK_ERR(syscall(SYS_get_robust_list, 0x3ffffff, &head, &len), ESRCH);
    CHECK_ERR(syscall(SYS_get_robust_list, 0, &head, 8), EFAULT);
    CHECK_ERR(syscall(SYS_set_robust_list, head, 23), EINVAL);
}

CASE(memory_calls_tell_of_holes)
{
    char *at = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char in_core[3];

    NEED(at != MAP_FAILED && !munmap(at + PAGE, PAGE));
    CHECK_ERR(msync(at, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK_ERR(msync(at + 1, PAGE, MS_SYNC), EINVAL);
    CHECK_ERR(msync(at, 3 * PAGE, MS_SYNC), ENOMEM);
    CHECK_ERR(msync(at, PAGE, 8), EINVAL);
    CHECK_ERR(mincore(at, 3 * PAGE, in_core), ENOMEM);
    CHECK_ERR(mincore(at + 1, PAGE, in_core), EINVAL);
    CHECK_ERR(mincore(at, PAGE, (void *)8), EFAULT);
    CHECK_ERR(mlock(at, 3 * PAGE), ENOMEM);
    CHECK_ERR(munlock(at, 3 * PAGE), ENOMEM);
    CHECK_ERR(mlock2(at, PAGE, 2), EINVAL);
    CHECK_ERR(mlock2(at, 3 * PAGE, MLOCK_ONFAULT), ENOMEM);
    CHECK_EQ(mlock2(at, PAGE, MLOCK_ONFAULT), 0);
    CHECK_EQ(munlock(at, PAGE), 0);
    CHECK_EQ(msync(at, PAGE, MS_INVALIDATE), 0);
    CHECK_ERR(mlockall(0), EINVAL);
    CHECK_ERR(mlockall(4), EINVAL); /* MCL_ONFAULT alone */
    CHECK_ERR(mlockall(8), EINVAL);
    CHECK_ERR(mprotect(at, 3 * PAGE, PROT_READ), ENOMEM);
    CHECK_ERR(mprotect(at + 1, PAGE, PROT_READ), EINVAL);
    CHECK_ERR(mprotect(at, PAGE, PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
    CHECK_ERR(madvise(at, 3 * PAGE, MADV_NORMAL), ENOMEM);
    CHECK_ERR(madvise(at, PAGE, 9999), EINVAL);
    CHECK_ERR(munmap(at + 1, PAGE), EINVAL);
    CHECK_ERR(munmap(at, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERR(
        (long)mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
        EEXIST);
    munmap(at, 3 * PAGE);
}

CASE(process_madvise_advises_by_pidfd)
{
    char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec vec = {at, PAGE};
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    NEED(at != MAP_FAILED && fd >= 0);
    CHECK_EQ(syscall(SYS_process_madvise, fd, &vec, 1, MADV_COLD, 0), PAGE);
    CHECK_ERR(syscall(SYS_process_madvise, fd, &vec, 1, MADV_COLD, 1), EINVAL);
    CHECK_ERR(syscall(SYS_process_madvise, 0, &vec, 1, MADV_COLD, 0), EBADF);
    CHECK_ERR(syscall(SYS_pidfd_open, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_pidfd_open, getpid(), 1), EINVAL);
    CHECK_ERR(syscall(SYS_pidfd_open, 0x3ffffff, 0), ESRCH);
    CHECK_ERR(waitid(P_PIDFD, (id_t)fd, NULL, WEXITED), ECHILD);
    CHECK_ERR(waitid(P_ALL, 0, NULL, 0), EINVAL);
    CHECK_ERR(waitpid(-1, NULL, 0x100), EINVAL);
    munmap(at, PAGE);
    close(fd);
}
