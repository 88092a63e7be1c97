/* System V message queues: msgget, msgsnd, msgrcv, msgctl (msgop(2)). */
#define _GNU_SOURCE
#include "t.h"

#include <sys/ipc.h>
#include <sys/msg.h>

struct message {
    long type;
    char text[8192 + 1];
};

static int send_text(int id, long type, const char *text, int flags)
{
    struct message m = {.type = type};
    strcpy(m.text, text);
    return msgsnd(id, &m, strlen(text), flags);
}

/* Is the next message that @type asks for this one? */
static bool next_is(int id, long type, int flags, long want_type, const char *want)
{
    struct message m = {0};
    ssize_t n = msgrcv(id, &m, 100, type, flags | IPC_NOWAIT);
    return n == (ssize_t)strlen(want) && m.type == want_type && !memcmp(m.text, want, (size_t)n);
}

CASE(queues_are_found_by_their_key)
{
    key_t key = 0x4567890 + getpid();
    CHECK_ERR(msgget(key, 0600), ENOENT);
    int id = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
    NEED(id >= 0);
    CHECK_ERR(msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(msgget(key, 0), id);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(msgget(key, 0), ENOENT);
    CHECK_ERR(msgctl(id, IPC_RMID, NULL), EINVAL);
    CHECK_ERR(send_text(id, 1, "x", 0), EINVAL);
    CHECK_ERR(send_text(-1, 1, "x", 0), EINVAL);
}

CASE(messages_are_chosen_by_type)
{
    struct msqid_ds ds;
    int id = msgget(IPC_PRIVATE, 0600);
    NEED(id >= 0);
    CHECK_EQ(send_text(id, 3, "three", 0), 0);
    CHECK_EQ(send_text(id, 1, "one", 0), 0);
    CHECK_EQ(send_text(id, 2, "two", 0), 0);
    CHECK_EQ(send_text(id, 2, "two again", 0), 0);
    CHECK_EQ(send_text(id, 5, "", 0), 0);
    NEED(!msgctl(id, IPC_STAT, &ds));
    CHECK(ds.msg_qnum == 5 && ds.msg_cbytes == 20 && ds.msg_qbytes == 16384);
    CHECK(ds.msg_lspid == getpid() && ds.msg_lrpid == 0 && ds.msg_stime && !ds.msg_rtime);
    CHECK(next_is(id, 2, 0, 2, "two"));
    CHECK(next_is(id, 3, MSG_EXCEPT, 1, "one"));
    CHECK(next_is(id, 0, 0, 3, "three"));
    CHECK(next_is(id, -5, 0, 2, "two again"));
    CHECK_ERR(next_is(id, -4, 0, 0, "") - 1, ENOMSG);
    CHECK(next_is(id, -5, 0, 5, ""));
    CHECK_ERR(msgrcv(id, &(struct message){0}, 100, 0, IPC_NOWAIT), ENOMSG);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

CASE(sizes_and_what_is_wrong)
{
    struct message m = {.type = 1};
    int id = msgget(IPC_PRIVATE, 0600);
    NEED(id >= 0);
    CHECK_ERR(msgsnd(id, &m, 8193, 0), EINVAL);
    CHECK_ERR(send_text(id, 0, "x", 0), EINVAL);
    CHECK_ERR(send_text(id, -1, "x", 0), EINVAL);
    CHECK_ERR(msgsnd(id, &m, (size_t)-1, 0), EINVAL);
    CHECK_ERR(msgrcv(id, &m, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
    CHECK_ERR(msgsnd(id, (void *)8, 1, 0), EFAULT);
    CHECK_EQ(msgsnd(id, &m, 8192, 0), 0);
    CHECK_ERR(msgrcv(id, &m, 100, 0, 0), E2BIG);
    CHECK_EQ(msgrcv(id, &m, 100, 0, MSG_NOERROR), 100);
    CHECK_ERR(msgrcv(id, &m, 100, 0, IPC_NOWAIT), ENOMSG);
    CHECK_EQ(send_text(id, 1, "lost", 0), 0);
    CHECK_ERR(msgrcv(id, (void *)8, 100, 0, 0), EFAULT);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

CASE(a_full_queue_is_full)
{
    struct message m = {.type = 1};
    struct msqid_ds ds;
    int id = msgget(IPC_PRIVATE, 0600);
    NEED(id >= 0);
    CHECK_EQ(msgsnd(id, &m, 8192, IPC_NOWAIT), 0);
    CHECK_EQ(msgsnd(id, &m, 8192, IPC_NOWAIT), 0);
    CHECK_ERR(msgsnd(id, &m, 1, IPC_NOWAIT), EAGAIN);
    CHECK_EQ(msgsnd(id, &m, 0, IPC_NOWAIT), 0);
    NEED(!msgctl(id, IPC_STAT, &ds));
    ds.msg_qbytes = 8192;
    CHECK_EQ(msgctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(msgrcv(id, &m, 8192, 0, IPC_NOWAIT), 8192);
    CHECK_ERR(msgsnd(id, &m, 1, IPC_NOWAIT), EAGAIN);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

struct worker {
    int id;
    long type;
    ssize_t result;
    int err;
    bool sends;
    pid_t tid;
    struct message m;
    pthread_t thread;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    w->m.type = w->type;
    __atomic_store_n(&w->tid, gettid(), __ATOMIC_SEQ_CST);
    w->result = w->sends ? msgsnd(w->id, &w->m, 5000, 0) : msgrcv(w->id, &w->m, 100, w->type, 0);
    w->err = errno;
    return NULL;
}

static void start_worker(struct worker *w, int id, long type, bool sends)
{
    *w = (struct worker){.id = id, .type = type, .sends = sends};
    pthread_create(&w->thread, NULL, work, w);
    CHECK(thread_falls_asleep(&w->tid));
}

CASE(receivers_wait_for_their_type)
{
    struct worker *two = calloc(1, sizeof(*two)), *any = calloc(1, sizeof(*any));
    int id = msgget(IPC_PRIVATE, 0600);
    NEED(id >= 0 && two && any);
    start_worker(two, id, 2, false);
    start_worker(any, id, 0, false);
    CHECK_EQ(send_text(id, 7, "seven", 0), 0);
    pthread_join(any->thread, NULL);
    CHECK(any->result == 5 && any->m.type == 7 && !memcmp(any->m.text, "seven", 5));
    CHECK_EQ(send_text(id, 8, "eight", 0), 0);
    CHECK_EQ(send_text(id, 2, "two", 0), 0);
    pthread_join(two->thread, NULL);
    CHECK(two->result == 3 && two->m.type == 2);
    CHECK(next_is(id, 0, 0, 8, "eight"));
    start_worker(any, id, 0, false);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    pthread_join(any->thread, NULL);
    CHECK(any->result == -1 && any->err == EIDRM);
    free(two);
    free(any);
}

CASE(senders_wait_for_room)
{
    struct worker *w = calloc(1, sizeof(*w));
    struct message *m = calloc(1, sizeof(*m));
    int id = msgget(IPC_PRIVATE, 0600);
    NEED(id >= 0 && w && m);
    m->type = 1;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(msgsnd(id, m, 5000, 0), 0);
    start_worker(w, id, 9, true);
    CHECK_EQ(msgrcv(id, m, 8192, 0, 0), 5000);
    pthread_join(w->thread, NULL);
    CHECK_EQ(w->result, 0);
    start_worker(w, id, 9, true);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    pthread_join(w->thread, NULL);
    CHECK(w->result == -1 && w->err == EIDRM);
    free(w);
    free(m);
}

static void nothing(int sig)
{
    (void)sig;
}

CASE(a_signal_ends_the_wait_whatever_its_flags)
{
    struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    struct worker *w = calloc(1, sizeof(*w));
    int id = msgget(IPC_PRIVATE, 0600);
    NEED(w && id >= 0 && !sigaction(SIGUSR1, &sa, NULL));
    start_worker(w, id, 1, false);
    pthread_kill(w->thread, SIGUSR1);
    pthread_join(w->thread, NULL);
    CHECK(w->result == -1 && w->err == EINTR);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    free(w);
}

/* Numbers through a queue that is too small for them, by two senders and two receivers. */
enum { NUMBERS = 2000 };
static int storm_id;
static long sums[2];

static void *send_numbers(void *arg)
{
    struct {
        long type, value;
    } m = {.type = 1};
    for (m.value = 1; m.value <= NUMBERS; m.value++)
        if (msgsnd(storm_id, &m, sizeof(m.value), 0))
            return NULL;
    return arg;
}

static void *receive_numbers(void *arg)
{
    struct {
        long type, value;
    } m;
    for (int i = 0; i < NUMBERS; i++) {
        if (msgrcv(storm_id, &m, sizeof(m.value), 0, 0) != sizeof(m.value))
            return NULL;
        *(long *)arg += m.value;
    }
    return arg;
}

CASE(nothing_is_lost_between_many)
{
    struct msqid_ds ds;
    pthread_t threads[4];
    void *good;
    storm_id = msgget(IPC_PRIVATE, 0600);
    NEED(storm_id >= 0 && !msgctl(storm_id, IPC_STAT, &ds));
    ds.msg_qbytes = 100;
    NEED(!msgctl(storm_id, IPC_SET, &ds));
    sums[0] = sums[1] = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, i < 2 ? send_numbers : receive_numbers, &sums[i % 2]);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &good);
        CHECK(good);
    }
    CHECK_EQ(sums[0] + sums[1], 2L * NUMBERS * (NUMBERS + 1) / 2);
    CHECK_EQ(msgctl(storm_id, IPC_RMID, NULL), 0);
}

CASE(who_may_use_a_queue)
{
    int id = msgget(IPC_PRIVATE, 0640);
    NEED(id >= 0 && !send_text(id, 1, "x", 0));
    if (!geteuid()) {
        NEED(!seteuid(4242));
        CHECK_ERR(send_text(id, 1, "x", 0), EACCES);
        CHECK(next_is(id, 0, 0, 1, "x")); /* of our group */
        CHECK_ERR(msgctl(id, IPC_RMID, NULL), EPERM);
        NEED(!seteuid(0));
    }
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

CASE(limits_and_what_there_is)
{
    struct msginfo info;
    struct msqid_ds ds;
    char line[64];
    key_t key = 0x5678901 + getpid();
    int id = msgget(key, IPC_CREAT | 0620), found = -1;
    NEED(id >= 0 && !send_text(id, 1, "hello", 0));
    CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
    CHECK(info.msgmax == 8192 && info.msgmnb == 16384);
    int last = msgctl(0, MSG_INFO, (struct msqid_ds *)&info);
    CHECK(last >= 0 && info.msgpool >= 1 && info.msgmap >= 1 && info.msgtql >= 5);
    for (int i = 0; i <= last; i++)
        if (msgctl(i, MSG_STAT, &ds) == id)
            found = i;
    CHECK(found >= 0);
    snprintf(line, sizeof(line), "%10d %10d   620           5          1", key, id);
    CHECK(strstr(get_file("/proc/sysvipc/msg"), line) != NULL);
    CHECK(!strncmp(get_file("/proc/sysvipc/msg"), "       key      msqid perms", 27));
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}
