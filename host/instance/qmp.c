/* A blocking client: who asks has nothing else to do, or little patience. */
#include "instance/qmp.h"

#include "lib/cleanup.h"

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
    char *end;

    while (!qmp->in.len || !(end = memchr(qmp->in.data, '\n', qmp->in.len))) {
        struct pollfd entry = {.fd = qmp->fd, .events = POLLIN};
        u64 now = instance_ticks();
        if (now >= qmp->deadline || qmp->in.len > QMP_LINE_MAX ||
            poll(&entry, 1, (int)(qmp->deadline - now)) == 0) {
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

int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, json_t **answer,
             struct err *err)
{
    json_t *request CLEANUP(json_put) = json_pack("{s:s}", "execute", command);

    if (arguments)
        json_object_set_new(request, "arguments", arguments);
    char *text CLEANUP(mem_free) = json_text(request, 0);
    char *line CLEANUP(mem_free) = str_printf("%s\n", text);
    if (send(qmp->fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        return err_set(err, EPIPE, "its VMM has ended");
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

int qmp_open(struct qmp *qmp, const struct instance *instance, u64 patience_ms, struct err *err)
{
    *qmp = (struct qmp){.fd = instance_connect(instance, "qmp"),
                        .deadline = instance_ticks() + patience_ms};
    if (qmp->fd < 0)
        return err_errno(err, -qmp->fd, "its monitor");
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
