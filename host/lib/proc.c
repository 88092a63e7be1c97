/* Subprocesses by fork and exec.  A start that fails is reported through a close-on-exec pipe, so
 * that "not found" and "exited with 127" are never confused. */
#include "lib/proc.h"

#include "lib/cleanup.h"
#include "lib/types.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Debian's package for each tool that we may call. */
static const struct {
    const char *tool, *package;
} proc_packages[] = {
    {"mkfs.erofs", "erofs-utils"},
    {"qemu-img", "qemu-utils"},
    {"xorriso", "xorriso"},
    {"tar", "tar"},
    {"gzip", "gzip"},
    {"zstd", "zstd"},
    {"fsck.erofs", "erofs-utils"},
    {"qemu-system-x86_64", "qemu-system-x86"},
    {"qemu-img", "qemu-utils"},
    {"gcc", "gcc"},
    {"cc", "gcc"},
    {"g++", "g++"},
    {"c++", "g++"},
    {"make", "make"},
    {"cmake", "cmake"},
    {"meson", "meson"},
    {"ninja", "ninja-build"},
    {"mke2fs", "e2fsprogs"},
    {"e2fsck", "e2fsprogs"},
    {"debugfs", "e2fsprogs"},
};

static volatile pid_t proc_child;

pid_t proc_current(void)
{
    return proc_child;
}

static int proc_missing(const char *name, struct err *err)
{
    const char *base = strrchr(name, '/');

    base = base ? base + 1 : name;
    for (size_t i = 0; i < ARRAY_LEN(proc_packages); i++)
        if (strcmp(base, proc_packages[i].tool) == 0)
            return err_set(err, ENOENT, "%s: not found; install the Debian package '%s'", name,
                           proc_packages[i].package);
    return err_set(err, ENOENT, "%s: not found in PATH; install it", name);
}

static bool proc_is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *proc_find(const char *name, struct err *err)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/')) {
        if (proc_is_program(name))
            return str_dup(name);
        path = "";
    }
    /* System tools live in sbin, which a plain user's PATH lacks. */
    char *all CLEANUP(mem_free) = str_printf("%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
    char *rest = strchr(name, '/') ? NULL : all;
    for (char *dir = strsep(&rest, ":"); dir; dir = strsep(&rest, ":")) {
        char *full CLEANUP(mem_free) = str_printf("%s/%s", *dir ? dir : ".", name);
        if (proc_is_program(full))
            return TAKE(full, NULL);
    }
    proc_missing(name, err);
    return NULL;
}

/* In the child, after fork: only async-signal-safe calls. */
static void proc_exec(const struct proc *proc, const char *path, int out, int errors, int report)
{
    static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    int null = open("/dev/null", O_RDWR);

    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        signal(endings[i], SIG_DFL);
    if (proc->out_limit)
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){proc->out_limit, proc->out_limit});
    dup2(null, 0);
    dup2(out >= 0 ? out : null, 1);
    if (errors >= 0)
        dup2(errors, 2);
    if (!proc->cwd || chdir(proc->cwd) == 0)
        execve(path, (char *const *)(uintptr_t)proc->argv,
               proc->env ? (char *const *)(uintptr_t)proc->env : environ);
    int why = errno;
    while (write(report, &why, sizeof(why)) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/* Take what the pipe has; at its end close it.  */
static void proc_take(int *fd, struct buf *into)
{
    char piece[4096];
    ssize_t n = read(*fd, piece, sizeof(piece));

    if (n > 0) {
        buf_add(into, piece, (size_t)n);
    } else if (n == 0 || errno != EINTR) {
        close(*fd);
        *fd = -1;
    }
}

static void proc_collect(int *out, struct buf *out_buf, int *errors, struct buf *errors_buf)
{
    while (*out >= 0 || *errors >= 0) {
        struct pollfd fds[2] = {{*out, POLLIN, 0}, {*errors, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents)
            proc_take(out, out_buf);
        if (fds[1].revents)
            proc_take(errors, errors_buf);
    }
}

static int proc_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The three pipes of a child; every end is closed wherever it is left. */
struct proc_pipes {
    int out[2], errors[2], report[2]; /* [0] ours to read, [1] the child's */
};

static void proc_pipes_close(struct proc_pipes *pipes)
{
    int *all[] = {pipes->out, pipes->errors, pipes->report};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        fd_close(&all[i][0]);
        fd_close(&all[i][1]);
    }
}

static void proc_pipe_keep_reader(int ends[2])
{
    fd_close(&ends[1]);
    ends[1] = -1;
}

static int proc_pipes_open(struct proc_pipes *pipes, bool out, bool errors, struct err *err)
{
    if (pipe2(pipes->report, O_CLOEXEC) < 0 || (out && pipe2(pipes->out, O_CLOEXEC) < 0) ||
        (errors && pipe2(pipes->errors, O_CLOEXEC) < 0))
        return err_errno(err, errno, "pipe");
    return 0;
}

int proc_run(const struct proc *proc, struct err *err)
{
    struct proc_pipes pipes CLEANUP(proc_pipes_close) = {{-1, -1}, {-1, -1}, {-1, -1}};
    bool merged = proc->out && proc->errors == proc->out;
    char *path CLEANUP(mem_free) = proc_find(proc->argv[0], err);

    if (!path)
        return -ENOENT;
    int failed = proc_pipes_open(&pipes, proc->out, proc->errors && !merged, err);
    if (failed)
        return failed;
    int file CLEANUP(fd_close) = -1;
    if (proc->out_path) {
        file = open(proc->out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file < 0)
            return err_errno(err, errno, "%s", proc->out_path);
    }
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(err, errno, "%s: fork", proc->argv[0]);
    if (pid == 0)
        proc_exec(proc, path, file >= 0 ? file : pipes.out[1],
                  merged ? pipes.out[1] : pipes.errors[1], pipes.report[1]);
    proc_child = pid;
    proc_pipe_keep_reader(pipes.out);
    proc_pipe_keep_reader(pipes.errors);
    proc_pipe_keep_reader(pipes.report);
    proc_collect(&pipes.out[0], proc->out, &pipes.errors[0], proc->errors);
    int why = 0;
    ssize_t told = read(pipes.report[0], &why, sizeof(why));
    int status = proc_wait(pid);
    proc_child = 0;
    if (told == (ssize_t)sizeof(why))
        return err_errno(err, why, "%s", path);
    return status;
}

int proc_check(const struct proc *proc, struct err *err)
{
    struct buf words CLEANUP(buf_free) = {0};
    struct proc with_words = *proc;

    if (!with_words.errors)
        with_words.errors = &words;
    int status = proc_run(&with_words, err);
    if (status <= 0)
        return status;
    struct buf *said = with_words.errors;
    while (said->len && said->data[said->len - 1] == '\n')
        said->data[--said->len] = 0;
    if (strstr(buf_text(said), strerror(ENOSPC))) /* one line of them is enough */
        return err_errno(err, ENOSPC, "%s", proc->argv[0]);
    return err_set(err, EIO, "%s: exit status %d%s%s", proc->argv[0], status, said->len ? ": " : "",
                   buf_text(said));
}
