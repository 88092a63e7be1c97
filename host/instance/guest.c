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

/* The head behind @tag, and its end; NULL: it has not come yet. */
static char *find_head(const struct buf *in, const char *tag, char **end)
{
    char *at = in->len ? memmem(in->data, in->len, tag, strlen(tag)) : NULL;
    char *head = at ? at + strlen(tag) : NULL;

    *end = head ? memchr(head, '\n', in->len - (size_t)(head - in->data)) : NULL;
    return *end ? head : NULL;
}

/* Whoever asked before may have left without his answer, which comes first then. */
static int read_answer(int fd, const char *tag, u64 deadline, struct buf *answer, struct err *err)
{
    struct buf in CLEANUP(buf_free) = {0};
    size_t len = 0;
    char *head, *end;
    int failed = 0;

    while (!failed && !(head = find_head(&in, tag, &end)))
        failed = in.len < ANSWER_MAX ? receive(fd, deadline, &in, err)
                                     : err_set(err, EINVAL, "the guest's answer is not understood");
    if (failed)
        return failed;
    *end = 0;
    failed = parse_head(head, &len, err);
    size_t start = (size_t)(end + 1 - in.data);
    while (!failed && in.len < start + len)
        failed = receive(fd, deadline, &in, err);
    if (!failed && answer && len)
        buf_add(answer, in.data + start, len);
    return failed;
}

int guest_ask(const struct instance *instance, const char *request, u64 patience_ms,
              struct buf *answer, struct err *err)
{
    int fd CLEANUP(fd_close) = instance_connect(instance, "guest");
    unsigned long long number;

    if (fd < 0)
        return err_set(err, ESRCH, "instance '%s' has no line to its guest", instance->name);
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return err_errno(err, errno, "random numbers");
    char *tag CLEANUP(mem_free) = str_printf("#%016llx ", number);
    /* Behind what another may have begun to say. */
    char *line CLEANUP(mem_free) = str_printf("\n%s%s\n", tag, request);
    if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
        return err_set(err, ESRCH, "the guest has ended");
    return read_answer(fd, tag, ticks_ms() + patience_ms, answer, err);
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
