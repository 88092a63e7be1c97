/* QEMU as a library would be: started with descriptors, steered over one of them.
 * It lives in a process group of its own, so that the terminal's Ctrl-C reaches only us. */
#include "vm/qemu_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "vm/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

enum {
    QEMU_MAX_FDS = QEMU_FD_DISK + QEMU_MAX_DISKS,
    FD_HIGH = 64, /* above every enum qemu_fd: where descriptors wait to be moved into place */
};

/* Which of our descriptors becomes which of QEMU's: -1 for none; index 2 is its stderr. */
struct qemu_fds {
    int ours[QEMU_MAX_FDS];
};

static void qemu_fds_init(struct qemu_fds *fds)
{
    for (size_t i = 0; i < QEMU_MAX_FDS; i++)
        fds->ours[i] = -1;
}

static void qemu_fds_close(struct qemu_fds *fds)
{
    for (size_t i = 0; i < QEMU_MAX_FDS; i++)
        fd_close(&fds->ours[i]);
}

/* One layer's descriptor, the caller's to close. */
static int qemu_open_layer(const struct vm_layer *layer, u64 *size, struct err *err)
{
    struct stat st;
    int fd = layer->fd >= 0 ? fcntl(layer->fd, F_DUPFD_CLOEXEC, FD_HIGH)
                            : open(layer->path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && fstat(fd, &st) == 0) {
        *size = (u64)st.st_size;
        return fd;
    }
    int code = errno;
    fd_close(&fd);
    return err_errno(err, code, "layer '%s'", layer->path);
}

/* Not every file system of a host maps files. */
static bool qemu_can_map(int fd)
{
    void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

    return at != MAP_FAILED && munmap(at, 4096) == 0;
}

static int qemu_layer_sizes(const struct vm_config *config, struct qemu_sizes *sizes,
                            struct err *err)
{
    *sizes = (struct qemu_sizes){.mappable = true};
    for (size_t i = 0; i < config->nr_layers; i++) {
        u64 size;
        int fd CLEANUP(fd_close) = qemu_open_layer(&config->layers[i], &size, err);
        if (fd < 0)
            return fd;
        if (i < ARRAY_LEN(sizes->each))
            sizes->each[i] = size;
        sizes->mappable = sizes->mappable && size && IS_ALIGNED(size, 4096) && qemu_can_map(fd);
        sizes->total += ALIGN_UP(size, 4096);
    }
    return 0;
}

static int qemu_append_layer(int to, const struct vm_layer *layer, off_t *end, struct err *err)
{
    u64 size;
    int from CLEANUP(fd_close) = qemu_open_layer(layer, &size, err);

    if (from < 0)
        return from;
    for (off_t at = 0; (u64)at < size;) {
        ssize_t moved = sendfile(to, from, &at, size - (u64)at);
        if (moved <= 0)
            return err_errno(err, moved ? errno : EIO, "layer '%s'", layer->path);
    }
    *end += (off_t)ALIGN_UP(size, 4096);
    if (ftruncate(to, *end) < 0 || lseek(to, *end, SEEK_SET) < 0)
        return err_errno(err, errno, "layer '%s'", layer->path);
    return 0;
}

/* The initrd: the only layer as it is, or all of them in memory, one behind the other. */
static int qemu_open_initrd(const struct vm_config *config, struct err *err)
{
    u64 size;
    off_t end = 0;

    if (config->nr_layers == 1) {
        int only = qemu_open_layer(&config->layers[0], &size, err);
        if (only < 0 || IS_ALIGNED(size, 4096))
            return only;
        close(only);
    }
    int memory CLEANUP(fd_close) = memfd_create("ingot-layers", MFD_CLOEXEC);
    if (memory < 0)
        return err_errno(err, errno, "memory for the layers");
    for (size_t i = 0; i < config->nr_layers; i++) {
        int failed = qemu_append_layer(memory, &config->layers[i], &end, err);
        if (failed)
            return failed;
    }
    return TAKE(memory, -1);
}

static int qemu_open_volumes(const struct qemu_plan *plan, struct qemu_fds *fds, struct err *err)
{
    const struct vm_config *config = plan->config;

    for (size_t i = 0; i < config->nr_volumes; i++) {
        int fd = fcntl(config->volumes[i].fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return err_errno(err, errno, "volume '%s'", config->volumes[i].path);
        fds->ours[QEMU_FD_DISK + plan->files + i] = fd;
    }
    return 0;
}

static int qemu_open_layers(const struct qemu_plan *plan, struct qemu_fds *fds, struct err *err)
{
    const struct vm_config *config = plan->config;
    u64 size;

    if (!config->nr_layers)
        return 0;
    if (plan->layers == QEMU_LAYERS_INITRD) {
        fds->ours[QEMU_FD_INITRD] = qemu_open_initrd(config, err);
        return min(fds->ours[QEMU_FD_INITRD], 0);
    }
    for (size_t i = 0; i < config->nr_layers; i++) {
        int fd = qemu_open_layer(&config->layers[i], &size, err);
        if (fd < 0)
            return fd;
        fds->ours[QEMU_FD_DISK + i] = fd;
    }
    return 0;
}

/* A channel: our end goes to *@end, QEMU's into @fds. */
static int qemu_open_channel(struct qemu_fds *fds, int number, int *end, struct err *err)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, errno, "a channel to the guest");
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK); /* cannot fail; QEMU makes its own end so itself */
    *end = pair[0];
    fds->ours[number] = pair[1];
    return 0;
}

static int qemu_open_channels(const struct vm_config *config, struct qemu_fds *fds, struct vm *vm,
                              struct err *err)
{
    int failed = qemu_open_channel(fds, STDERR_FILENO, &vm->ch.diag, err);

    if (!failed)
        failed = qemu_open_channel(fds, QEMU_FD_LOG, &vm->ch.log, err);
    if (!failed)
        failed = qemu_open_channel(fds, QEMU_FD_CONTROL, &vm->control, err);
    if (!failed && config->report)
        failed = qemu_open_channel(fds, QEMU_FD_REPORT, &vm->ch.report, err);
    if (!failed && config->operator_line == VM_LINE_OURS)
        failed = qemu_open_channel(fds, QEMU_FD_GUEST, &vm->ch.line, err);
    if (config->tty)
        return failed ? failed : qemu_open_channel(fds, QEMU_FD_TTY, &vm->ch.tty, err);
    if (!failed)
        failed = qemu_open_channel(fds, QEMU_FD_IN, &vm->ch.in, err);
    if (!failed)
        failed = qemu_open_channel(fds, QEMU_FD_OUT, &vm->ch.out, err);
    if (!failed)
        failed = qemu_open_channel(fds, QEMU_FD_ERR, &vm->ch.err, err);
    return failed;
}

/* Puts every descriptor where the command line says; all others, also those that whoever started
 * us left open, end here. */
static int qemu_place_fds(const struct qemu_fds *fds)
{
    int high[QEMU_MAX_FDS];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return -errno;
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return -errno;
    for (int i = 0; i < QEMU_MAX_FDS; i++) {
        high[i] = fds->ours[i] < 0 ? -1 : fcntl(fds->ours[i], F_DUPFD_CLOEXEC, FD_HIGH);
        if (fds->ours[i] >= 0 && high[i] < 0)
            return -errno;
    }
    for (int i = 0; i < QEMU_MAX_FDS; i++)
        if (high[i] >= 0 && dup2(high[i], i) < 0)
            return -errno;
    return 0;
}

/* In the child: only system calls, since it may share the parent's memory.  Returns a failure. */
static int qemu_exec(char *const *argv, const struct qemu_fds *fds, pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    if (getppid() != parent) /* it died before the line above */
        _exit(1);
    int failed = qemu_place_fds(fds);
    if (failed)
        return failed;
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], argv);
    return -errno;
}

/* vfork: copying our page tables would cost more than QEMU's own exec needs of us. */
static int qemu_spawn(char *const *argv, const struct qemu_fds *fds, pid_t *pid)
{
    volatile int failed = 0;
    pid_t parent = getpid();
    pid_t child = vfork();

    if (child == 0) {
        failed = qemu_exec(argv, fds, parent);
        _exit(1);
    }
    if (child < 0)
        return -errno;
    *pid = child;
    return failed;
}

static int qemu_open_net(const struct qemu_plan *plan, struct qemu_fds *fds, struct err *err)
{
    const struct vm_net *net = plan->config->net;

    for (unsigned i = 0; net && net->kind == VM_NET_TAP && i < plan->queues; i++) {
        /* QEMU 7.2 would write virtio's header before each frame that it captures. */
        int fd = vm_net_open_tap(net, !net->pcap, err);
        if (fd < 0)
            return fd;
        fds->ours[QEMU_FD_TAP + i] = fd;
    }
    return 0;
}

/* What only who operates the guest wants: without it, it runs all the same. */
static void qemu_open_operators(const struct vm_config *config, struct qemu_fds *fds)
{
    if (config->monitor)
        fds->ours[QEMU_FD_MONITOR] = fcntl(config->monitor, F_DUPFD_CLOEXEC, FD_HIGH);
    if (config->operator_line > 0)
        fds->ours[QEMU_FD_GUEST] = fcntl(config->operator_line, F_DUPFD_CLOEXEC, FD_HIGH);
}

static int qemu_start(const struct vm_config *config, struct vm *vm, struct err *err)
{
    struct qemu_plan plan CLEANUP(qemu_plan_fini) = {0};
    struct qemu_fds fds CLEANUP(qemu_fds_close);
    struct strs argv CLEANUP(strs_free) = {0};
    struct qemu_sizes sizes;

    qemu_fds_init(&fds);
    vm_init(vm);
    vm->vmm = &qemu_vmm;
    int failed = qemu_layer_sizes(config, &sizes, err);
    if (!failed)
        failed = qemu_plan_init(&plan, config, &sizes, err);
    if (!failed)
        failed = qemu_open_layers(&plan, &fds, err);
    if (!failed)
        failed = qemu_open_volumes(&plan, &fds, err);
    if (!failed)
        failed = qemu_open_net(&plan, &fds, err);
    if (!failed)
        failed = qemu_open_channels(config, &fds, vm, err);
    if (failed)
        goto fail;
    qemu_open_operators(config, &fds);
    vm->wants_up = config->net && config->net->nr_ports;
    qemu_argv(&plan, &argv);
    failed = qemu_spawn(argv.at, &fds, &vm->pid);
    if (failed) {
        failed = err_errno(err, -failed, "%s", plan.program);
        goto fail;
    }
    return 0;

fail:
    vm_fini(vm);
    return failed;
}

static void qemu_quote(struct buf *line, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:,=+@%";

    if (*word && !word[strspn(word, plain)]) {
        buf_puts(line, word);
        return;
    }
    buf_puts(line, "'");
    for (; *word; word++) {
        if (*word == '\'')
            buf_puts(line, "'\\''");
        else
            buf_add(line, word, 1);
    }
    buf_puts(line, "'");
}

static int qemu_describe(const struct vm_config *config, char **text, struct err *err)
{
    struct qemu_plan plan CLEANUP(qemu_plan_fini) = {0};
    struct strs argv CLEANUP(strs_free) = {0};
    struct buf line = {0};
    struct qemu_sizes sizes;
    int failed = qemu_layer_sizes(config, &sizes, err);

    if (!failed)
        failed = qemu_plan_init(&plan, config, &sizes, err);
    if (failed)
        return failed;
    qemu_argv(&plan, &argv);
    for (size_t i = 0; i < argv.len; i++) {
        if (i)
            buf_puts(&line, " ");
        qemu_quote(&line, argv.at[i]);
    }
    *text = buf_take(&line);
    return 0;
}

/* Fire and forget: QEMU greets, agrees on capabilities and breaks, or is beyond being asked. */
static void qemu_stop(struct vm *vm)
{
    static const char words[] =
        "{\"execute\":\"qmp_capabilities\"}\n"
        "{\"execute\":\"chardev-send-break\",\"arguments\":{\"id\":\"log\"}}\n";

    if (vm->control >= 0)
        (void)!send(vm->control, words, sizeof(words) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* It greets on the control channel when its devices are there. */
static void qemu_up(struct vm *vm)
{
    qemu_net_raise_backlogs(vm->pid);
}

static void qemu_probe(struct vmm_info *info)
{
    struct buf out CLEANUP(buf_free) = {0};
    char *path CLEANUP(mem_free) = proc_find("qemu-system-x86_64", NULL);

    *info = (struct vmm_info){.package = "qemu-system-x86", .machines = "microvm q35 pc"};
    if (!path)
        return;
    snprintf(info->path, sizeof(info->path), "%s", path);
    const char *const argv[] = {path, "--version", NULL};
    const struct proc version = {.argv = argv, .out = &out};
    if (proc_check(&version, NULL) < 0)
        return;
    const char *number = strstr(buf_text(&out), "version ");
    if (number)
        snprintf(info->version, sizeof(info->version), "%.*s", (int)strcspn(number + 8, " \n"),
                 number + 8);
}

const struct vmm qemu_vmm = {
    .name = "qemu",
    .title = "QEMU",
    .probe = qemu_probe,
    .describe = qemu_describe,
    .start = qemu_start,
    .stop = qemu_stop,
    .ready = qemu_ready,
    .arrive = qemu_arrive,
    .settle = qemu_settle,
    .dump = qemu_dump,
    .up = qemu_up,
};
