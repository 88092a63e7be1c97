/* The rest: who we are, limits, random numbers, names of the system, small calls that runtimes
 * make. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/rseq.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>

CASE(uname_says_linux)
{
    struct utsname name;
    int major = 0, minor = 0;
    NEED(uname(&name) == 0);
    CHECK(!strcmp(name.sysname, "Linux") && !strcmp(name.machine, "x86_64"));
    CHECK(sscanf(name.release, "%d.%d", &major, &minor) == 2 && major >= 4);
    CHECK(name.nodename[0] != 0);
}

CASE(identities)
{
    uid_t r, e, s;
    gid_t groups[64];
    CHECK_EQ(getresuid(&r, &e, &s), 0);
    CHECK(r == getuid() && e == geteuid());
    CHECK_EQ(getresgid(&r, &e, &s), 0);
    CHECK(r == getgid() && e == getegid());
    CHECK(getgroups(64, groups) >= 0);
    CHECK(getpid() > 0 && getppid() >= 0);
    CHECK(getpgrp() >= 0 && getsid(0) >= 0 && getpgid(0) == getpgrp());
    CHECK_EQ(setuid(getuid()), 0);
    CHECK_EQ(setgid(getgid()), 0);
}

CASE(sysinfo_and_rusage)
{
    struct sysinfo info;
    struct rusage usage;
    CHECK(sysinfo(&info) == 0 && info.totalram > 0 && info.freeram <= info.totalram);
    CHECK(info.mem_unit > 0 && info.procs > 0 && info.uptime >= 0);
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > 0);
    CHECK_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &usage), 0);
    CHECK_ERR(getrusage(99, &usage), EINVAL);
}

CASE(random_numbers)
{
    unsigned char a[256], b[256];
    int bits = 0;
    CHECK_EQ(getrandom(a, sizeof(a), 0), 256);
    CHECK_EQ(getrandom(b, sizeof(b), GRND_NONBLOCK), 256);
    CHECK(memcmp(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(a); i++)
        bits += __builtin_popcount(a[i]);
    CHECK(bits > 850 && bits < 1200); /* 1024 expected, 7 standard deviations */
    CHECK_ERR(getrandom(a, 1, 0x1234), EINVAL);
    CHECK_EQ(getrandom(a, 0, 0), 0);
    CHECK_EQ(getentropy(a, 256), 0);
    unsigned char *seed = (unsigned char *)getauxval(AT_RANDOM);
    int zeros = 0;
    for (int i = 0; i < 16; i++)
        zeros += seed[i] == 0;
    CHECK(zeros < 8);
}

CASE(limits)
{
    struct rlimit limit, old;
    for (int i = 0; i < RLIM_NLIMITS; i++)
        CHECK_EQ(getrlimit((unsigned int)i, &limit), 0);
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 1 << 20);
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur >= 256);
    limit = old;
    limit.rlim_cur = 40;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_ERR(dup2(0, 40), EBADF);
    CHECK_ERR(fcntl(0, F_DUPFD, 40), EINVAL);
    int fds[64], n = 0;
    while (n < 64 && (fds[n] = open(".", O_RDONLY)) >= 0)
        n++;
    CHECK(n < 40 && errno == EMFILE);
    while (n > 0)
        close(fds[--n]);
    CHECK_EQ(prlimit(0, RLIMIT_NOFILE, &old, &limit), 0);
    CHECK_EQ(limit.rlim_cur, 40);
    limit.rlim_cur = 20;
    limit.rlim_max = 10;
    CHECK_ERR(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    CHECK_ERR(getrlimit(99, &limit), EINVAL);
    CHECK(sysconf(_SC_OPEN_MAX) == (long)old.rlim_cur);
}

CASE(prctl_names_and_flags)
{
    char name[16] = "";
    CHECK_EQ(prctl(PR_SET_NAME, "a-rather-long-name-indeed"), 0);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK(!strcmp(name, "a-rather-long-n"));
    CHECK(prctl(PR_GET_DUMPABLE) >= 0);
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, 0), 0);
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK(prctl(PR_CAPBSET_READ, 0) >= 0);
    CHECK_ERR(prctl(123456), EINVAL);
}

CASE(arch_prctl_tells_the_thread_pointer)
{
    unsigned long fs = 0, self;
    CHECK_EQ(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &fs), 0);
    __asm__("movq %%fs:0, %0" : "=r"(self));
    CHECK(fs == self);
    CHECK_ERR(syscall(SYS_arch_prctl, 0x9999, &fs), EINVAL);
}

CASE(priorities)
{
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
    errno = 0;
    CHECK(getpriority(PRIO_PROCESS, 0) == 5 && errno == 0);
}

CASE(no_children_to_wait_for)
{
    int status;
    CHECK_ERR(waitpid(-1, &status, 0), ECHILD);
    CHECK_ERR(waitpid(-1, &status, WNOHANG), ECHILD);
    CHECK_ERR(wait4(-1, &status, 0, NULL), ECHILD);
}

CASE(an_unknown_call_is_enosys)
{
    CHECK_ERR(syscall(1000), ENOSYS);
    CHECK_ERR(syscall(100000), ENOSYS);
    CHECK_ERR(syscall(-1), ENOSYS);
    CHECK_ERR(syscall(0x7fffffff), ENOSYS);
}

CASE(membarrier_rseq_and_capabilities)
{
    CHECK(syscall(SYS_membarrier, 0, 0, 0) >= 0 || errno == ENOSYS);
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    uint32_t data[6] = {0};
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    CHECK(geteuid() != 0 || data[0] != 0);
    CHECK(syscall(SYS_set_tid_address, &(int){0}) == getpid());
}

CASE(where_am_i_running)
{
    unsigned int cpu = 99999, node = 99999;
    CHECK_EQ(syscall(SYS_getcpu, &cpu, &node, NULL), 0);
    CHECK(cpu < 4096 && node < 1024);
    CHECK_EQ(getcpu(&cpu, &node), 0);
}

CASE(what_is_no_socket_says_so)
{
    struct sockaddr addr = {0};
    socklen_t len = sizeof(addr);
    int pipes[2], value = 0;
    NEED(pipe(pipes) == 0);
    CHECK_ERR(getpeername(pipes[0], &addr, &len), ENOTSOCK);
    CHECK_ERR(getsockname(pipes[0], &addr, &len), ENOTSOCK);
    len = sizeof(value);
    CHECK_ERR(getsockopt(pipes[0], SOL_SOCKET, SO_TYPE, &value, &len), ENOTSOCK);
    CHECK_ERR(recv(pipes[0], &value, 1, MSG_DONTWAIT), ENOTSOCK);
    CHECK_ERR(send(pipes[1], &value, 1, MSG_NOSIGNAL), ENOTSOCK);
    CHECK_ERR(shutdown(pipes[0], SHUT_RDWR), ENOTSOCK);
    CHECK_ERR(listen(999, 1), EBADF);
    CHECK_ERR(connect(999, &addr, sizeof(addr)), EBADF);
    CHECK_ERR(socket(4711, SOCK_STREAM, 0), EAFNOSUPPORT);
    close(pipes[0]);
    close(pipes[1]);
}

CASE(protection_keys_may_be_missing)
{
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    CHECK_EQ(syscall(SYS_pkey_mprotect, p, 4096, PROT_READ, -1), 0);
    CHECK_ERR(syscall(SYS_pkey_mprotect, p, 4096, PROT_READ, 13), EINVAL);
    CHECK_ERR(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_pkey_free, 13), EINVAL);
    long key = syscall(SYS_pkey_alloc, 0, 0);
    CHECK(key >= 0 || errno == ENOSPC || errno == EINVAL); /* both are seen without them */
    munmap(p, 4096);
}

CASE(standard_streams_are_open)
{
    struct stat st;
    for (int fd = 0; fd < 3; fd++)
        CHECK_EQ(fstat(fd, &st), 0);
    CHECK(fcntl(1, F_GETFL) >= 0);
}

static int order;
static void first(void)
{
    order = order * 10 + 1;
}
static void second(void)
{
    order = order * 10 + 2;
}

CASE(environment_and_exit_handlers)
{
    CHECK_EQ(setenv("ADDED", "yes", 1), 0);
    CHECK(!strcmp(getenv("ADDED"), "yes"));
    CHECK_EQ(unsetenv("ADDED"), 0);
    CHECK(atexit(first) == 0 && atexit(second) == 0);
}
