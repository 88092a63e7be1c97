/* A guest that goes on where a snapshot, or another VMM, left it. */
#include "vm/qemu_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/err.h"
#include "lib/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ANSWER_MS = 60000, /* it loads the memory before it answers */
    LOOK_MS = 1,
    WORDS_MS = 1000,
    SETTLE_MS = 10000,
};

/* It has gone: the last line of what it said. */
static int explain(const struct vm *vm, struct err *err)
{
    struct pollfd entry = {.fd = vm->ch.diag, .events = POLLIN};
    struct buf said CLEANUP(buf_free) = {0};
    char bytes[4096];
    ssize_t got;

    while (poll(&entry, 1, WORDS_MS) > 0 && (got = read(vm->ch.diag, bytes, sizeof(bytes))) > 0)
        buf_add(&said, bytes, (size_t)got);
    while (said.len && strchr("\r\n ", said.data[said.len - 1]))
        said.data[--said.len] = 0;
    const char *line = strrchr(buf_text(&said), '\n');
    line = line ? line + 1 : buf_text(&said);
    const char *colon = strstr(line, ": ");
    return err_set(err, EINVAL, "QEMU does not take it: %s",
                   colon ? colon + 2 : "it ended without a word");
}

/* QEMU's words for people: nothing when all is well. */
static int publish(struct qmp *qmp, const struct vm_port *port, struct err *err)
{
    json_t *answer CLEANUP(json_put) = NULL;
    char *line CLEANUP(mem_free) =
        str_printf("hostfwd_add net %s:%s:%u-:%u", port->udp ? "udp" : "tcp", port->host_ip,
                   port->host, port->guest);
    int failed = qmp_call(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line),
                          &answer, err);
    const char *words = json_string_value(answer);

    if (failed || !words || !*words)
        return failed;
    return err_set(err, EADDRINUSE, "port %u of %s: %.*s", port->host, port->host_ip,
                   (int)strcspn(words, "\r\n"), words);
}

static void note_up(struct vm *vm)
{
    if (vm->wants_up)
        vm->vmm->up(vm);
    vm->wants_up = false;
}

/* Its time stood still when it was taken. */
static int go_on(struct qmp *qmp, const struct vm_config *config, struct vm *vm, struct err *err)
{
    size_t nr_ports = config->net && !config->moving ? config->net->nr_ports : 0;
    int failed = 0;

    /* Earlier, QEMU would take connections for a guest that is not there yet, and lose them. */
    for (size_t i = 0; i < nr_ports && !failed; i++)
        failed = publish(qmp, &config->net->ports[i], err);
    if (!failed)
        note_up(vm); /* before its first client */
    if (!failed && config->unlinked)
        failed =
            qmp_call(qmp, "set_link", json_pack("{s:s, s:b}", "name", "net", "up", 0), NULL, err);
    return failed ? failed : qmp_call(qmp, "cont", NULL, NULL, err);
}

static int wait_until_loaded(struct qmp *qmp, const struct vm_config *config, struct vm *vm,
                             struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

    for (;;) {
        json_t *answer CLEANUP(json_put) = NULL;
        int failed = qmp_call(qmp, "query-status", NULL, &answer, err);
        if (failed)
            return failed;
        const char *status = json_str(answer, "status", "");
        if (strcmp(status, "running") == 0)
            return 0;
        if (strcmp(status, "inmigrate") != 0)
            return go_on(qmp, config, vm, err);
        nanosleep(&pause, NULL);
    }
}

static int take_in(struct qmp *qmp, const struct vm_config *config, struct vm *vm, int fd,
                   struct err *err)
{
    int failed = 0;

    if (config->postcopy)
        failed = qmp_call(
            qmp, "migrate-set-capabilities",
            json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "postcopy-ram", "state", 1),
            NULL, err);
    if (!failed)
        failed = qmp_give_fd(qmp, "state", fd, err);
    if (!failed)
        failed =
            qmp_call(qmp, "migrate-incoming", json_pack("{s:s}", "uri", "fd:state"), NULL, err);
    return failed ? failed : wait_until_loaded(qmp, config, vm, err);
}

/* Our own channel to its monitor. */
static int control_fd(const struct vm *vm)
{
    int fd = fcntl(vm->control, F_DUPFD_CLOEXEC, 3);

    return fd < 0 ? -errno : fd;
}

int qemu_ready(struct vm *vm, struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = -1};
    int failed = qmp_open(&qmp, control_fd(vm), ANSWER_MS, err);

    return failed == -EPIPE ? explain(vm, err) : failed;
}

int qemu_arrive(const struct vm_config *config, struct vm *vm, int fd, struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = control_fd(vm), .patience_ms = ANSWER_MS};
    int failed = take_in(&qmp, config, vm, fd, err);

    if (failed == -EPIPE)
        return explain(vm, err);
    if (!failed)
        note_up(vm);
    return failed;
}

int qemu_settle(const struct vm_config *config, struct vm *vm, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    struct qmp qmp CLEANUP(qmp_close) = {.fd = control_fd(vm), .patience_ms = ANSWER_MS};
    u64 deadline = ticks_ms() + SETTLE_MS;
    int failed = 0;

    for (size_t i = 0; config->net && i < config->net->nr_ports;) {
        failed = publish(&qmp, &config->net->ports[i], err);
        if (!failed) {
            i++;
        } else if (failed != -EADDRINUSE || ticks_ms() >= deadline) {
            return failed;
        } else {
            err_clear(err);
            nanosleep(&pause, NULL);
        }
    }
    vm->vmm->up(vm);
    return 0;
}
