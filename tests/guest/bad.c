/* Bad input to every call: wild pointers, wild descriptors, wild sizes, and a storm of nonsense.
 * Nothing here may crash the program, let alone the kernel. */
#define _GNU_SOURCE
#include "t.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static void *const bad_pointers[] = {
    (void *)8,
    (void *)0x1000,
    (void *)0x7ffffffff000UL,
    (void *)0x800000000000UL,
    (void *)0x8000000000000000UL,
    (void *)0xffff888000000000UL,
    (void *)0xffffffff81000000UL,
    (void *)-4096L,
    (void *)-1L,
};

static int readable_fd(void)
{
    int fd = open("readable", O_RDWR | O_CREAT, 0600);
    if (write(fd, "0123456789abcdef", 16) != 16)
        t_problem(__LINE__, "write");
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* A raw call, so that the library does not look at the pointer before the kernel does. */
#define FAULTS(...) CHECK_ERR(syscall(__VA_ARGS__), EFAULT)

CASE(bad_paths_are_efault)
{
    char buf[256];
    for (size_t i = 0; i < COUNT(bad_pointers); i++) {
        void *p = bad_pointers[i];
        FAULTS(SYS_open, p, O_RDONLY);
        FAULTS(SYS_openat, AT_FDCWD, p, O_RDONLY);
        FAULTS(SYS_stat, p, buf);
        FAULTS(SYS_lstat, p, buf);
        FAULTS(SYS_newfstatat, AT_FDCWD, p, buf, 0);
        FAULTS(SYS_statx, AT_FDCWD, p, 0, 0, buf);
        FAULTS(SYS_access, p, 0);
        FAULTS(SYS_mkdir, p, 0);
        FAULTS(SYS_rmdir, p);
        FAULTS(SYS_unlink, p);
        FAULTS(SYS_rename, p, "x");
        FAULTS(SYS_rename, ".", p);
        FAULTS(SYS_link, p, "x");
        FAULTS(SYS_symlink, p, "x");
        FAULTS(SYS_readlink, p, buf, 16);
        FAULTS(SYS_chmod, p, 0);
        FAULTS(SYS_chown, p, 0, 0);
        FAULTS(SYS_truncate, p, 0);
        FAULTS(SYS_chdir, p);
        FAULTS(SYS_utimensat, AT_FDCWD, p, NULL, 0);
        FAULTS(SYS_statfs, p, buf);
        FAULTS(SYS_memfd_create, p, 0);
        FAULTS(SYS_execve, p, NULL, NULL);
    }
}

CASE(bad_buffers_are_efault)
{
    int fd = readable_fd(), fds[2], zero = open("/dev/zero", O_RDONLY),
        random = open("/dev/urandom", O_RDONLY);
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    NEED(pipe(fds) == 0 && write(fds[1], "abc", 3) == 3);
    for (size_t i = 0; i < COUNT(bad_pointers); i++) {
        void *p = bad_pointers[i];
        lseek(fd, 0, SEEK_SET);
        FAULTS(SYS_read, fd, p, 8);
        FAULTS(SYS_write, fd, p, 8);
        FAULTS(SYS_pread64, fd, p, 8, 0);
        FAULTS(SYS_pwrite64, fd, p, 8, 0);
        FAULTS(SYS_readv, fd, p, 2);
        FAULTS(SYS_writev, fd, p, 2);
        FAULTS(SYS_read, fds[0], p, 1);
        FAULTS(SYS_write, fds[1], p, 1);
        FAULTS(SYS_read, zero, p, 8);
        FAULTS(SYS_read, random, p, 8);
        FAULTS(SYS_fstat, fd, p);
        FAULTS(SYS_fstatfs, fd, p);
        FAULTS(SYS_getdents64, dir, p, 4096);
    }
    char c[4];
    CHECK_EQ(read(fds[0], c, 4), 3); /* a failed read takes nothing out */
    close(fd), close(zero), close(random), close(dir), close(fds[0]), close(fds[1]);
}

CASE(other_bad_pointers_are_efault)
{
    int fd = readable_fd(), ep = (int)syscall(SYS_epoll_create1, 0);
    int timer = (int)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
    int watch = (int)syscall(SYS_inotify_init1, 0);
    for (size_t i = 0; i < COUNT(bad_pointers); i++) {
        void *p = bad_pointers[i];
        FAULTS(SYS_pipe, p);
        FAULTS(SYS_clock_gettime, CLOCK_MONOTONIC, p);
        FAULTS(SYS_nanosleep, p, NULL);
        FAULTS(SYS_gettimeofday, p, NULL);
        FAULTS(SYS_uname, p);
        FAULTS(SYS_sysinfo, p);
        FAULTS(SYS_getrusage, 0, p);
        FAULTS(SYS_getrlimit, 7, p);
        FAULTS(SYS_prlimit64, 0, 7, p, NULL);
        FAULTS(SYS_getrandom, p, 16, 0);
        FAULTS(SYS_rt_sigaction, SIGUSR1, p, NULL, 8);
        FAULTS(SYS_rt_sigaction, SIGUSR1, NULL, p, 8);
        FAULTS(SYS_rt_sigprocmask, 0, p, NULL, 8);
        FAULTS(SYS_rt_sigpending, p, 8);
        FAULTS(SYS_rt_sigtimedwait, p, NULL, NULL, 8);
        FAULTS(SYS_sigaltstack, p, NULL);
        FAULTS(SYS_poll, p, 1, 0);
        FAULTS(SYS_select, 10, p, NULL, NULL, NULL);
        FAULTS(SYS_epoll_ctl, ep, 1, 0, p);
        FAULTS(SYS_timer_create, CLOCK_MONOTONIC, p, p);
        FAULTS(SYS_setitimer, 0, p, NULL);
        FAULTS(SYS_getitimer, 0, p);
        FAULTS(SYS_getcwd, p, 4096);
        FAULTS(SYS_sched_getaffinity, 0, 128, p);
        FAULTS(SYS_getresuid, p, p, p);
        FAULTS(SYS_sendfile, fd, fd, p, 1);
        FAULTS(SYS_timerfd_settime, timer, 0, p, NULL);
        FAULTS(SYS_signalfd4, -1, p, 8, 0);
        FAULTS(SYS_inotify_add_watch, watch, p, 1);
        FAULTS(SYS_prctl, 16 /* PR_GET_NAME */, p);
    }
    close(fd), close(ep), close(timer), close(watch);
}

CASE(a_buffer_that_ends_in_a_hole)
{
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct stat st;
    NEED(p != MAP_FAILED && munmap(p + 4096, 4096) == 0);
    int fd = readable_fd();
    CHECK_EQ(read(fd, p + 4096 - 16, 16), 16);
    CHECK(!memcmp(p + 4096 - 16, "0123456789abcdef", 16));
    ssize_t n = pread(fd, p + 4096 - 4, 16, 0);
    CHECK(n == 4 || (n == -1 && errno == EFAULT));
    memcpy(p + 4096 - 9, "readable", 9);
    CHECK_EQ(stat(p + 4096 - 9, &st), 0);
    CHECK_ERR(stat(p + 4096 - 8, &st), ENOENT);
    memset(p + 4096 - 8, 'x', 8);
    CHECK_ERR(stat(p + 4096 - 8, &st), EFAULT);
    CHECK_ERR(fstat(fd, (struct stat *)(void *)(p + 4096 - 16)), EFAULT);
    mprotect(p, 4096, PROT_READ);
    CHECK_ERR(pread(fd, p, 8, 0), EFAULT);
    munmap(p, 4096);
    close(fd);
}

/* As much as is there of [p, p + n), of which @there bytes can be touched; what came is right. */
static void check_part(ssize_t got, size_t n, size_t there, const char *bytes, const char *want)
{
    size_t most = n < there ? n : there;
    if (got < 0)
        CHECK(errno == EFAULT && most < n);
    else
        CHECK(got == (ssize_t)most && !memcmp(bytes, want, most));
}

CASE(copies_of_any_size_stop_right_before_a_hole)
{
    static const size_t places[] = {0, 1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17, 31, 60, 63, 64, 70, 90};
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char text[128], back[128];
    int fd = memfd_create("copies", 0);
    NEED(p != MAP_FAILED && munmap(p + 4096, 4096) == 0 && fd >= 0);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('0' + i);
    for (size_t n = 0; n <= 100; n++) {
        for (size_t i = 0; i < COUNT(places); i++) {
            char *at = p + 4096 - places[i];
            CHECK_EQ(pwrite(fd, text, sizeof(text), 0), (ssize_t)sizeof(text));
            memset(p + 4096 - 128, 'x', 128);
            check_part(pread(fd, at, n, 0), n, places[i], at, text);
            memcpy(at, text + 20, places[i]);
            ssize_t put = pwrite(fd, at, n, 0);
            CHECK_EQ(pread(fd, back, sizeof(back), 0), (ssize_t)sizeof(back));
            check_part(put, n, places[i], back, text + 20);
            CHECK(put < 0 || !memcmp(back + put, text + put, 1));
        }
    }
    munmap(p, 4096);
    close(fd);
}

CASE(bad_descriptors_are_ebadf)
{
    static const int fds[] = {-1, 1000, 1023, 65536, INT_MAX, INT_MIN};
    char buf[512];
    for (size_t i = 0; i < COUNT(fds); i++) {
        int fd = fds[i];
        CHECK_ERR(syscall(SYS_read, fd, buf, 1), EBADF);
        CHECK_ERR(syscall(SYS_write, fd, buf, 1), EBADF);
        CHECK_ERR(syscall(SYS_pread64, fd, buf, 1, 0), EBADF);
        CHECK_ERR(syscall(SYS_readv, fd, buf, 0), EBADF);
        CHECK_ERR(syscall(SYS_lseek, fd, 0, 0), EBADF);
        CHECK_ERR(syscall(SYS_fstat, fd, buf), EBADF);
        CHECK_ERR(syscall(SYS_close, fd), EBADF);
        CHECK_ERR(syscall(SYS_dup, fd), EBADF);
        CHECK_ERR(syscall(SYS_dup2, fd, 5), EBADF);
        CHECK_ERR(syscall(SYS_fcntl, fd, F_GETFL), EBADF);
        CHECK_ERR(syscall(SYS_ioctl, fd, 0x5401, buf), EBADF);
        CHECK_ERR(syscall(SYS_ftruncate, fd, 0), EBADF);
        CHECK_ERR(syscall(SYS_fsync, fd), EBADF);
        CHECK_ERR(syscall(SYS_fchdir, fd), EBADF);
        CHECK_ERR(syscall(SYS_fchmod, fd, 0), EBADF);
        CHECK_ERR(syscall(SYS_getdents64, fd, buf, 512), EBADF);
        CHECK_ERR(syscall(SYS_epoll_wait, fd, buf, 1, 0), EBADF);
        CHECK_ERR(syscall(SYS_openat, fd, "x", O_RDONLY), fd == AT_FDCWD ? ENOENT : EBADF);
        CHECK_ERR(syscall(SYS_sendfile, fd, fd, NULL, 1), EBADF);
        CHECK_ERR(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), EBADF);
    }
}

CASE(huge_sizes_are_refused_or_cut)
{
    int fd = readable_fd();
    char buf[16];
    lseek(fd, 0, SEEK_SET);
    CHECK_EQ(syscall(SYS_read, fd, buf, 16), 16);
    CHECK_ERR(syscall(SYS_read, fd, buf, SIZE_MAX),
              EFAULT); /* the range wraps, whatever is left to read */
    CHECK(syscall(SYS_getrandom, buf, 0, 0) == 0);
    CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 9), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, 0, buf, NULL, 1000), EINVAL);
    CHECK_ERR(syscall(SYS_poll, buf, UINT32_MAX, 0), EINVAL);
    CHECK_ERR(syscall(SYS_lseek, fd, INT64_MIN, SEEK_CUR), EINVAL);
    CHECK_ERR(syscall(SYS_pread64, fd, buf, 16, INT64_MIN), EINVAL);
    CHECK_ERR(syscall(SYS_ftruncate, fd, INT64_MIN), EINVAL);
    CHECK_ERR(syscall(SYS_mmap, NULL, SIZE_MAX, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERR(syscall(SYS_mremap, 0, SIZE_MAX, SIZE_MAX, 0), EINVAL);
    CHECK(syscall(SYS_mprotect, 0x400000, SIZE_MAX & ~4095UL, 1) == -1);
    CHECK_ERR(syscall(SYS_fcntl, fd, F_DUPFD, INT_MAX), EINVAL);
    struct iovec iov[2] = {{buf, SIZE_MAX >> 1}, {buf, SIZE_MAX >> 1}};
    long n = syscall(SYS_writev, fd, iov, 2);
    CHECK(n > 0 || errno == EINVAL || errno == EFAULT);
    close(fd);
}

/* Calls that the storm leaves out: those that end or stop the program, wait without end, take away
 * its memory, streams or handlers, harm the machine the native run is on, or make processes. */
static bool is_dangerous(long nr)
{
    static const short skip[] = {
        SYS_exit,
        SYS_exit_group,
        SYS_fork,
        SYS_vfork,
        SYS_clone,
        SYS_clone3,
        SYS_execve,
        SYS_execveat,
        SYS_kill,
        SYS_tkill,
        SYS_tgkill,
        SYS_rt_sigqueueinfo,
        SYS_rt_tgsigqueueinfo,
        SYS_pidfd_send_signal,
        SYS_rt_sigreturn,
        SYS_rt_sigsuspend,
        SYS_rt_sigaction,
        SYS_rt_sigprocmask,
        SYS_rt_sigtimedwait,
        SYS_sigaltstack,
        SYS_pause,
        SYS_munmap,
        SYS_mmap,
        SYS_mremap,
        SYS_mprotect,
        SYS_madvise,
        SYS_process_madvise,
        SYS_brk,
        SYS_arch_prctl,
        SYS_set_robust_list,
        SYS_set_tid_address,
        SYS_rseq,
        SYS_close,
        SYS_close_range,
        SYS_dup2,
        SYS_dup3,
        SYS_read,
        SYS_readv,
        SYS_preadv,
        SYS_preadv2,
        SYS_pread64,
        SYS_nanosleep,
        SYS_clock_nanosleep,
        SYS_poll,
        SYS_ppoll,
        SYS_select,
        SYS_pselect6,
        SYS_epoll_wait,
        SYS_epoll_pwait,
        SYS_epoll_pwait2,
        SYS_futex,
        SYS_futex_waitv,
        SYS_wait4,
        SYS_waitid,
        SYS_reboot,
        SYS_sethostname,
        SYS_setdomainname,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_swapon,
        SYS_swapoff,
        SYS_settimeofday,
        SYS_clock_settime,
        SYS_adjtimex,
        SYS_clock_adjtime,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_kexec_load,
        SYS_kexec_file_load,
        SYS_iopl,
        SYS_ioperm,
        SYS_modify_ldt,
        SYS_acct,
        SYS_syslog,
        SYS_vhangup,
        SYS_setrlimit,
        SYS_prlimit64,
        SYS_alarm,
        SYS_setitimer,
        SYS_timer_settime,
        SYS_timer_create,
        SYS_setuid,
        SYS_setgid,
        SYS_setreuid,
        SYS_setregid,
        SYS_setresuid,
        SYS_setresgid,
        SYS_setfsuid,
        SYS_setfsgid,
        SYS_setgroups,
        SYS_capset,
        SYS_prctl,
        SYS_seccomp,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_unshare,
        SYS_setns,
        SYS_bpf,
        SYS_perf_event_open,
        SYS_userfaultfd,
        SYS_chdir,
        SYS_fchdir,
        SYS_sync,
        SYS_syncfs,
        SYS_fallocate,
        SYS_ftruncate,
        SYS_truncate,
        SYS_umask,
        SYS_setsid,
        SYS_setpgid,
        SYS_setpriority,
        SYS_sched_setscheduler,
        SYS_sched_setparam,
        SYS_sched_setattr,
        SYS_sched_setaffinity,
        SYS_ioprio_set,
        SYS_io_uring_enter,
        SYS_io_uring_setup,
        SYS_io_getevents,
        SYS_io_pgetevents,
        SYS_io_submit,
        SYS_accept,
        SYS_accept4,
        SYS_recvfrom,
        SYS_recvmsg,
        SYS_recvmmsg,
        SYS_connect,
        SYS_flock,
        SYS_fcntl,
        SYS_ioctl,
        SYS_semop,
        SYS_semtimedop,
        SYS_msgrcv,
        SYS_msgsnd,
        SYS_mq_timedreceive,
        SYS_mq_timedsend,
        SYS_add_key,
        SYS_request_key,
        SYS_keyctl,
        SYS_fanotify_init,
        SYS_fanotify_mark,
        SYS_quotactl,
        SYS_nfsservctl,
        SYS_lookup_dcookie,
        SYS_mlockall,
        SYS_shmat,
        SYS_shmdt,
        SYS_shmctl,
        SYS_remap_file_pages,
        SYS_pkey_mprotect,
        SYS_landlock_restrict_self,
        SYS_unlink,
        SYS_unlinkat,
        SYS_rmdir,
        SYS_rename,
        SYS_renameat,
        SYS_renameat2,
        SYS_write,
        SYS_writev,
        SYS_pwrite64,
        SYS_pwritev,
        SYS_pwritev2,
        SYS_sendfile,
        SYS_splice,
        SYS_tee,
        SYS_vmsplice,
        SYS_copy_file_range,
        SYS_migrate_pages,
        SYS_move_pages,
        SYS_mbind,
        SYS_set_mempolicy,
        SYS_getpmsg,
        SYS_mknod,
        SYS_mknodat,
        SYS_fchmod,
        SYS_fchown,
        SYS_fchownat,
        SYS_fchmodat,
        SYS_fsetxattr,
        SYS_semget,
        SYS_msgget,
        SYS_shmget,
        SYS_mq_open,
        SYS_utimensat,
        SYS_futimesat,
        SYS_open_tree,
        SYS_move_mount,
        SYS_fsopen,
        SYS_fsconfig,
        SYS_fsmount,
        SYS_fspick,
        SYS_mount_setattr,
        SYS_personality,
    };
    for (size_t i = 0; i < COUNT(skip); i++)
        if (skip[i] == nr)
            return true;
    return nr > 334 && nr < 424; /* holes, uretprobe */
}

static __thread uint64_t storm_state = 0x9e3779b97f4a7c15;
static uint64_t next_random(void)
{
    storm_state ^= storm_state << 13;
    storm_state ^= storm_state >> 7;
    storm_state ^= storm_state << 17;
    return storm_state;
}

/* Never a slash nor a dot: the native run is on somebody's machine. */
static char next_name_char(void)
{
    char c = (char)next_random();
    return c == '/' || c == '.' ? 'x' : c;
}

/* A value that is likely to be on an edge of something.  Pointers lie in the scratch page or are
 * wild, never at the program's own data. */
static long next_argument(char *scratch)
{
    switch (next_random() % 8) {
    case 0:
        return (long)(next_random() % 8);
    case 1:
        return -(long)(next_random() % 8);
    case 2:
        return (long)bad_pointers[next_random() % COUNT(bad_pointers)];
    case 3:
        return (long)(1UL << next_random() % 64);
    case 4:
        return (long)(next_random() % 300);
    case 5:
        return (long)(next_random() & 0xffffffff) | 0x40000000;
    default:
        return (long)(scratch + next_random() % 4096);
    }
}

static void random_calls(char *scratch, long calls, bool (*skips)(long nr))
{
    for (long made = 0; made < calls;) {
        long nr = (long)(next_random() % 450), a[6];
        if (skips(nr))
            continue;
        if (made % 64 == 0) /* paths found in the scratch page stay short and odd */
            for (int i = 0; i < 65536; i++)
                scratch[i] = next_random() % 4 ? 0 : next_name_char();
        for (int i = 0; i < 6; i++)
            a[i] = next_argument(scratch);
        syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        made++;
        if (made % 256 == 0)
            syscall(SYS_close_range, 20, 65535, 0);
    }
}

static uint64_t storm_seed(void)
{
    const char *seed = getenv("SEED");

    return seed ? strtoul(seed, NULL, 10) * 0x2545f4914f6cdd1d : 0;
}

static long storm_calls(void)
{
    const char *count = getenv("STORM");

    return count ? atol(count) : 20000;
}

CASE(a_storm_of_random_calls)
{
    char *scratch = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    NEED(scratch != MAP_FAILED);
    storm_state += storm_seed();
    random_calls(scratch, storm_calls(), is_dangerous);
    munmap(scratch, 65536);
    CHECK(getpid() > 0);
    CHECK(put_file("after", "still fine") && !strcmp(get_file("after"), "still fine"));
}

/* Also what the C library's threads rely on, and what waits for a thread that is not there. */
static bool is_dangerous_to_threads(long nr)
{
    return is_dangerous(nr) || nr == SYS_set_tid_address || nr == SYS_set_robust_list ||
           nr == SYS_rseq || nr == SYS_membarrier || nr == SYS_sched_yield;
}

enum { STORM_THREADS = 4 };
static char *storm_scratch; /* all threads' */
static int storms_done;

static void *storm(void *arg)
{
    storm_state += storm_seed() + (uint64_t)(long)arg * 0x9e3779b97f4a7c15;
    random_calls(storm_scratch, storm_calls() / 2, is_dangerous_to_threads);
    __atomic_fetch_add(&storms_done, 1, __ATOMIC_SEQ_CST);
    return arg;
}

CASE(a_storm_of_random_calls_by_many_threads)
{
    pthread_t threads[STORM_THREADS];
    long long end = now_ms() + 1000 * (20 + storm_calls() / 1000);

    storm_scratch = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(storm_scratch != MAP_FAILED);
    storms_done = 0;
    for (long i = 0; i < STORM_THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, storm, (void *)(i + 1)) == 0);
    while (__atomic_load_n(&storms_done, __ATOMIC_SEQ_CST) < STORM_THREADS && now_ms() < end)
        sleep_ms(5);
    NEED(storms_done == STORM_THREADS);
    for (int i = 0; i < STORM_THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    munmap(storm_scratch, 65536);
    CHECK(put_file("after", "still fine") && !strcmp(get_file("after"), "still fine"));
}
