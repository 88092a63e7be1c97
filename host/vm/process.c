/* The guest as a sandboxed process: the tender (host/tender) becomes it.  Its standard streams are
 * the user's own descriptors, so nothing is copied in between; only the log comes through us.  A
 * terminal is passed on by us, who watch it for the keys that end a guest.
 * Ctrl-C and other signals are ours: the sandbox blocks all but those its kernel handles. */
#include "vm/process_priv.h"

#include "abi/hosted.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "vm/cpu_facts.h"
#include "vm/kernel_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors as the tender sees them (host/tender/tender.h). */
enum {
    FD_LOG = 3,
    FD_KERNEL,
    FD_FACTS,
    FD_LAYERS,
    MAX_LAYERS = 16,
};

void child_init(struct child_plan *plan)
{
    *plan = (struct child_plan){0};
    for (int i = 0; i < CHILD_MAX_FDS; i++)
        plan->ours[i] = -1;
}

void child_fini(struct child_plan *plan)
{
    mem_free(&plan->program);
    strs_free(&plan->argv);
    for (int i = 0; i < CHILD_MAX_FDS; i++)
        fd_close(&plan->ours[i]);
}

char *child_find(const char *name, const char *kernel, struct err *err)
{
    const char *slash = strrchr(kernel, '/');
    char *beside = str_printf("%.*s%s", slash ? (int)(slash + 1 - kernel) : 0, kernel, name);

    if (access(beside, X_OK) == 0)
        return beside;
    free(beside);
    char *installed = str_printf("%s/%s", INGOT_LIBEXECDIR, name);
    if (access(installed, X_OK) == 0)
        return installed;
    free(installed);
    err_set(err, ENOENT, "no %s beside the kernel '%s' or in %s", name, kernel, INGOT_LIBEXECDIR);
    return NULL;
}

static void plan_argv(struct child_plan *plan, const struct vm_config *config)
{
    struct buf line = {0};

    buf_puts(&line, config->params);
    for (size_t i = 0; i < config->nr_volumes; i++)
        buf_printf(&line, " ingot.mount=/dev/vd%c:%s%s", (char)('a' + config->nr_disks + i),
                   config->volumes[i].mount, config->volumes[i].readonly ? ":ro" : "");
    for (size_t i = 0; i < config->nr_shares; i++)
        buf_printf(&line, " ingot.share=share%zu:%s%s", i, config->shares[i].mount,
                   config->shares[i].readonly ? ":ro" : "");
    if (config->args)
        buf_printf(&line, " -- %s", config->args);
    strs_take(&plan->argv, str_printf("ingot:%s", config->name ? config->name : "guest"));
    strs_take(&plan->argv, buf_take(&line));
    strs_take(&plan->argv, str_printf("%llu", (unsigned long long)config->memory_bytes));
    strs_take(&plan->argv, str_printf("%zu", config->nr_layers));
    if (config->tty)
        strs_add(&plan->argv, "tty");
    if (config->operator_line)
        strs_add(&plan->argv, "operator");
    if (config->cpus > 1)
        strs_take(&plan->argv, str_printf("cpus=%u", config->cpus));
    size_t devices = process_count_devices(config);
    if (devices)
        strs_take(&plan->argv, str_printf("devices=%zu", devices));
    if (process_may_delay(config))
        strs_add(&plan->argv, "late");
}

static int plan_make(struct child_plan *plan, const struct vm_config *config, struct err *err)
{
    if (config->nr_layers > MAX_LAYERS)
        return err_set(err, EINVAL, "an image of %zu layers is too much; %d are possible",
                       config->nr_layers, MAX_LAYERS);
    if (config->cpus > HOSTED_MAX_CPUS)
        return err_set(err, EINVAL, "--cpus: a guest in a process has at most %d", HOSTED_MAX_CPUS);
    plan->program = child_find("ingot-tender", config->kernel, err);
    if (!plan->program)
        return -ENOENT;
    plan->no_input = config->no_input;
    plan_argv(plan, config);
    return 0;
}

/* Above all numbers that a child's descriptors get, so that none is in another's way. */
int child_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, CHILD_FD_HIGH);
}

static int open_high(const char *path, int fd)
{
    int from = fd >= 0 ? fd : open(path, O_RDONLY | O_CLOEXEC);

    if (from < 0)
        return -1;
    int high = child_fd(from);
    if (from != fd) {
        int code = errno;
        close(from);
        errno = code;
    }
    return high;
}

static int plan_open(struct child_plan *plan, const struct vm_config *config, struct err *err)
{
    int copy = kernel_copy_open(config->kernel);
    plan->ours[FD_KERNEL] = open_high(config->kernel, copy);
    fd_close(&copy);
    if (plan->ours[FD_KERNEL] < 0)
        return err_errno(err, errno, "%s", config->kernel);
    for (size_t i = 0; i < config->nr_layers; i++) {
        const struct vm_layer *layer = &config->layers[i];
        plan->ours[FD_LAYERS + i] = open_high(layer->path, layer->fd);
        if (plan->ours[FD_LAYERS + i] < 0)
            return err_errno(err, errno, "layer '%s'", layer->path);
    }
    int facts = cpu_facts_fd();
    if (facts >= 0) /* a guest without them starts slower, and that is all */
        plan->ours[FD_FACTS] = open_high(NULL, facts);
    return 0;
}

/* Room for the whole log, should nobody have read it when the guest is gone. */
static int open_log(struct child_plan *plan, struct vm *vm, struct err *err)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0)
        return err_errno(err, errno, "a channel to the guest");
    vm->ch.log = pair[0];
    plan->ours[FD_LOG] = open_high(NULL, pair[1]);
    int code = errno;
    close(pair[1]);
    return plan->ours[FD_LOG] < 0 ? err_errno(err, code, "a channel to the guest") : 0;
}

/* Bytes that pass through us, both ways: @ours never blocks. */
static int open_pair(int *ours, int *guests, struct err *err)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, errno, "a channel to the guest");
    *ours = pair[0];
    *guests = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -1 : child_fd(pair[1]);
    int code = errno;
    close(pair[1]);
    return *guests < 0 ? err_errno(err, code, "a channel to the guest") : 0;
}

static int open_terminal(struct child_plan *plan, struct vm *vm, struct err *err)
{
    int failed = open_pair(&vm->ch.tty, &plan->ours[0], err);

    for (int i = 1; i < 3 && !failed; i++)
        plan->ours[i] = child_fd(plan->ours[0]);
    return !failed && plan->ours[2] < 0 ? err_errno(err, errno, "a channel to the guest") : failed;
}

/* In the child: only system calls, since it shares the parent's memory.  Returns a failure. */
static int child_exec(const struct child_plan *plan, pid_t parent)
{
    static char *const no_env[] = {NULL};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    if (getppid() != parent) /* it died before the line above */
        _exit(1);
    if (plan->no_input) {
        int null = open("/dev/null", O_RDONLY);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
            return -errno;
    }
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return -errno;
    for (int i = 0; i < CHILD_MAX_FDS; i++)
        if (plan->ours[i] >= 0 && dup2(plan->ours[i], i) < 0)
            return -errno;
    execve(plan->program, plan->argv.at, no_env);
    return -errno;
}

int child_spawn(const struct child_plan *plan, pid_t *pid)
{
    volatile int failed = 0;
    pid_t parent = getpid();
    pid_t child = vfork();

    if (child == 0) {
        failed = child_exec(plan, parent);
        _exit(1);
    }
    if (child < 0)
        return -errno;
    *pid = child;
    return failed;
}

static int plan_channels(struct child_plan *plan, const struct vm_config *config, struct vm *vm,
                         struct err *err)
{
    int failed = plan_open(plan, config, err);

    if (!failed)
        failed = open_log(plan, vm, err);
    if (!failed && config->tty)
        failed = open_terminal(plan, vm, err);
    if (!failed && config->operator_line)
        failed = open_pair(&vm->ch.line, &plan->ours[FD_LAYERS + config->nr_layers + 2], err);
    return failed;
}

static int process_start(const struct vm_config *config, struct vm *vm, struct err *err)
{
    struct child_plan plan CLEANUP(child_fini);
    struct child_plan device CLEANUP(child_fini);
    size_t devices = process_count_devices(config);

    child_init(&plan);
    child_init(&device);
    vm_init(vm);
    vm->vmm = &process_vmm;
    int failed = plan_make(&plan, config, err);
    if (!failed)
        failed = plan_channels(&plan, config, vm, err);
    if (!failed && devices)
        failed =
            process_plan_device(&device, &plan.ours[FD_LAYERS + config->nr_layers], config, err);
    if (failed)
        goto fail;
    failed = child_spawn(&plan, &vm->pid);
    if (failed) {
        failed = failed == -ENOSYS ? err_set(err, ENOSYS,
                                             "a guest in a process needs Linux 5.11 (close_range); "
                                             "--isolation vm does not")
                                   : err_errno(err, -failed, "%s", plan.program);
        goto fail;
    }
    if (devices && process_may_delay(config))
        failed = process_delay_device(&device, vm, err);
    else if (devices)
        failed = process_start_device(&device, vm, err);
    if (!failed)
        return 0;

fail:
    vm_fini(vm);
    return failed;
}

static bool fd_path(int fd, char *path, size_t size)
{
    char *link CLEANUP(mem_free) = str_printf("/proc/self/fd/%d", fd);
    ssize_t len = fd < 0 ? -1 : readlink(link, path, size - 1);

    if (len < 0)
        return false;
    path[len] = 0;
    return true;
}

static int process_describe(const struct vm_config *config, char **text, struct err *err)
{
    struct child_plan plan CLEANUP(child_fini);
    struct buf line = {0};

    child_init(&plan);
    int failed = plan_make(&plan, config, err);
    if (failed)
        return failed;
    buf_puts(&line, plan.program);
    for (size_t i = 1; i < plan.argv.len; i++)
        buf_printf(&line, strchr(plan.argv.at[i], ' ') ? " '%s'" : " %s", plan.argv.at[i]);
    char path[PATH_MAX];
    int copy CLEANUP(fd_close) = kernel_copy_open(config->kernel);
    buf_printf(&line, " %d<%s", FD_KERNEL,
               fd_path(copy, path, sizeof(path)) ? path : config->kernel);
    if (fd_path(cpu_facts_fd(), path, sizeof(path)))
        buf_printf(&line, " %d<%s", FD_FACTS, path);
    for (size_t i = 0; i < config->nr_layers; i++)
        buf_printf(&line, " %zu<%s", FD_LAYERS + i, config->layers[i].path);
    if (process_count_devices(config))
        failed = process_describe_device(config, &line, err);
    *text = buf_take(&line);
    return failed;
}

static void process_stop(struct vm *vm)
{
    if (vm->pid > 0)
        kill(vm->pid, SIGTERM);
}

static void process_probe(struct vmm_info *info)
{
    *info = (struct vmm_info){.package = "ingot", .machines = ""};
    if (access(INGOT_LIBEXECDIR "/ingot-tender", X_OK) == 0)
        snprintf(info->path, sizeof(info->path), "%s", INGOT_LIBEXECDIR "/ingot-tender");
}

const struct vmm process_vmm = {
    .name = "process",
    .title = "the sandbox",
    .probe = process_probe,
    .describe = process_describe,
    .start = process_start,
    .stop = process_stop,
    .dump = process_dump,
    .up = process_device_rang,
};
