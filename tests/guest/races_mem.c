/* Threads that change the memory, the files and the IPC objects that others use at that moment. */
#define _GNU_SOURCE
#include "races.h"
#include "t.h"

#include <dirent.h>
#include <mqueue.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { PAGE = 4096, AREA_PAGES = 1024, FILE_PAGES = 16 };

/* ---- memory ---- */

static char *area;
static int area_file;
static __thread sigjmp_buf fault_end;
static __thread volatile bool may_fault;

static void end_fault(int sig)
{
    (void)sig;
    if (!may_fault)
        _exit(99);
    siglongjmp(fault_end, 1);
}

static void touch(char *at, int n)
{
    if (!sigsetjmp(fault_end, 1)) {
        may_fault = true;
        for (int i = 0; i < n; i++)
            at[i * PAGE] = pick(2) ? at[i * PAGE + 8] : 1;
    }
    may_fault = false;
}

static void change_memory(int me)
{
    static const int advice[] = {MADV_DONTNEED, MADV_FREE,    MADV_WILLNEED,   MADV_HUGEPAGE,
                                 MADV_COLD,     MADV_PAGEOUT, MADV_NOHUGEPAGE, MADV_POPULATE_WRITE};
    static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE};
    int first = pick(AREA_PAGES - 64), n = 1 + pick(pick(8) ? 8 : 60);
    char *at = area + first * PAGE, *to = area + pick(AREA_PAGES - 64) * PAGE;
    int prot = prots[pick(4)], shared = pick(2) ? MAP_SHARED : MAP_PRIVATE;
    struct iovec local = {at, 100}, remote = {to, 100};
    unsigned char in_core[64];

    switch (pick(16)) {
    case 0:
    case 1:
        mmap(at, (size_t)n * PAGE, prot, shared | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
        break;
    case 2:
        mmap(at, (size_t)n * PAGE, prot, shared | MAP_FIXED, area_file, pick(FILE_PAGES) * PAGE);
        break;
    case 3:
        munmap(at, (size_t)n * PAGE);
        break;
    case 4:
        mprotect(at, (size_t)n * PAGE, prot);
        break;
    case 5:
        madvise(at, (size_t)n * PAGE, advice[pick(8)]);
        break;
    case 6:
        mremap(at, (size_t)n * PAGE, (size_t)n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
        break;
    case 7:
        if (read(area_file, at, (size_t)n * PAGE) < (ssize_t)n * PAGE)
            lseek(area_file, 0, SEEK_SET);
        break;
    case 8:
        if (pwrite(area_file, at, (size_t)n * 100, pick(FILE_PAGES) * PAGE) < 0)
            break;
        break;
    case 9:
        if (ftruncate(area_file, pick(FILE_PAGES) * PAGE + pick(PAGE)))
            break;
        break;
    case 10:
        process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        break;
    case 11:
        mincore(at, (size_t)n * PAGE, in_core);
        msync(at, (size_t)n * PAGE, MS_SYNC);
        break;
    case 12:
        pick(2) ? mlock(at, (size_t)n * PAGE) : munlock(at, (size_t)n * PAGE);
        break;
    case 13:
        look_at(pick(2) ? "/proc/self/maps" : "/proc/self/smaps");
        break;
    default:
        touch(at, n);
    }
    (void)me;
}

static void make_area(void)
{
    struct sigaction action = {.sa_handler = end_fault, .sa_flags = SA_NODEFER};

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    /* A page before and one behind stay: a new stack does not fit into what is unmapped. */
    area = mmap(NULL, (AREA_PAGES + 2) * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    NEED(area != MAP_FAILED);
    area += PAGE;
    area_file = open("area", O_RDWR | O_CREAT, 0644);
    NEED(area_file >= 0);
    NEED(ftruncate(area_file, FILE_PAGES * PAGE) == 0);
}

static void drop_area(void)
{
    munmap(area - PAGE, (AREA_PAGES + 2) * PAGE);
    close(area_file);
}

CASE(mappings_are_replaced_while_others_use_them)
{
    make_area();
    race(change_memory);
    race(change_memory);
    drop_area();
}

/* A child has the memory of one moment, whatever other threads do to it. */
static void fork_or_change(int me)
{
    int status = 0;

    if (me > 1) {
        change_memory(me);
        return;
    }
    pid_t pid = fork();
    if (!pid) {
        luck += 12345;
        for (int i = 0; i < 10; i++)
            touch(area + pick(AREA_PAGES - 8) * PAGE, 8);
        _exit(3);
    }
    if (pid < 0) {
        sched_yield();
        return;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK_EQ(status, 3 << 8);
}

CASE(memory_is_copied_while_others_change_it)
{
    make_area();
    race(fork_or_change);
    drop_area();
}

/* ---- files ---- */

static const char *a_name(void)
{
    static const char *const names[] = {"p",   "q", "r",   "f/p",    "f/q",   "f/g/p", "f/g",
                                        "g/p", "g", "f/h", "f/../p", "f/g/q", "f/h/p", "g/../f/q"};

    return names[pick(COUNT(names))];
}

static void use_open_file(int fd)
{
    char buf[5000];
    char *map;

    switch (pick(8)) {
    case 0:
        if (write(fd, buf, (size_t)pick(sizeof(buf))) < 0)
            break;
        break;
    case 1:
        while (read(fd, buf, sizeof(buf)) > 0)
            ;
        break;
    case 2:
        if (ftruncate(fd, pick(20000)))
            break;
        break;
    case 3:
        fsync(fd);
        break;
    case 4:
        fallocate(fd, pick(2) ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pick(9000), 5000);
        break;
    case 5:
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        break;
    case 6:
        map = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            break;
        touch(map, 4);
        munmap(map, 4 * PAGE);
        break;
    default:
        flock(fd, LOCK_EX | LOCK_NB);
    }
}

static int watcher;

static void change_files(int me)
{
    struct stat st;
    char buf[1024];
    DIR *dir;
    int fd;

    switch (pick(14)) {
    case 0:
        mkdir(a_name(), 0755);
        break;
    case 1:
        rmdir(a_name());
        break;
    case 2:
        unlink(a_name());
        break;
    case 3:
    case 4:
        rename(a_name(), a_name());
        break;
    case 5:
        syscall(SYS_renameat2, AT_FDCWD, a_name(), AT_FDCWD, a_name(), 2 /* RENAME_EXCHANGE */);
        break;
    case 6:
        if (link(a_name(), a_name()))
            break;
        break;
    case 7:
        if (symlink("f/g", a_name()))
            break;
        break;
    case 8:
        stat(a_name(), &st);
        chmod(a_name(), 0755);
        break;
    case 9:
        dir = opendir(pick(2) ? "f" : ".");
        while (dir && readdir(dir))
            ;
        if (dir)
            closedir(dir);
        break;
    case 10:
        fd = inotify_add_watch(watcher, a_name(), IN_ALL_EVENTS);
        inotify_rm_watch(watcher, pick(2) ? fd : pick(50));
        if (read(watcher, buf, sizeof(buf)) < 0)
            break;
        break;
    default:
        fd = open(a_name(), O_RDWR | O_CREAT | pick(2) * O_TRUNC | pick(2) * O_APPEND, 0644);
        if (fd < 0)
            break;
        use_open_file(fd);
        use_open_file(fd);
        close(fd);
    }
    (void)me;
}

CASE(names_and_sizes_change_while_others_use_the_files)
{
    make_area();
    watcher = inotify_init1(IN_NONBLOCK);
    mkdir("f", 0755), mkdir("f/g", 0755), mkdir("g", 0755);
    race(change_files);
    race(change_files);
    close(watcher);
    drop_area();
}

/* ---- IPC ---- */

static int ids[3][2]; /* [A] segments, sets of semaphores, queues */

static void use_segment(int *id)
{
    char *at;

    switch (pick(4)) {
    case 0:
        shmctl(__atomic_exchange_n(id, shmget(IPC_PRIVATE, 4 * PAGE, 0600), __ATOMIC_SEQ_CST),
               IPC_RMID, NULL);
        break;
    case 1:
        look_at("/proc/sysvipc/shm");
        break;
    default:
        at = shmat(*id, NULL, 0);
        if (at == (void *)-1)
            break;
        touch(at, 4);
        shmdt(at);
    }
}

static void use_semaphores(int *id)
{
    struct timespec soon = {.tv_nsec = 100000};
    struct sembuf op = {.sem_num = (unsigned short)pick(2),
                        .sem_op = (short)(pick(4) - 2),
                        .sem_flg = (short)(pick(2) ? SEM_UNDO : 0)};

    switch (pick(6)) {
    case 0:
        semctl(__atomic_exchange_n(id, semget(IPC_PRIVATE, 2, 0600), __ATOMIC_SEQ_CST), 0,
               IPC_RMID);
        break;
    case 1:
        semctl(*id, 0, SETVAL, pick(3));
        break;
    case 2:
        semop(*id, &op, 1);
        break;
    default:
        semtimedop(*id, &op, 1, &soon);
    }
}

static void use_queue(int *id)
{
    struct {
        long type;
        char text[64];
    } msg = {1 + pick(3), "x"};

    switch (pick(6)) {
    case 0:
        msgctl(__atomic_exchange_n(id, msgget(IPC_PRIVATE, 0600), __ATOMIC_SEQ_CST), IPC_RMID,
               NULL);
        break;
    case 1:
    case 2:
        msgrcv(*id, &msg, sizeof(msg.text), pick(4) - 2, pick(3) ? 0 : IPC_NOWAIT);
        break;
    default:
        msgsnd(*id, &msg, (size_t)pick(64), pick(3) ? 0 : IPC_NOWAIT);
    }
}

static void use_mqueue(void)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 32};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct timespec soon;
    char buf[32] = "x";
    mqd_t q = mq_open(pick(2) ? "/races-a" : "/races-b", O_RDWR | O_CREAT, 0600, &attr);

    clock_gettime(CLOCK_REALTIME, &soon);
    if (pick(3) == 0)
        mq_unlink(pick(2) ? "/races-a" : "/races-b");
    if (q < 0)
        return;
    if (pick(3) == 0)
        mq_notify(q, pick(2) ? &event : NULL);
    if (pick(2))
        mq_timedsend(q, buf, 4, (unsigned)pick(3), &soon);
    else
        mq_timedreceive(q, buf, sizeof(buf), NULL, &soon);
    mq_close(q);
}

static void use_ipc(int me)
{
    int which = pick(4), *id = &ids[which % 3][pick(2)];

    if (which == 0)
        use_segment(id);
    else if (which == 1)
        use_semaphores(id);
    else if (which == 2)
        use_queue(id);
    else
        use_mqueue();
    (void)me;
}

CASE(ipc_objects_are_removed_while_others_wait_for_them)
{
    make_area();
    for (int i = 0; i < 2; i++)
        ids[0][i] = ids[1][i] = ids[2][i] = -1;
    race(use_ipc);
    for (int i = 0; i < 2; i++) {
        shmctl(ids[0][i], IPC_RMID, NULL);
        semctl(ids[1][i], 0, IPC_RMID);
        msgctl(ids[2][i], IPC_RMID, NULL);
    }
    mq_unlink("/races-a"), mq_unlink("/races-b");
    drop_area();
}
