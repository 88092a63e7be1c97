/* POSIX message queues. */
#define _GNU_SOURCE
#include "t.h"

#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

static char queue_name[32];

__attribute__((constructor)) static void make_name(void)
{
    snprintf(queue_name, sizeof(queue_name), "/ingot-test-%d", getpid());
}

static mqd_t fresh(int flags, long most, long size)
{
    struct mq_attr attr = {.mq_maxmsg = most, .mq_msgsize = size};

    mq_unlink(queue_name);
    return mq_open(queue_name, O_CREAT | O_EXCL | O_RDWR | flags, 0600, &attr);
}

static struct timespec soon(int ms)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += ms * 1000000L;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

CASE(a_queue_has_a_name_and_attributes)
{
    struct mq_attr attr;

    mq_unlink(queue_name);
    CHECK_ERR(mq_open(queue_name, O_RDWR), ENOENT);
    CHECK_ERR(mq_unlink(queue_name), ENOENT);
    CHECK_ERR(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
    mqd_t q = fresh(O_NONBLOCK, 3, 100), other;
    NEED(q >= 0);
    CHECK_ERR(mq_open(queue_name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
    CHECK_EQ(mq_getattr(q, &attr), 0);
    CHECK(attr.mq_maxmsg == 3 && attr.mq_msgsize == 100 && !attr.mq_curmsgs);
    CHECK_EQ(attr.mq_flags, O_NONBLOCK);
    CHECK(fcntl(q, F_GETFD) & FD_CLOEXEC);
    NEED((other = mq_open(queue_name, O_RDONLY)) >= 0);
    CHECK_ERR(mq_send(other, "x", 1, 0), EBADF);
    CHECK_EQ(mq_getattr(other, &attr), 0);
    CHECK_EQ(attr.mq_flags, 0);
    attr.mq_flags = O_NONBLOCK;
    CHECK_EQ(mq_setattr(other, &attr, NULL), 0);
    char buf[100];
    CHECK_ERR(mq_receive(other, buf, sizeof(buf), NULL), EAGAIN);
    attr.mq_flags = O_APPEND;
    CHECK_ERR(mq_setattr(other, &attr, NULL), EINVAL);
    CHECK_EQ(mq_unlink(queue_name), 0);
    CHECK_ERR(mq_open(queue_name, O_RDWR), ENOENT);
    CHECK_EQ(mq_send(q, "still", 5, 0), 0);
    CHECK_EQ(mq_receive(other, buf, sizeof(buf), NULL), 5);
    CHECK_EQ(mq_close(q), 0);
    CHECK_EQ(mq_close(other), 0);
    struct mq_attr bad = {.mq_maxmsg = 0, .mq_msgsize = 1};
    CHECK_ERR(mq_open(queue_name, O_CREAT | O_RDWR, 0600, &bad), EINVAL);
    struct mq_attr large = {.mq_maxmsg = 1000, .mq_msgsize = 8192};
    CHECK_EQ(mq_open(queue_name, O_CREAT | O_RDWR, 0600, &large), -1);
    CHECK(errno == EMFILE || errno == EINVAL); /* the latter without CAP_SYS_RESOURCE */
}

CASE(messages_come_by_priority)
{
    static const struct {
        const char *text;
        unsigned priority;
    } sent[] = {{"a", 1}, {"b", 5}, {"c", 1}, {"d", 0}, {"e", 5}};
    mqd_t q = fresh(O_NONBLOCK, 5, 8);
    struct pollfd ready = {.fd = q, .events = POLLIN | POLLOUT};
    unsigned priority;
    char buf[8], got[6] = "";

    NEED(q >= 0);
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT);
    CHECK_ERR(mq_receive(q, buf, 8, NULL), EAGAIN);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(mq_send(q, sent[i].text, 1, sent[i].priority), 0);
    CHECK(poll(&ready, 1, 0) == 1 && ready.revents == POLLIN);
    CHECK_ERR(mq_send(q, "f", 1, 0), EAGAIN);
    CHECK_ERR(mq_send(q, "too long!", 9, 0), EMSGSIZE);
    CHECK_ERR(mq_send(q, "x", 1, 32768), EINVAL);
    CHECK_ERR(mq_receive(q, buf, 7, NULL), EMSGSIZE);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(mq_receive(q, buf, 8, &priority), 1);
        CHECK_EQ(priority, (i < 2 ? 5 : i < 4 ? 1 : 0));
        got[i] = buf[0];
    }
    CHECK(!strcmp(got, "beacd"));
    CHECK_EQ(mq_send(q, "", 0, 0), 0);
    char text[100] = "";
    CHECK(read(q, text, sizeof(text) - 1) > 0);
    CHECK_EQ(read(q, text + 80, 10), 0);
    CHECK(!strncmp(text, "QSIZE:0          NOTIFY:0     SIGNO:0     NOTIFY_PID:0", 54));
    CHECK_EQ(mq_receive(q, buf, 8, NULL), 0);
    CHECK_ERR(mq_send(1000, "x", 1, 0), EBADF);
    CHECK_EQ(mq_send(q, "left behind", 1, 0), 0);
    mq_close(q), mq_unlink(queue_name);
}

static mqd_t shared;

static void *send_later(void *arg)
{
    sleep_ms(20);
    CHECK_EQ(mq_send(shared, "late", 4, 7), 0);
    return arg;
}

static void *take_later(void *arg)
{
    char buf[8];

    sleep_ms(20);
    CHECK_EQ(mq_receive(shared, buf, 8, NULL), 4);
    return arg;
}

CASE(who_waits_is_woken_or_gives_up)
{
    struct timespec at = soon(20), bad = {0, 1000000000};
    pthread_t thread;
    char buf[8];

    NEED((shared = fresh(0, 1, 8)) >= 0);
    CHECK_ERR(mq_timedreceive(shared, buf, 8, NULL, &at), ETIMEDOUT);
    CHECK_ERR(mq_timedreceive(shared, buf, 8, NULL, &bad), EINVAL);
    NEED(pthread_create(&thread, NULL, send_later, NULL) == 0);
    CHECK_EQ(mq_receive(shared, buf, 8, NULL), 4);
    pthread_join(thread, NULL);
    CHECK_EQ(mq_send(shared, "one", 3, 0), 0);
    at = soon(20);
    CHECK_ERR(mq_timedsend(shared, "two", 3, 0, &at), ETIMEDOUT);
    CHECK_EQ(mq_receive(shared, buf, 8, NULL), 3);
    CHECK_EQ(mq_send(shared, "four", 4, 0), 0);
    NEED(pthread_create(&thread, NULL, take_later, NULL) == 0);
    CHECK_EQ(mq_send(shared, "next", 4, 0), 0);
    pthread_join(thread, NULL);
    mq_close(shared), mq_unlink(queue_name);
}

enum { STREAM = 2000 };

static void *send_many(void *arg)
{
    for (int i = 0; i < STREAM; i++)
        CHECK_EQ(mq_send(shared, (char *)&i, sizeof(i), 0), 0);
    return arg;
}

CASE(many_messages_of_several_threads)
{
    pthread_t threads[2];
    long sum = 0;
    int n;

    NEED((shared = fresh(0, 4, sizeof(int))) >= 0);
    for (int i = 0; i < 2; i++)
        NEED(pthread_create(&threads[i], NULL, send_many, NULL) == 0);
    for (int i = 0; i < 2 * STREAM; i++) {
        if (!CHECK_EQ(mq_receive(shared, (char *)&n, sizeof(n), NULL), sizeof(n)))
            break;
        sum += n;
    }
    for (int i = 0; i < 2; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ(sum, (long)STREAM * (STREAM - 1));
    mq_close(shared), mq_unlink(queue_name);
}

static volatile int told, told_value, told_code;

static void on_message(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    told++;
    told_value = info->si_value.sival_int;
    told_code = info->si_code;
}

CASE(a_signal_tells_of_the_first_message)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO}, old;
    mqd_t q = fresh(O_NONBLOCK, 4, 8);
    char buf[8];

    event.sigev_value.sival_int = 77;
    NEED(q >= 0 && sigaction(SIGUSR1, &action, &old) == 0);
    CHECK_EQ(mq_notify(q, &event), 0);
    CHECK_ERR(mq_notify(q, &event), EBUSY);
    CHECK_EQ(mq_send(q, "x", 1, 0), 0);
    CHECK_EQ(told, 1);
    CHECK_EQ(told_value, 77);
    CHECK_EQ(told_code, SI_MESGQ);
    CHECK_EQ(mq_notify(q, &event), 0); /* it is not empty: nothing is told of the next one */
    CHECK_EQ(mq_send(q, "y", 1, 0), 0);
    CHECK_EQ(told, 1);
    CHECK_EQ(mq_notify(q, NULL), 0);
    CHECK(mq_receive(q, buf, 8, NULL) == 1 && mq_receive(q, buf, 8, NULL) == 1);
    CHECK_EQ(mq_send(q, "z", 1, 0), 0);
    CHECK_EQ(told, 1);
    event.sigev_signo = 1000;
    CHECK_ERR(mq_notify(q, &event), EINVAL);
    sigaction(SIGUSR1, &old, NULL);
    mq_close(q), mq_unlink(queue_name);
}

CASE(who_closes_a_descriptor_is_told_no_more)
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    int other = (int)fresh(0, 4, 8);
    NEED(other >= 0);
    int second = dup(other);
    CHECK_EQ(mq_notify(other, &event), 0);
    CHECK_EQ(close(second), 0); /* any descriptor ends it */
    CHECK_EQ(mq_notify(other, &event), 0);
    CHECK_ERR(mq_notify(other, &event), EBUSY);
    CHECK_EQ(mq_notify(other, NULL), 0);
    mq_close(other), mq_unlink(queue_name);
}
