#include "instance/guest.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_MAX = 256,
    ANSWER_MAX = 1 << 20,
    RESUME_MS = 2000,
    SEED_WORDS = 4,
};

/* More bytes into @in, or why not. */
static int receive(int fd, u64 deadline, struct buf *in, struct err *err)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    char bytes[4096];
    u64 now = ticks_ms();

    if (now >= deadline || poll(&entry, 1, (int)(deadline - now)) == 0)
        return err_set(err, ETIMEDOUT, "the guest does not answer");
    ssize_t got = read(fd, bytes, sizeof(bytes));
    if (got == 0 || (got < 0 && errno != EINTR))
        return err_set(err, ESRCH, "the guest has ended");
    buf_add(in, bytes, (size_t)max(got, (ssize_t)0));
    return 0;
}

/* "ok LENGTH" or "error WHY". */
static int parse_head(const char *head, size_t *len, struct err *err)
{
    char *end;

    if (str_starts(head, "error "))
        return err_set(err, EINVAL, "the guest says: %s", head + strlen("error "));
    if (!str_starts(head, "ok "))
        return err_set(err, EINVAL, "the guest's answer is not understood");
    unsigned long value = strtoul(head + strlen("ok "), &end, 10);
    if (*end || value > ANSWER_MAX)
        return err_set(err, EINVAL, "the guest's answer is not understood");
    *len = value;
    return 0;
}

static int read_answer(int fd, u64 deadline, struct buf *answer, struct err *err)
{
    struct buf in CLEANUP(buf_free) = {0};
    size_t len = 0;
    char *end;
    int failed = 0;

    while (!failed && (!in.len || !(end = memchr(in.data, '\n', in.len))))
        failed = in.len < HEAD_MAX ? receive(fd, deadline, &in, err)
                                   : err_set(err, EINVAL, "the guest's answer is not understood");
    if (failed)
        return failed;
    *end = 0;
    failed = parse_head(in.data, &len, err);
    size_t head = (size_t)(end + 1 - in.data);
    while (!failed && in.len < head + len)
        failed = receive(fd, deadline, &in, err);
    if (!failed && answer && len)
        buf_add(answer, in.data + head, len);
    return failed;
}

int guest_ask(const struct instance *instance, const char *request, u64 patience_ms,
              struct buf *answer, struct err *err)
{
    int fd CLEANUP(fd_close) = instance_connect(instance, "guest");
    char *line CLEANUP(mem_free) = str_printf("%s\n", request);

    if (fd < 0)
        return err_set(err, ESRCH, "instance '%s' has no line to its guest", instance->name);
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        return err_set(err, ESRCH, "the guest has ended");
    return read_answer(fd, ticks_ms() + patience_ms, answer, err);
}

int guest_resume(const struct instance *instance, const struct guest_identity *identity,
                 struct err *err)
{
    const struct guest_identity same = {0}, *who = identity ? identity : &same;
    unsigned long long seed[SEED_WORDS];
    struct buf line CLEANUP(buf_free) = {0};

    if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
        return err_errno(err, errno, "random numbers");
    buf_printf(&line, "resume seed=");
    for (size_t i = 0; i < SEED_WORDS; i++)
        buf_printf(&line, "%016llx", seed[i]);
    if (who->hostname)
        buf_printf(&line, " hostname=%s", who->hostname);
    if (who->mac)
        buf_printf(&line, " mac=%s", who->mac);
    if (who->ip)
        buf_printf(&line, " ip=%s", who->ip);
    buf_printf(&line, " time=%lld", (long long)instance_clock());
    return guest_ask(instance, buf_text(&line), RESUME_MS, NULL, err);
}
