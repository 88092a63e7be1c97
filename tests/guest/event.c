/* Descriptors that are no files: eventfd, timerfd, signalfd, inotify, memfd with its seals. */
#define _GNU_SOURCE
#include "t.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

CASE(eventfd_adds_up)
{
    uint64_t value = 3;
    int fd = eventfd(2, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK(read(fd, &value, 8) == 8 && value == 5);
    CHECK_ERR(read(fd, &value, 8), EAGAIN);
    CHECK_ERR(read(fd, &value, 4), EINVAL);
    CHECK_ERR(write(fd, &value, 4), EINVAL);
    value = UINT64_MAX;
    CHECK_ERR(write(fd, &value, 8), EINVAL);
    value = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &value, 8), 8);
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
    value = 1;
    CHECK_ERR(write(fd, &value, 8), EAGAIN);
    CHECK(read(fd, &value, 8) == 8 && value == UINT64_MAX - 1);
    close(fd);
    CHECK_ERR(eventfd(0, 0x1234567), EINVAL);
}

CASE(eventfd_as_semaphore)
{
    uint64_t value;
    int fd = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);
    CHECK(read(fd, &value, 8) == 8 && value == 1);
    CHECK(read(fd, &value, 8) == 8 && value == 1);
    CHECK_ERR(read(fd, &value, 8), EAGAIN);
    close(fd);
}

CASE(timerfd_counts_expirations)
{
    struct itimerspec it = {.it_value = {100, 20000000}}, now;
    uint64_t times;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    NEED(fd >= 0);
    CHECK_EQ(timerfd_settime(fd, 0, &it, NULL), 0);
    CHECK(timerfd_gettime(fd, &now) == 0 && now.it_value.tv_sec > 0 && now.it_value.tv_sec <= 100);
    it.it_value.tv_sec = 0;
    long long start = now_ms();
    CHECK_EQ(timerfd_settime(fd, 0, &it, NULL), 0);
    CHECK(read(fd, &times, 8) == 8 && times == 1);
    CHECK(now_ms() - start >= 19);
    it.it_interval.tv_nsec = 5000000;
    it.it_value.tv_nsec = 5000000;
    CHECK_EQ(timerfd_settime(fd, 0, &it, NULL), 0);
    sleep_ms(60);
    CHECK(read(fd, &times, 8) == 8 && times >= 5);
    memset(&it, 0, sizeof(it));
    CHECK_EQ(timerfd_settime(fd, 0, &it, &now), 0);
    CHECK_EQ(now.it_interval.tv_nsec, 5000000);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    CHECK_ERR(read(fd, &times, 8), EAGAIN);
    clock_gettime(CLOCK_MONOTONIC, &it.it_value);
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL), 0);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK(read(fd, &times, 8) == 8 && times == 1);
    CHECK_ERR(read(fd, &times, 4), EINVAL);
    it.it_value.tv_nsec = 1000000000;
    CHECK_ERR(timerfd_settime(fd, 0, &it, NULL), EINVAL);
    CHECK_ERR(timerfd_create(1234, 0), EINVAL);
    close(fd);
    fd = timerfd_create(CLOCK_REALTIME, 0);
    CHECK(fd >= 0);
    close(fd);
}

CASE(signalfd_reads_signals)
{
    struct signalfd_siginfo info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    NEED(fd >= 0);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_ERR(read(fd, &info, sizeof(info)), EAGAIN);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(read(fd, &info, sizeof(info)), (long)sizeof(info));
    CHECK(info.ssi_signo == SIGUSR1 && info.ssi_pid == (uint32_t)getpid());
    CHECK_EQ(poll(&p, 1, 0), 0);
    sigaddset(&set, SIGUSR2);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_ERR(read(fd, &info, 10), EINVAL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    close(fd);
}

static const struct inotify_event *next_event(int fd, char *buf, size_t size)
{
    ssize_t n = read(fd, buf, size);
    return n > 0 ? (const struct inotify_event *)(const void *)buf : NULL;
}

CASE(inotify_tells_what_happens_in_a_directory)
{
    /* One event fits the buffer, so each read gives one. */
    char buf[sizeof(struct inotify_event) + 16] __attribute__((aligned(8)));
    const struct inotify_event *e;
    int fd = inotify_init1(IN_NONBLOCK);
    NEED(fd >= 0 && mkdir("watched", 0755) == 0);
    CHECK_ERR(read(fd, buf, sizeof(buf)), EAGAIN);
    int wd = inotify_add_watch(fd, "watched", IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVE);
    CHECK_EQ(wd, 1);
    NEED(put_file("watched/f", "x"));
    e = next_event(fd, buf, sizeof(buf));
    CHECK(e && e->wd == wd && e->mask == IN_CREATE && !strcmp(e->name, "f"));
    e = next_event(fd, buf, sizeof(buf));
    CHECK(e && e->mask == IN_MODIFY && !strcmp(e->name, "f"));
    CHECK_EQ(rename("watched/f", "watched/g"), 0);
    e = next_event(fd, buf, sizeof(buf));
    uint32_t cookie = e ? e->cookie : 0;
    CHECK(e && e->mask == IN_MOVED_FROM && !strcmp(e->name, "f"));
    e = next_event(fd, buf, sizeof(buf));
    CHECK(e && e->mask == IN_MOVED_TO && !strcmp(e->name, "g") && e->cookie == cookie);
    CHECK_EQ(unlink("watched/g"), 0);
    e = next_event(fd, buf, sizeof(buf));
    CHECK(e && e->mask == IN_DELETE);
    CHECK_EQ(inotify_rm_watch(fd, wd), 0);
    e = next_event(fd, buf, sizeof(buf));
    CHECK(e && e->mask == IN_IGNORED);
    CHECK_ERR(inotify_rm_watch(fd, wd), EINVAL);
    CHECK_ERR(inotify_add_watch(fd, "none", IN_CREATE), ENOENT);
    close(fd);
}

CASE(memfd_is_a_file_without_a_name)
{
    char buf[8] = "";
    int fd = memfd_create("label", MFD_CLOEXEC);
    NEED(fd >= 0);
    CHECK_EQ(write(fd, "memory", 6), 6);
    CHECK_EQ(pread(fd, buf, 8, 0), 6);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(p != MAP_FAILED);
    p[5000] = 'x';
    CHECK(pread(fd, buf, 1, 5000) == 1 && buf[0] == 'x');
    munmap(p, 8192);
    char link[64] = "", path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(readlink(path, link, sizeof(link) - 1) > 0 && !strncmp(link, "/memfd:label", 12));
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    close(fd);
}

CASE(seals_hold)
{
    char c = 0;
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    NEED(fd >= 0 && write(fd, "0123456789", 10) == 10);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
    CHECK_ERR(ftruncate(fd, 5), EPERM);
    CHECK_ERR(ftruncate(fd, 50), EPERM);
    CHECK_ERR(pwrite(fd, "x", 1, 4096), EPERM);
    CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    munmap(p, 4096);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
    CHECK_ERR(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_ERR(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL);
    CHECK(pread(fd, &c, 1, 0) == 1 && c == 'x');
    close(fd);
}

CASE(shm_open_makes_named_memory)
{
    char name[32];
    snprintf(name, sizeof(name), "/guest-test-%d", getpid());
    shm_unlink(name); /* of a run that was killed */
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    NEED(fd >= 0);
    CHECK_EQ(ftruncate(fd, 4096), 0);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(p != MAP_FAILED);
    p[0] = 's';
    int again = shm_open(name, O_RDWR, 0);
    char c = 0;
    CHECK(read(again, &c, 1) == 1 && c == 's');
    CHECK_EQ(shm_unlink(name), 0);
    munmap(p, 4096), close(fd), close(again);
}
