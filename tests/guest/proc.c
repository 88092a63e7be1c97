/* What programs read about themselves and the machine: /proc, /sys, /dev, /etc. */
#define _GNU_SOURCE
#include "t.h"

#include <dirent.h>
#include <elf.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static int count_entries(const char *path)
{
    struct dirent *e;
    int n = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    while ((e = readdir(dir)))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

CASE(maps_shows_the_mappings)
{
    unsigned long start, end, last = 0;
    char perms[8], line[512];
    int lines = 0, sorted = 1, holds_code = 0, holds_stack = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    NEED(f);
    while (fgets(line, sizeof(line), f)) {
        NEED(sscanf(line, "%lx-%lx %7s", &start, &end, perms) == 3);
        sorted &= start >= last && end > start;
        last = end;
        lines++;
        if ((unsigned long)&count_entries - start < end - start)
            holds_code = perms[0] == 'r' && perms[1] == '-' && perms[2] == 'x';
        if ((unsigned long)&start - start < end - start)
            holds_stack = perms[1] == 'w' && perms[2] == '-' && strstr(line, "[stack]");
    }
    fclose(f);
    CHECK(lines > 4 && sorted && holds_code && holds_stack);
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char want[40];
    snprintf(want, sizeof(want), "%lx", (unsigned long)p + 4096);
    CHECK(strstr(get_file("/proc/self/maps"), want) != NULL);
    munmap(p, 4096);
}

CASE(exe_cmdline_and_cwd)
{
    char exe[PATH_MAX] = "", cwd[PATH_MAX] = "", cmdline[4096];
    CHECK(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0 && exe[0] == '/');
    CHECK_EQ(access(exe, R_OK | X_OK), 0);
    CHECK(readlink("/proc/self/cwd", cwd, sizeof(cwd) - 1) > 0 && !strcmp(cwd, t_dir));
    CHECK(readlink("/proc/self/root", cwd, sizeof(cwd) - 1) == 1);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t n = read(fd, cmdline, sizeof(cmdline));
    CHECK(n > 1 && cmdline[n - 1] == 0 && strstr(cmdline, "proc"));
    close(fd);
    fd = open("/proc/self/exe", O_RDONLY);
    CHECK(read(fd, cmdline, 4) == 4 && !memcmp(cmdline, "\177ELF", 4));
    close(fd);
    CHECK(!strncmp(get_file("/proc/self/comm"), "proc", 4));
}

CASE(auxv_and_environ)
{
    Elf64_auxv_t aux[64];
    int fd = open("/proc/self/auxv", O_RDONLY), page_size = 0;
    ssize_t n = read(fd, aux, sizeof(aux));
    close(fd);
    CHECK(n > 0 && n % (ssize_t)sizeof(aux[0]) == 0);
    for (size_t i = 0; i < (size_t)n / sizeof(aux[0]); i++)
        if (aux[i].a_type == AT_PAGESZ)
            page_size = (int)aux[i].a_un.a_val;
    CHECK_EQ(page_size, 4096);
    fd = open("/proc/self/environ", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
}

CASE(fd_lists_the_descriptors)
{
    char path[64], target[256] = "";
    NEED(put_file("listed", "123"));
    int fd = open("listed", O_RDONLY);
    CHECK(count_entries("/proc/self/fd") >= 4);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "/listed"));
    int again = open(path, O_RDONLY);
    char c;
    CHECK(again >= 0 && read(again, &c, 1) == 1 && c == '1');
    close(again);
    snprintf(path, sizeof(path), "/dev/fd/%d", fd);
    again = open(path, O_RDONLY);
    CHECK(again >= 0);
    close(again), close(fd);
    CHECK_ERR(readlink(path, target, sizeof(target)), ENOENT);
    int fds[2];
    NEED(pipe(fds) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
    memset(target, 0, sizeof(target));
    CHECK(readlink(path, target, sizeof(target) - 1) > 0 && !strncmp(target, "pipe:[", 6));
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fds[0]);
    CHECK(strstr(get_file(path), "flags:") != NULL);
    close(fds[0]), close(fds[1]);
}

CASE(status_has_the_lines_that_runtimes_read)
{
    static const char *const keys[] = {"Name:",   "State:", "Pid:",     "Uid:",    "Gid:",
                                       "VmSize:", "VmRSS:", "Threads:", "SigBlk:", "CapEff:"};
    const char *text = get_file("/proc/self/status");
    char want[32];
    for (size_t i = 0; i < COUNT(keys); i++)
        if (!strstr(text, keys[i]))
            t_problem(__LINE__, "no %s", keys[i]);
    snprintf(want, sizeof(want), "\nPid:\t%d\n", getpid());
    CHECK(strstr(text, want) != NULL);
}

CASE(stat_and_statm_parse)
{
    int pid = 0, ppid = -1;
    char state = 0, comm[64] = "";
    long size = 0, resident = 0;
    unsigned long long start = 0;
    CHECK_EQ(sscanf(get_file("/proc/self/stat"),
                    "%d (%63[^)]) %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
                    "%*d %*d %*d %llu",
                    &pid, comm, &state, &ppid, &start),
             5);
    CHECK(pid == getpid() && state == 'R');
    CHECK_EQ(sscanf(get_file("/proc/self/statm"), "%ld %ld", &size, &resident), 2);
    CHECK(size > 0 && resident > 0 && resident <= size);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
    CHECK_EQ(access(path, R_OK), 0);
}

static void *wait_there(void *arg)
{
    pthread_barrier_wait(arg);
    pthread_barrier_wait(arg);
    return NULL;
}

CASE(task_lists_the_threads)
{
    pthread_barrier_t barrier;
    pthread_t thread;
    CHECK_EQ(count_entries("/proc/self/task"), 1);
    pthread_barrier_init(&barrier, NULL, 2);
    NEED(pthread_create(&thread, NULL, wait_there, &barrier) == 0);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(count_entries("/proc/self/task"), 2);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    char path[64], target[64] = "", want[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", getpid());
    CHECK(!strncmp(get_file(path), "proc", 4));
    CHECK(readlink("/proc/thread-self", target, sizeof(target) - 1) > 0);
    snprintf(want, sizeof(want), "%d/task/%d", getpid(), (int)syscall(SYS_gettid));
    CHECK(!strcmp(target, want));
}

CASE(files_of_the_machine)
{
    long total = 0, available = 0;
    double up = 0, a, b, c;
    const char *text = get_file("/proc/meminfo");
    CHECK(strstr(text, "MemTotal:") &&
          sscanf(strstr(text, "MemTotal:"), "MemTotal: %ld kB", &total) == 1);
    CHECK(strstr(text, "MemFree:") && strstr(text, "MemAvailable:"));
    CHECK(sscanf(strstr(text, "MemAvailable:"), "MemAvailable: %ld", &available) == 1);
    CHECK(total > 1000 && available > 0 && available <= total);
    CHECK(strstr(get_file("/proc/cpuinfo"), "processor\t: 0") != NULL);
    CHECK(strstr(get_file("/proc/cpuinfo"), "flags") != NULL);
    text = get_file("/proc/stat");
    CHECK(!strncmp(text, "cpu ", 4) && strstr(text, "\ncpu0 ") && strstr(text, "btime "));
    CHECK(sscanf(get_file("/proc/uptime"), "%lf", &up) == 1 && up >= 0);
    CHECK_EQ(sscanf(get_file("/proc/loadavg"), "%lf %lf %lf", &a, &b, &c), 3);
    CHECK(strstr(get_file("/proc/mounts"), " / ") != NULL);
    CHECK(strstr(get_file("/proc/self/mounts"), " /proc proc ") != NULL);
    CHECK(strstr(get_file("/proc/self/mountinfo"), " / ") != NULL);
    CHECK(strstr(get_file("/proc/filesystems"), "tmpfs") != NULL);
    CHECK(!strncmp(get_file("/proc/version"), "Linux version ", 14));
    CHECK(get_file("/proc/self/cgroup")[0] != 0);
    CHECK(get_file("/proc/self/limits")[0] != 0);
    CHECK(get_file("/proc/self/oom_score_adj")[0] != 0);
}

CASE(sysctl_files)
{
    CHECK(atol(get_file("/proc/sys/kernel/pid_max")) > 0);
    CHECK(get_file("/proc/sys/kernel/hostname")[0] != 0);
    CHECK(!strcmp(get_file("/proc/sys/kernel/ostype"), "Linux\n"));
    CHECK(get_file("/proc/sys/kernel/osrelease")[0] != 0);
    CHECK_EQ(strlen(get_file("/proc/sys/kernel/random/uuid")), 37);
    CHECK_EQ(strlen(get_file("/proc/sys/kernel/random/boot_id")), 37);
    CHECK(get_file("/proc/sys/vm/overcommit_memory")[0] != 0);
    CHECK(atol(get_file("/proc/sys/vm/max_map_count")) > 0);
    CHECK(atol(get_file("/proc/sys/fs/file-max")) > 0);
    CHECK(atol(get_file("/proc/sys/kernel/msgmni")) > 0);
    CHECK(get_file("/proc/sys/net/ipv4/tcp_congestion_control")[0] != 0);
    CHECK(get_file("/proc/sys/vm/zone_reclaim_mode")[0] == '0');
    const char *clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    CHECK(get_file(clock)[0] != 0);
    CHECK(atol(get_file("/proc/sys/kernel/threads-max")) > 0);
}

CASE(processors_in_sys)
{
    const char *online = get_file("/sys/devices/system/cpu/online");
    CHECK(online[0] == '0');
    CHECK(get_file("/sys/devices/system/cpu/possible")[0] == '0');
    CHECK(count_entries("/sys/devices/system/cpu") > 0);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    CHECK(sysconf(_SC_NPROCESSORS_CONF) >= sysconf(_SC_NPROCESSORS_ONLN));
    CHECK(sysconf(_SC_PHYS_PAGES) > 0);
}

static unsigned long named(const char *path, const char *name)
{
    const char *at = strstr(get_file(path), name);
    return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

/* What runtimes and monitors take for their container's use. */
CASE(cgroup_counts_processor_and_memory)
{
    enum { LEN = 8 << 20 };
    if (access("/sys/fs/cgroup/memory.stat", R_OK)) /* version 1, or the root of them all */
        return;
    unsigned long cpu = named("/sys/fs/cgroup/cpu.stat", "usage_usec ");
    bool more = false;
    for (int tries = 0; tries < 10 && !more; tries++) { /* others of the group may give some back */
        unsigned long anon = named("/sys/fs/cgroup/memory.stat", "anon ");
        char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(p != MAP_FAILED);
        memset(p, 1, LEN);
        more = !anon || named("/sys/fs/cgroup/memory.stat", "anon ") >= anon + LEN / 2;
        munmap(p, LEN);
    }
    CHECK(more);
    struct timespec start, now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < 30000000);
    CHECK(named("/sys/fs/cgroup/cpu.stat", "usage_usec ") >= cpu + 25000);
    CHECK(strtoul(get_file("/sys/fs/cgroup/pids.current"), NULL, 10) >= 1);
}

CASE(device_files)
{
    char buf[64];
    struct stat st;
    int fd = open("/dev/null", O_RDWR);
    NEED(fd >= 0);
    CHECK(read(fd, buf, 64) == 0 && write(fd, buf, 64) == 64);
    CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
    close(fd);
    fd = open("/dev/zero", O_RDWR);
    memset(buf, 1, 64);
    CHECK(read(fd, buf, 64) == 64 && buf[0] == 0 && buf[63] == 0);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(p != MAP_FAILED && p[5000] == 0);
    if (p != MAP_FAILED) {
        p[0] = 1;
        munmap(p, 8192);
    }
    close(fd);
    fd = open("/dev/full", O_RDWR);
    CHECK_ERR(write(fd, buf, 1), ENOSPC);
    CHECK_EQ(read(fd, buf, 1), 1);
    close(fd);
    static const char *const randoms[] = {"/dev/random", "/dev/urandom"};
    for (int i = 0; i < 2; i++) {
        char again[64];
        fd = open(randoms[i], O_RDONLY);
        CHECK(read(fd, buf, 64) == 64 && read(fd, again, 64) == 64 && memcmp(buf, again, 64));
        close(fd);
    }
    CHECK(stat("/dev/shm", &st) == 0 && S_ISDIR(st.st_mode));
    CHECK(lstat("/dev/stdin", &st) == 0 && lstat("/dev/stdout", &st) == 0 &&
          lstat("/dev/fd", &st) == 0);
}

/* stress-ng asks so whether a process was killed for memory, and would read for ever. */
CASE(the_log_is_read_line_by_line_and_ends)
{
    char line[1024];
    unsigned priority;
    unsigned long long number, us;
    char flag;
    int fd = open("/dev/kmsg", O_RDWR | O_NONBLOCK);

    if (fd < 0) {
        CHECK(errno == EPERM || errno == EACCES || errno == ENOENT); /* a container's root */
        return;
    }
    ssize_t n = 0;
    for (int tries = 0; tries < 10 && n >= 0; tries++) { /* others may say something meanwhile */
        CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
        n = read(fd, line, sizeof(line) - 1);
    }
    CHECK(n < 0 && errno == EAGAIN);
    CHECK_EQ(write(fd, "a line\n", 7), 7); /* which Linux may be told to drop */
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_ERR(read(fd, line, 3), EINVAL);
    int lines = 0, bad = 0;
    while ((n = read(fd, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
        if (n < 0)
            continue; /* overtaken */
        line[n] = '\0';
        lines++;
        bad += sscanf(line, "%u,%llu,%llu,%c", &priority, &number, &us, &flag) != 4 ||
               !strchr(line, ';') || line[n - 1] != '\n';
    }
    CHECK(n < 0 && errno == EAGAIN);
    CHECK(lines > 0);
    CHECK_EQ(bad, 0);
    close(fd);
}

CASE(files_in_etc)
{
    struct stat st;
    char name[256];
    CHECK_EQ(stat("/etc/hosts", &st), 0);
    CHECK(strstr(get_file("/etc/hosts"), "localhost") != NULL);
    CHECK_EQ(stat("/etc/passwd", &st), 0);
    CHECK(strstr(get_file("/etc/passwd"), "root:") != NULL);
    CHECK_EQ(gethostname(name, sizeof(name)), 0);
}

CASE(bad_names_in_proc)
{
    struct stat st;
    CHECK_ERR(stat("/proc/999999999", &st), ENOENT);
    CHECK_ERR(stat("/proc/self/none", &st), ENOENT);
    CHECK_ERR(stat("/proc/self/fd/999", &st), ENOENT);
    CHECK(open("/proc/new", O_CREAT | O_RDWR, 0600) < 0);
    CHECK(mkdir("/proc/dir", 0755) < 0);
}

/* ---- smaps and what is like it ---- */

static int fork_works(void)
{
    int status;
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    return pid > 0 && waitpid(pid, &status, 0) == pid;
}

/* Kilobytes of @name in the entry of the area that begins at @start; -1: not there. */
static long of_area(const void *start, const char *name)
{
    char line[600], head[40];
    int inside = 0;
    long value = -1;
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f)
        return -1;
    snprintf(head, sizeof(head), "%lx-", (unsigned long)start);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = !strncmp(line, head, strlen(head));
        else if (inside && !strncmp(line, name, strlen(name)))
            value = atol(line + strlen(name));
    }
    fclose(f);
    return value;
}

CASE(settings_are_files)
{
    static const char *const some[] = {"kernel/core_pattern",      "vm/dirty_expire_centisecs",
                                       "fs/suid_dumpable",         "net/core/somaxconn",
                                       "net/ipv4/tcp_fin_timeout", "net/ipv4/tcp_retries2"};
    char path[128];
    for (size_t i = 0; i < COUNT(some); i++) {
        snprintf(path, sizeof(path), "/proc/sys/%s", some[i]);
        const char *text = get_file(path);
        if (!*text || text[strlen(text) - 1] != '\n' || strchr(text, '\n')[1])
            t_problem(__LINE__, "%s: '%s'", path, text);
    }
    DIR *dir = opendir("/proc/sys/vm");
    struct dirent *e;
    int found = 0, all = 0;
    NEED(dir);
    long at = telldir(dir);
    while ((e = readdir(dir))) {
        all++;
        found += !strcmp(e->d_name, "overcommit_memory") && e->d_type == DT_REG;
    }
    seekdir(dir, at);
    while (readdir(dir))
        all--;
    closedir(dir);
    CHECK_EQ(found, 1);
    CHECK_EQ(all, 0);
    CHECK_ERR(access("/proc/sys/vm/overcommit", F_OK), ENOENT);
    CHECK_ERR(access("/proc/sys/vm/overcommit_memory1", F_OK), ENOENT);
}

CASE(smaps_tells_what_is_in_memory)
{
    enum { LEN = 64 << 12, BIG = 1 << 30 };
    char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    NEED(!mprotect(p, 4096, PROT_NONE)); /* areas of their own */
    NEED(!mprotect(p + LEN - 4096, 4096, PROT_NONE));
    p += 4096;
    for (int i = 0; i < 10; i++)
        p[i * 4096] = 1;
    CHECK_EQ(of_area(p, "Size:"), LEN / 1024 - 8);
    CHECK_EQ(of_area(p, "KernelPageSize:"), 4);
    long rss = of_area(p, "Rss:");
    CHECK(rss >= 40 && rss <= LEN / 1024 - 8);
    CHECK_EQ(of_area(p, "Private_Dirty:"), rss);
    CHECK_EQ(of_area(p, "Pss:"), rss);
    CHECK_EQ(of_area(p, "Anonymous:"), rss);
    CHECK_EQ(of_area(p, "Swap:"), 0);
    CHECK(strstr(get_file("/proc/self/smaps"), "VmFlags: rd wr") != NULL);
    munmap(p - 4096, LEN);
    p = mmap(NULL, BIG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    NEED(p != MAP_FAILED);
    CHECK_EQ(of_area(p, "Rss:"), 0);
    munmap(p, BIG);
}

CASE(smaps_divides_what_is_shared)
{
    enum { LEN = 16 << 12 };
    char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    NEED(!mprotect(p, 4096, PROT_READ));
    memset(p + 4096, 1, LEN - 4096);
    CHECK_EQ(of_area(p + 4096, "Private_Dirty:"), LEN / 1024 - 4);
    CHECK_EQ(of_area(p + 4096, "Anonymous:"), 0);
    int ready[2], go[2], status;
    char c;
    NEED(!pipe(ready) && !pipe(go));
    pid_t pid = fork();
    if (pid < 0) { /* no second process here */
        CHECK_EQ(errno, ENOSYS);
        munmap(p, LEN);
        return;
    }
    if (!pid) {
        close(go[1]);
        for (int i = 1; i < 16; i++)
            p[i * 4096] = 2;
        _exit(write(ready[1], "", 1) != 1 || read(go[0], &c, 1));
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    CHECK_EQ(of_area(p + 4096, "Rss:"), LEN / 1024 - 4);
    CHECK_EQ(of_area(p + 4096, "Pss:"), (LEN / 1024 - 4) / 2);
    CHECK_EQ(of_area(p + 4096, "Shared_Dirty:"), LEN / 1024 - 4);
    close(go[1]);
    CHECK(waitpid(pid, &status, 0) == pid && !status);
    close(go[0]), close(ready[0]), close(ready[1]);
    munmap(p, LEN);
}

CASE(rollup_sums_up)
{
    long rss = (long)named("/proc/self/smaps_rollup", "Rss:");
    CHECK(rss > 0 && strstr(get_file("/proc/self/smaps_rollup"), "[rollup]"));
    enum { LEN = 8 << 20 };
    char *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    memset(p, 1, LEN);
    long more = (long)named("/proc/self/smaps_rollup", "Rss:") - rss;
    CHECK(more >= LEN / 1024 && more < LEN / 1024 + 1024);
    CHECK((long)named("/proc/self/smaps_rollup", "Private_Dirty:") >= LEN / 1024);
    CHECK((long)named("/proc/self/smaps_rollup", "Pss_Anon:") >= LEN / 1024);
    munmap(p, LEN);
    const char *text = get_file("/proc/self/numa_maps");
    if (*text) /* a kernel without NUMA has none */
        CHECK(strstr(text, " default") && strstr(text, "N0=") && strstr(text, "stack"));
}

CASE(who_ends_first_for_memory)
{
    int status;
    CHECK_EQ(atoi(get_file("/proc/self/oom_score_adj")), 0);
    pid_t pid = fork();
    if (pid < 0) {
        CHECK_EQ(errno, ENOSYS);
        return;
    }
    if (!pid) {
        int before = atoi(get_file("/proc/self/oom_score"));
        int fd = open("/proc/self/oom_score_adj", O_WRONLY);
        int bad = fd < 0;
        bad |= (write(fd, "500\n", 4) != 4) << 1;
        bad |= (atoi(get_file("/proc/self/oom_score_adj")) != 500) << 2;
        bad |= (atoi(get_file("/proc/self/oom_score")) < before + 300) << 3;
        errno = 0;
        bad |= (write(fd, "1001", 4) != -1 || errno != EINVAL) << 4;
        bad |= (write(fd, "-1001", 5) != -1 || errno != EINVAL) << 5;
        bad |= (write(fd, "abc", 3) != -1 || errno != EINVAL) << 6;
        _exit(bad);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(atoi(get_file("/proc/self/oom_score_adj")), 0);
}

CASE(faults_and_run_time_are_counted)
{
    enum { PAGES = 512 };
    struct rusage before, after;
    unsigned long long run = 0, waited, turns = 0;
    NEED(!getrusage(RUSAGE_SELF, &before));
    char *p = mmap(NULL, PAGES << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED);
    madvise(p, PAGES << 12, MADV_NOHUGEPAGE);
    for (int i = 0; i < PAGES; i += 32) /* not one after the other: none is given ahead */
        p[i << 12] = 1;
    NEED(!getrusage(RUSAGE_SELF, &after));
    if (!strstr(get_file("/proc/version"), "ingot") || fork_works()) /* else the host has them */
        CHECK(after.ru_minflt - before.ru_minflt >= PAGES / 32);
    munmap(p, PAGES << 12);
    CHECK_EQ(sscanf(get_file("/proc/self/schedstat"), "%llu %llu %llu", &run, &waited, &turns), 3);
    CHECK(run > 0);
    char path[64], target[64] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", gettid());
    CHECK_EQ(access(path, R_OK), 0);
    CHECK(readlink("/proc/self/ns/net", target, sizeof(target) - 1) > 0);
    CHECK(!strncmp(target, "net:[", 5));
    CHECK(strstr(get_file("/proc/self/mountstats"), " mounted on / with fstype ") != NULL);
}

/* ---- /proc/PID/io ---- */

static long io_count(const char *path, const char *name)
{
    const char *at = strstr(get_file(path), name);
    return at ? atol(at + strlen(name)) : -1;
}

static void *read_zeros(void *fd)
{
    char buf[1000];
    for (int i = 0; i < 10; i++)
        if (read((int)(intptr_t)fd, buf, sizeof(buf)) != sizeof(buf))
            return NULL;
    return fd;
}

CASE(io_counts_calls_and_bytes)
{
    char text[100] = "", own[64];
    pthread_t thread;
    void *good;
    int zero = open("/dev/zero", O_RDONLY), out = open("out", O_WRONLY | O_CREAT, 0644);
    NEED(zero >= 0 && out >= 0);
    snprintf(own, sizeof(own), "/proc/self/task/%d/io", gettid());
    NEED(io_count("/proc/self/io", "syscr: ") >= 0); /* it may begin here */
    long written = io_count("/proc/self/io", "wchar: ");
    long writes = io_count("/proc/self/io", "syscw: ");
    NEED(write(out, text, 100) == 100 && pwrite(out, text, 50, 200) == 50);
    CHECK_EQ(io_count("/proc/self/io", "wchar: ") - written, 150);
    CHECK_EQ(io_count("/proc/self/io", "syscw: ") - writes, 2);
    long all = io_count("/proc/self/io", "rchar: "), mine = io_count(own, "rchar: ");
    NEED(!pthread_create(&thread, NULL, read_zeros, (void *)(intptr_t)zero));
    pthread_join(thread, &good);
    CHECK(good);
    long rest = io_count(own, "rchar: ") - mine; /* what reading these files takes */
    CHECK(io_count("/proc/self/io", "rchar: ") - all >= 10000 && rest < 10000);
    CHECK(strstr(get_file("/proc/self/io"), "write_bytes: ") != NULL);
    CHECK(strstr(get_file("/proc/self/io"), "\ncancelled_write_bytes: 0\n") != NULL);
    close(zero);
    close(out);
}

CASE(the_program_that_runs_is_not_written)
{
    CHECK_ERR(open("/proc/self/exe", O_WRONLY), ETXTBSY);
    CHECK_ERR(truncate("/proc/self/exe", 0), ETXTBSY);
    int fd = open("/proc/self/exe", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
}

CASE(buddyinfo_counts_free_blocks)
{
    unsigned long long blocks[11], pages = 0;
    char name[16] = "", end = 0;
    const char *total;

    CHECK_EQ(
        sscanf(get_file("/proc/buddyinfo"),
               "Node 0, zone %15s %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu%*[ ]%c",
               name, &blocks[0], &blocks[1], &blocks[2], &blocks[3], &blocks[4], &blocks[5],
               &blocks[6], &blocks[7], &blocks[8], &blocks[9], &blocks[10], &end),
        13);
    CHECK_EQ(end, '\n');
    for (int order = 0; order < 11; order++)
        pages += blocks[order] << order;
    NEED((total = strstr(get_file("/proc/meminfo"), "MemTotal:")));
    CHECK(pages > 0 && pages * 4 <= strtoull(total + 9, NULL, 10));
}
