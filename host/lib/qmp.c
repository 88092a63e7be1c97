/* A blocking client: who asks has nothing else to do, or little patience. */
#include "lib/qmp.h"

#include "lib/cleanup.h"
#include "lib/duration.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    QMP_LINE_MAX = 1 << 20,
};

/* The next line as JSON: a new reference, or NULL with @err set. */
static json_t *next(struct qmp *qmp, struct err *err)
{
    u64 deadline = ticks_ms() + qmp->patience_ms;
    char *end;

    while (!qmp->in.len || !(end = memchr(qmp->in.data, '\n', qmp->in.len))) {
        struct pollfd entry = {.fd = qmp->fd, .events = POLLIN};
        u64 now = ticks_ms();
        bool late = now >= deadline || qmp->in.len > QMP_LINE_MAX;
        int ready = late ? 0 : poll(&entry, 1, (int)(deadline - now));
        if (ready < 0 && errno == EINTR)
            continue;
        if (!ready) {
            err_set(err, ETIMEDOUT, "its monitor does not answer (is another client at it?)");
            return NULL;
        }
        char piece[4096];
        ssize_t got = read(qmp->fd, piece, sizeof(piece));
        if (got > 0)
            buf_add(&qmp->in, piece, (size_t)got);
        else if (got == 0 || errno != EINTR) {
            err_set(err, EPIPE, "its VMM has ended");
            return NULL;
        }
    }
    size_t len = (size_t)(end + 1 - qmp->in.data);
    json_t *line = json_loadb(qmp->in.data, len, 0, NULL);
    memmove(qmp->in.data, qmp->in.data + len, qmp->in.len - len);
    qmp->in.len -= len;
    if (!line)
        err_set(err, EINVAL, "its monitor says what is no JSON");
    return line;
}

/* A line, and a descriptor beside it unless that is -1. */
static int send_line(const struct qmp *qmp, char *line, int fd, struct err *err)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = line, .iov_len = strlen(line)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    }
    return sendmsg(qmp->fd, &message, MSG_NOSIGNAL) < 0 ? err_set(err, EPIPE, "its VMM has ended")
                                                        : 0;
}

static int call(struct qmp *qmp, const char *command, json_t *arguments, int fd, json_t **answer,
                struct err *err)
{
    json_t *request CLEANUP(json_put) = json_pack("{s:s}", "execute", command);

    if (arguments)
        json_object_set_new(request, "arguments", arguments);
    char *text CLEANUP(mem_free) = json_text(request, 0);
    char *line CLEANUP(mem_free) = str_printf("%s\n", text);
    int failed = send_line(qmp, line, fd, err);
    if (failed)
        return failed;
    while (true) {
        json_t *reply CLEANUP(json_put) = next(qmp, err);
        if (!reply)
            return -err->code;
        json_t *value = json_object_get(reply, "return");
        if (value) {
            if (answer)
                *answer = json_incref(value);
            return 0;
        }
        const json_t *error = json_object_get(reply, "error");
        if (error)
            return err_set(err, EINVAL, "%s: %s", command, json_str(error, "desc", "refused"));
    }
}

int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, json_t **answer,
             struct err *err)
{
    return call(qmp, command, arguments, -1, answer, err);
}

int qmp_give_fd(struct qmp *qmp, const char *name, int fd, struct err *err)
{
    return call(qmp, "getfd", json_pack("{s:s}", "fdname", name), fd, NULL, err);
}

int qmp_open(struct qmp *qmp, int fd, u64 patience_ms, struct err *err)
{
    *qmp = (struct qmp){.fd = fd, .patience_ms = patience_ms};
    if (fd < 0)
        return err_errno(err, -fd, "its monitor");
    json_t *greeting CLEANUP(json_put) = next(qmp, err);
    if (!greeting)
        return -err->code;
    return qmp_call(qmp, "qmp_capabilities", NULL, NULL, err);
}

void qmp_close(struct qmp *qmp)
{
    fd_close(&qmp->fd);
    buf_free(&qmp->in);
    qmp->fd = -1;
}
