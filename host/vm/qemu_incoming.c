/* A guest that goes on where a snapshot, or another VMM, left it. */
#include "vm/qemu_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
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

static int wait_until_loaded(struct qmp *qmp, struct err *err)
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
        if (strcmp(status, "inmigrate") != 0) /* its time stood still when it was taken */
            return qmp_call(qmp, "cont", NULL, NULL, err);
        nanosleep(&pause, NULL);
    }
}

int qemu_arrive(struct vm *vm, struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = -1};
    int fd = fcntl(vm->control, F_DUPFD_CLOEXEC, 3);
    int failed = qmp_open(&qmp, fd < 0 ? -errno : fd, ANSWER_MS, err);

    if (!failed)
        failed = wait_until_loaded(&qmp, err);
    if (failed == -EPIPE)
        return explain(vm, err);
    if (!failed && vm->wants_up) {
        vm->vmm->up(vm);
        vm->wants_up = false;
    }
    return failed;
}
