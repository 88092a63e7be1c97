/* The memory of a VM whose kernel has panicked, as a core file: QEMU's own dump, by virtual
 * addresses, with the registers of every CPU.  It works whatever state the guest is in. */
#include "vm/qemu_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

enum {
    ANSWER_MS = 30000,
    BLOCK = 4096,
};

/* QEMU writes zeros where nothing is: give their blocks back. */
static void make_sparse(int fd)
{
    static const char zero[BLOCK];
    char block[BLOCK];
    off_t hole = -1, at = 0;

    for (;; at += BLOCK) {
        ssize_t got = pread(fd, block, BLOCK, at);
        bool empty = got == BLOCK && memcmp(block, zero, BLOCK) == 0;
        if (empty && hole < 0)
            hole = at;
        if (!empty && hole >= 0) {
            (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole, at - hole);
            hole = -1; /* where the file system knows no holes, it stays as large as it is */
        }
        if (got != BLOCK)
            return;
    }
}

/* It writes all of it, and only then can be made smaller. */
static int check_size(struct qmp *qmp, u64 room, struct err *err)
{
    json_t *answer CLEANUP(json_put) = NULL;
    int failed = qmp_call(qmp, "query-memory-size-summary", NULL, &answer, err);

    if (!failed && (u64)json_int(answer, "base-memory", 0) > room)
        return err_set(err, EFBIG, "the guest's memory is larger than %llu MiB",
                       (unsigned long long)room >> 20);
    return failed;
}

int qemu_dump(struct vm *vm, int fd, u64 room, struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = fcntl(vm->control, F_DUPFD_CLOEXEC, 3),
                                         .patience_ms = ANSWER_MS};

    if (qmp.fd < 0 || fcntl(qmp.fd, F_SETFL, 0) < 0)
        return err_errno(err, errno, "its monitor");
    (void)qmp_call(&qmp, "qmp_capabilities", NULL, NULL, NULL); /* an error: we have been here */
    int failed = qmp_call(&qmp, "stop", NULL, NULL, err);
    if (!failed)
        failed = check_size(&qmp, room, err);
    if (!failed)
        failed = qmp_give_fd(&qmp, "core", fd, err);
    if (!failed)
        failed = qmp_call(&qmp, "dump-guest-memory",
                          json_pack("{s:b, s:s}", "paging", 1, "protocol", "fd:core"), NULL, err);
    if (!failed)
        make_sparse(fd);
    return failed;
}
