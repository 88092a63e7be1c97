/* Threads that do things to each other: they close, cancel, move, end and unmap what others use at
 * the very moment.  What each call says is mostly a matter of luck; that it says something, that
 * everybody comes back and that nothing is left over is not. */
#define _GNU_SOURCE
#include "races.h"
#include "t.h"

#include <dirent.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* ---- threads ---- */

/* "SigQ:": signals that are queued for the user, of whom other programs may have a few. */
static int queued_signals(void)
{
    const char *line = strstr(get_file("/proc/self/status"), "SigQ:");

    return line ? atoi(line + 5) : -1;
}

static int short_lives[4]; /* [A] tids of threads that end soon */

static void *live_shortly(void *arg)
{
    sigset_t set;

    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    __atomic_store_n((int *)arg, gettid(), __ATOMIC_SEQ_CST);
    if (gettid() % 3 == 0)
        sleep_us(20);
    return NULL;
}

static void make_or_signal(int me)
{
    int *life = &short_lives[pick(COUNT(short_lives))];
    union sigval value = {.sival_int = me};
    pthread_t thread;

    if (me < 2) {
        life = &short_lives[me];
        if (CHECK_EQ(pthread_create(&thread, NULL, live_shortly, life), 0))
            pthread_join(thread, NULL);
        return;
    }
    pid_t tid = __atomic_load_n(life, __ATOMIC_SEQ_CST);
    siginfo_t info = {.si_signo = SIGRTMIN + 3, .si_code = SI_QUEUE, .si_value = value};
    if (tid && syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGRTMIN + 3, &info))
        CHECK(errno == ESRCH || errno == EAGAIN);
}

CASE(signals_to_threads_that_end_are_not_kept)
{
    struct sigaction action = {.sa_handler = ignore_it};

    sigaction(SIGRTMIN + 3, &action, NULL);
    int before = queued_signals();
    race(make_or_signal);
    sleep_ms(2);
    CHECK(queued_signals() < before + 5);
}

/* Whom it meets it moves, ranks, asks and interrupts. */
static void govern_others(int me)
{
    pid_t tid = __atomic_load_n(&racer_tids[pick(RACERS)], __ATOMIC_SEQ_CST);
    struct sched_param none = {0};
    struct timespec ts;
    cpu_set_t set;
    char path[64];

    if (!tid)
        return;
    switch (pick(10)) {
    case 0:
    case 1:
        CPU_ZERO(&set);
        CPU_SET(pick(4), &set);
        sched_setaffinity(tid, sizeof(set), &set);
        break;
    case 2:
        memset(&set, 0xff, sizeof(set));
        sched_setaffinity(tid, sizeof(set), &set);
        break;
    case 3:
        sched_setscheduler(tid, pick(2) ? SCHED_BATCH : SCHED_OTHER, &none);
        break;
    case 4:
        setpriority(PRIO_PROCESS, (id_t)tid, pick(3));
        break;
    case 5:
        clock_gettime((clockid_t)(~(unsigned int)tid << 3 | 6), &ts);
        break;
    case 6:
        syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
        break;
    case 7:
        sleep_us(pick(100));
        break;
    case 8:
        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
        look_at(path);
        break;
    default:
        sched_yield();
    }
    (void)me;
}

CASE(threads_govern_each_other)
{
    race(govern_others);
    setpriority(PRIO_PROCESS, 0, 0);
}

static int race_timers[4]; /* [A] ids */

static void use_timers(int me)
{
    struct sigevent event = {.sigev_notify = pick(3) ? SIGEV_THREAD_ID : SIGEV_NONE,
                             .sigev_signo = SIGUSR1};
    struct itimerspec soon = {.it_value.tv_nsec = 1 + pick(200000),
                              .it_interval.tv_nsec = pick(2) * 100000};
    struct itimerval real = {.it_value.tv_usec = pick(100)};
    int slot = pick(4), id = __atomic_load_n(&race_timers[slot], __ATOMIC_RELAXED);

    event._sigev_un._tid = __atomic_load_n(&racer_tids[pick(RACERS)], __ATOMIC_SEQ_CST);
    switch (pick(8)) {
    case 0:
    case 1:
        syscall(SYS_timer_create, pick(2) ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID,
                pick(4) ? &event : NULL, &id);
        id = __atomic_exchange_n(&race_timers[slot], id, __ATOMIC_SEQ_CST);
        syscall(SYS_timer_delete, id); /* none is forgotten: what fires would be heard for ever */
        break;
    case 2:
        syscall(SYS_timer_delete, id);
        break;
    case 3:
        syscall(SYS_timer_gettime, id, &soon);
        break;
    case 4:
        syscall(SYS_timer_getoverrun, id);
        break;
    case 5:
        setitimer(ITIMER_REAL, &real, NULL);
        break;
    default:
        syscall(SYS_timer_settime, id, 0, &soon, NULL);
    }
    (void)me;
}

CASE(timers_are_deleted_while_others_set_them_and_they_fire)
{
    struct sigaction action = {.sa_handler = ignore_it};
    struct itimerval never = {0};

    sigaction(SIGALRM, &action, NULL);
    race(use_timers);
    setitimer(ITIMER_REAL, &never, NULL);
    for (size_t i = 0; i < COUNT(race_timers); i++)
        syscall(SYS_timer_delete, race_timers[i]);
}

/* ---- words ---- */

static struct {
    int plain[4];
    int pi[2];
} words;

static long futex(int *word, int op, int value, const void *timeout, int *word2, int value3)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, word2, value3);
}

static void use_words(int me)
{
    struct timespec soon = {.tv_nsec = 50000}, until;
    int *a = &words.plain[pick(4)], *b = &words.plain[pick(4)], *lock = &words.pi[pick(2)];

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec = (until.tv_nsec + 200000) % 1000000000;
    switch (pick(8)) {
    case 0:
    case 1:
        futex(a, FUTEX_WAIT, 0, &soon, NULL, 0);
        break;
    case 2:
        futex(a, FUTEX_WAKE, 1, NULL, NULL, 0);
        break;
    case 3:
        futex(a, FUTEX_CMP_REQUEUE, 1, (void *)2L, b, 0);
        break;
    case 4:
        if (!futex(lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0))
            CHECK_EQ(futex(lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
        break;
    case 5:
        if (!futex(a, FUTEX_WAIT_REQUEUE_PI, 0, &until, lock, 0))
            CHECK_EQ(futex(lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
        break;
    case 6:
        futex(a, FUTEX_CMP_REQUEUE_PI, 1, (void *)2L, lock, 0);
        break;
    default:
        syscall(SYS_tgkill, getpid(), racer_tids[pick(RACERS)], SIGUSR1);
    }
    (void)me;
}

CASE(waiters_are_moved_between_words_by_others)
{
    race(use_words);
    CHECK_EQ(words.pi[0] & FUTEX_TID_MASK, 0);
    CHECK_EQ(words.pi[1] & FUTEX_TID_MASK, 0);
}

static int heirloom, heirs_in; /* a PI lock; who thinks that he has it */

static void *die_with_it(void *arg)
{
    if (!futex(&heirloom, FUTEX_LOCK_PI, 0, NULL, NULL, 0)) {
        CHECK_EQ(__atomic_add_fetch(&heirs_in, 1, __ATOMIC_SEQ_CST), 1);
        if (arg)
            sched_yield();
        __atomic_sub_fetch(&heirs_in, 1, __ATOMIC_SEQ_CST);
        if (gettid() % 4 == 0)
            futex(&heirloom, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
    }
    return NULL;
}

/* Whoever comes to the word of an owner that has ended without waiters is told ESRCH: it puts the
 * word right. */
static void inherit(int me)
{
    pthread_t thread;

    if (me > 1) {
        if (CHECK_EQ(pthread_create(&thread, NULL, die_with_it, pick(2) ? &heirloom : NULL), 0))
            pthread_join(thread, NULL);
        return;
    }
    int word = __atomic_load_n(&heirloom, __ATOMIC_SEQ_CST);
    struct timespec past = {0};
    long got = futex(&heirloom, FUTEX_LOCK_PI, 0, &past, NULL, 0);
    if (!got) {
        CHECK_EQ(__atomic_add_fetch(&heirs_in, 1, __ATOMIC_SEQ_CST), 1);
        __atomic_sub_fetch(&heirs_in, 1, __ATOMIC_SEQ_CST);
        CHECK_EQ(futex(&heirloom, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    } else if (errno == ESRCH) {
        __atomic_compare_exchange_n(&heirloom, &word, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
}

CASE(locks_of_threads_that_end_have_one_heir)
{
    race(inherit);
}

/* ---- descriptors ---- */

enum { PATHS = 6 };

static void put_pair(int fds[2])
{
    put_into_slot(fds[0]);
    put_into_slot(fds[1]);
}

static const char *a_path(void)
{
    static const char *const paths[PATHS] = {"a", "b", "c", "d/a", "d/b", "e/a"};

    return paths[pick(PATHS)];
}

static struct sockaddr_in here(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(port ? 17000 + port : 0)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_un a_name(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "races-%d-%d", getpid(), pick(3));
    return name;
}

static void make_socket(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    int fds[2], type = types[pick(3)], blocks = pick(2) ? SOCK_NONBLOCK : 0;
    struct sockaddr_in in = here(1 + pick(3));
    struct sockaddr_un un = a_name();

    switch (pick(4)) {
    case 0:
        if (!socketpair(AF_UNIX, type | blocks, 0, fds))
            put_pair(fds);
        return;
    case 1:
        fds[0] = socket(AF_UNIX, type | blocks, 0);
        bind(fds[0], (struct sockaddr *)&un, sizeof(un));
        break;
    case 2:
        fds[0] = socket(AF_INET, SOCK_DGRAM | blocks, 0);
        bind(fds[0], (struct sockaddr *)&in, sizeof(in));
        break;
    default:
        fds[0] = socket(AF_INET, SOCK_STREAM | blocks, 0);
        setsockopt(fds[0], SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
        setsockopt(fds[0], SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int));
        bind(fds[0], (struct sockaddr *)&in, sizeof(in));
    }
    if (pick(3))
        listen(fds[0], 1 + pick(3));
    put_into_slot(fds[0]);
}

static void make_descriptor(void)
{
    int fds[2], nonblock = pick(2) ? O_NONBLOCK : 0;
    struct itimerspec soon = {.it_value.tv_nsec = 10000, .it_interval.tv_nsec = 50000};
    sigset_t set;

    switch (pick(10)) {
    case 0:
        if (!pipe2(fds, nonblock))
            put_pair(fds);
        return;
    case 1:
        put_into_slot(eventfd((unsigned)pick(3), pick(2) ? EFD_SEMAPHORE | nonblock : nonblock));
        return;
    case 2:
        fds[0] = timerfd_create(pick(2) ? CLOCK_MONOTONIC : CLOCK_REALTIME, nonblock);
        timerfd_settime(fds[0], 0, &soon, NULL);
        put_into_slot(fds[0]);
        return;
    case 3:
        put_into_slot(epoll_create1(0));
        return;
    case 4:
        fds[0] = inotify_init1(nonblock);
        inotify_add_watch(fds[0], ".", IN_ALL_EVENTS);
        put_into_slot(fds[0]);
        return;
    case 5:
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        put_into_slot(signalfd(-1, &set, nonblock));
        return;
    case 6:
        put_into_slot(open(a_path(), O_RDWR | O_CREAT, 0644));
        return;
    case 7:
        fds[0] = (int)syscall(SYS_pidfd_open, getpid(), 0);
        put_into_slot(fds[0]);
        return;
    default:
        make_socket();
    }
}

static void pass_descriptor(int through, int fd)
{
    char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    sendmsg(through, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void take_descriptor(int from)
{
    char room[CMSG_SPACE(sizeof(int))] = {0}, byte[4];
    struct iovec iov = {byte, sizeof(byte)};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    int fd;

    if (recvmsg(from, &msg, MSG_DONTWAIT) < 0)
        return;
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
        return;
    memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
    put_into_slot(fd);
}

static void wait_for_some(void)
{
    struct pollfd fds[SLOTS];
    struct epoll_event events[4];
    struct timeval tv = {.tv_usec = pick(300)};
    fd_set set;

    switch (pick(3)) {
    case 0:
        for (int i = 0; i < SLOTS; i++)
            fds[i] = (struct pollfd){.fd = FIRST_SLOT + i, .events = POLLIN | POLLOUT * pick(2)};
        poll(fds, SLOTS, pick(2));
        break;
    case 1:
        FD_ZERO(&set);
        FD_SET(a_slot(), &set);
        FD_SET(a_slot(), &set);
        select(FIRST_SLOT + SLOTS, &set, NULL, NULL, &tv);
        break;
    default:
        epoll_wait(a_slot(), events, 4, pick(2));
    }
}

static void connect_somewhere(void)
{
    struct sockaddr_in in = here(1 + pick(3));
    struct sockaddr_un un = a_name();
    int fd = a_slot();

    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (pick(2))
        connect(fd, (struct sockaddr *)&in, sizeof(in));
    else
        connect(fd, (struct sockaddr *)&un, sizeof(un));
}

static void use_descriptors(int me)
{
    static const int ops[] = {EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL};
    static const unsigned int wants[] = {EPOLLIN, EPOLLIN | EPOLLET, EPOLLOUT | EPOLLONESHOT,
                                         EPOLLIN | EPOLLEXCLUSIVE};
    struct epoll_event event = {.events = wants[pick(4)]};
    char buf[256];
    uint64_t one = 1;

    switch (pick(18)) {
    case 0:
    case 1:
        make_descriptor();
        break;
    case 2:
        close(a_slot());
        break;
    case 3:
        dup2(a_slot(), a_slot());
        break;
    case 4:
        if (read(a_slot(), buf, pick(2) ? sizeof(buf) : 8) < 0)
            break;
        break;
    case 5:
    case 6:
        if (write(a_slot(), &one, sizeof(one)) < 0)
            break;
        break;
    case 7:
    case 8:
        epoll_ctl(a_slot(), ops[pick(4)], a_slot(), &event);
        break;
    case 9:
    case 10:
        wait_for_some();
        break;
    case 11:
        pass_descriptor(a_slot(), a_slot());
        break;
    case 12:
        take_descriptor(a_slot());
        break;
    case 13:
        put_into_slot(accept4(a_slot(), NULL, NULL, SOCK_NONBLOCK));
        break;
    case 14:
        connect_somewhere();
        break;
    case 15:
        shutdown(a_slot(), pick(3));
        break;
    case 16:
        if (pick(2))
            splice(a_slot(), NULL, a_slot(), NULL, 64, SPLICE_F_NONBLOCK);
        else
            tee(a_slot(), a_slot(), 64, SPLICE_F_NONBLOCK);
        break;
    default:
        if (pick(4))
            fcntl(a_slot(), F_SETFL, pick(2) ? O_NONBLOCK : 0);
        else if (pick(2))
            sendfile(a_slot(), a_slot(), NULL, 64);
        else
            look_at("/proc/self/fdinfo/101");
    }
    (void)me;
}

CASE(descriptors_are_closed_and_replaced_while_others_use_them)
{
    signal(SIGPIPE, SIG_IGN);
    mkdir("d", 0755);
    mkdir("e", 0755);
    race(use_descriptors);
    race(use_descriptors);
    for (int fd = FIRST_SLOT; fd < FIRST_SLOT + SLOTS; fd++)
        close(fd);
}

static int busy_epoll;

/* Some look whether the epoll has something, and one waits there, who is woken by nothing else. */
static void look_or_wait(int me)
{
    struct pollfd fd = {.fd = busy_epoll, .events = POLLIN};
    struct epoll_event event;
    sigset_t set;

    if (me == 0) {
        sigfillset(&set);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        CHECK_EQ(epoll_wait(busy_epoll, &event, 1, 15000), 1);
    } else if (me < 4) {
        CHECK_EQ(poll(&fd, 1, 0), 1);
    } else {
        sleep_us(1000);
    }
}

CASE(who_looks_at_an_epoll_takes_nothing_from_who_waits_there)
{
    struct epoll_event event = {.events = EPOLLIN};
    int ready = eventfd(1, 0);

    busy_epoll = epoll_create1(0);
    NEED(epoll_ctl(busy_epoll, EPOLL_CTL_ADD, ready, &event) == 0);
    long long before = now_ms();
    race(look_or_wait);
    CHECK(now_ms() < before + 12000); /* who had been forgotten slept until it timed out */
    close(ready), close(busy_epoll);
}

static int parcels[2], parcel_pipe = -1;

/* Whoever receives without room for descriptors ends the pipe that a splice is about to fill. */
static void send_or_lose_a_pipe(int me)
{
    char buf[16];
    int fds[2];

    if (me > 2) {
        recv(parcels[0], buf, 1, MSG_DONTWAIT);
    } else if (me > 0) {
        splice(parcels[0], NULL, __atomic_load_n(&parcel_pipe, __ATOMIC_SEQ_CST), NULL, 1,
               SPLICE_F_NONBLOCK);
    } else if (!pipe(fds)) {
        pass_descriptor(parcels[1], fds[0]);
        close(fds[0]);
        close(__atomic_exchange_n(&parcel_pipe, fds[1], __ATOMIC_SEQ_CST));
    }
}

CASE(a_pipe_ends_in_a_message_while_it_is_spliced_to)
{
    signal(SIGPIPE, SIG_IGN);
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        NEED(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, parcels) == 0);
        race(send_or_lose_a_pipe);
        close(parcels[0]), close(parcels[1]);
    }
    close(parcel_pipe);
}

/* ---- the end ---- */

enum { ENDERS = 20, MANY = 50 };

static bool program_ends; /* [A] */

__attribute__((destructor)) static void end_all_at_once(void)
{
    __atomic_store_n(&program_ends, true, __ATOMIC_SEQ_CST);
}

static void *end_the_program(void *arg)
{
    while (!__atomic_load_n(&program_ends, __ATOMIC_SEQ_CST))
        sleep_us(100);
    _exit(0);
    return arg;
}

static void *wait_for_all(void *barrier)
{
    pthread_barrier_wait(barrier);
    return NULL;
}

/* They end it with the first thread, after main(). */
CASE(zz_many_threads_end_the_program_at_once)
{
    pthread_t enders[ENDERS], threads[MANY];
    pthread_barrier_t all;

    for (int i = 0; i < ENDERS; i++)
        NEED(pthread_create(&enders[i], NULL, end_the_program, NULL) == 0);
    pthread_barrier_init(&all, NULL, MANY); /* so many that the kernel keeps none of the enders' */
    for (int i = 0; i < MANY; i++)
        NEED(pthread_create(&threads[i], NULL, wait_for_all, &all) == 0);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&all);
}
