/* A storm on one file against a model of it in memory, while a thread makes, moves and removes
 * names beside it. fsx FOLDER SEED CALLS What a file system refuses (EOPNOTSUPP, EINVAL of
 * O_DIRECT) is left out from then on.  ENOSPC is no error: the file is read again, and must be as
 * before but for the range of the call. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MOST = 400000, SECTOR = 4096, NAMES = 24 };

static char model[MOST + SECTOR], bytes[MOST + SECTOR] __attribute__((aligned(SECTOR)));
static long size;
static int file, direct = -1;
static unsigned long state;
static const char *doing;
static long at, len, step;
static volatile int stop;

static unsigned long roll_of(unsigned long *s, unsigned long below)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s % below;
}

static long roll(unsigned long below)
{
    return (long)roll_of(&state, below);
}

static void fail(const char *why)
{
    fprintf(stderr, "call %ld: %s %ld+%ld of %ld: %s (%s)\n", step, doing, at, len, size, why,
            strerror(errno));
    exit(1);
}

static void choose(const char *name, int inside)
{
    long end = size < MOST ? size : MOST; /* whole sectors may have been written past MOST */

    doing = name;
    at = inside ? roll((unsigned long)end + 1) : roll(MOST);
    len = 1 + roll(roll(3) ? 6000 : 70000);
    if (at + len > MOST)
        len = MOST - at;
    if (inside && at + len > size)
        len = size - at;
}

static void compare(int fd, long from, long n)
{
    errno = 0;
    long got = pread(fd, bytes, (size_t)n, from);
    long want = from >= size ? 0 : from + n > size ? size - from : n;
    if (got != want)
        fail("a read of another length");
    for (long i = 0; i < got; i++) {
        if (bytes[i] == model[from + i])
            continue;
        fprintf(stderr, "byte %ld is %#x, should be %#x\n", from + i, bytes[i] & 255,
                model[from + i] & 255);
        fail("other bytes");
    }
}

static void grow(long end)
{
    if (end > size)
        size = end;
}

static void do_write(int fd, int aligned)
{
    choose(aligned ? "direct write" : "write", roll(3) != 0);
    if (aligned) {
        at = at / SECTOR * SECTOR;
        len = (len + SECTOR - 1) / SECTOR * SECTOR;
    }
    if (!len)
        return;
    for (long i = 0; i < len; i++)
        bytes[i] = (char)roll(256);
    long done = pwrite(fd, bytes, (size_t)len, at);
    if (done < 0 && aligned && errno == EINVAL) {
        direct = -1;
        return;
    }
    if (done <= 0 && errno != ENOSPC)
        fail("refused");
    if (done > 0) {
        memcpy(model + at, bytes, (size_t)done);
        grow(at + done);
    }
}

static void do_truncate(void)
{
    doing = "truncate";
    at = roll(4) ? roll((unsigned long)size + 1) : roll(MOST);
    if (ftruncate(file, at)) {
        if (errno != ENOSPC)
            fail("refused");
        return;
    }
    if (at < size)
        memset(model + at, 0, (size_t)(size - at));
    size = at;
}

static void do_allocate(void)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    static int refused[5];
    int which = (int)roll(5), mode = modes[which];

    choose("fallocate", 0);
    if (refused[which] || !len)
        return;
    if (fallocate(file, mode, at, len)) {
        refused[which] = errno == EOPNOTSUPP;
        if (errno != EOPNOTSUPP && errno != ENOSPC)
            fail("refused");
        if (errno == EOPNOTSUPP)
            return;
        if (mode & (FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE)) { /* it may be done in part */
            struct stat st;
            fstat(file, &st);
            size = st.st_size;
            if (pread(file, model, (size_t)size, 0) != size)
                fail("unreadable");
        }
        return;
    }
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && at < MOST)
        memset(model + at, 0, (size_t)len);
    if (!(mode & FALLOC_FL_KEEP_SIZE))
        grow(at + len);
}

static sigjmp_buf no_room;

static void bus_error(int signal)
{
    (void)signal;
    siglongjmp(no_room, 1);
}

static void do_map(int writes)
{
    choose(writes ? "mapped write" : "mapped read", 1);
    if (len <= 0)
        return;
    long from = at / SECTOR * SECTOR;
    size_t span = (size_t)(at + len - from);
    char *map = mmap(NULL, span, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, file, from);
    if (map == MAP_FAILED)
        fail("refused");
    if (sigsetjmp(no_room, 1)) { /* a hole, and no block for it: some of it was written */
        munmap(map, span);
        if (pread(file, model + at, (size_t)len, at) != len)
            fail("unreadable");
        return;
    }
    for (long i = 0; writes && i < len; i++)
        map[at - from + i] = model[at + i] = (char)roll(256);
    if (memcmp(map + (at - from), model + at, (size_t)len))
        fail("other bytes");
    if (writes && !roll(3) && msync(map, span, MS_SYNC) && errno != ENOSPC)
        fail("msync");
    munmap(map, span);
}

/* Holes read as zero, data begins where it says; the end is a hole. */
static void do_seek(void)
{
    doing = "seek";
    for (at = 0; at < size;) {
        long data = lseek(file, at, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            fail("SEEK_DATA");
        long hole_end = data < 0 ? size : data;
        for (long i = at; i < hole_end; i++)
            if (model[i])
                fail("data in what is called a hole");
        if (data < 0)
            return;
        long hole = lseek(file, data, SEEK_HOLE);
        if (hole <= data || hole > size)
            fail("SEEK_HOLE");
        at = hole;
    }
}

static void do_sync(void)
{
    doing = "sync";
    int err = 0;
    switch (roll(4)) {
    case 0:
        err = fsync(file);
        break;
    case 1:
        err = fdatasync(file);
        break;
    case 2:
        err = sync_file_range(file, roll(MOST), roll(MOST),
                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
        break;
    default: /* what is clean now is read from the disk again */
        err = fsync(file);
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    }
    if (err && errno != ENOSPC)
        fail("refused");
}

/* Names beside it, without a model: what counts is what e2fsck says, and that they can be removed.
 */
static void *names(void *arg)
{
    unsigned long own = (unsigned long)arg * 77777 + 5;
    char a[64], b[64], value[300];

    memset(value, 'v', sizeof(value));
    while (!stop) {
        snprintf(a, sizeof(a), "n%lu", roll_of(&own, NAMES));
        snprintf(b, sizeof(b), "d%lu/a-longer-name-%lu", roll_of(&own, 3), roll_of(&own, NAMES));
        int fd;
        switch (roll_of(&own, 12)) {
        case 0:
            mkdir(roll_of(&own, 2) ? "d0" : "d1", 0755);
            break;
        case 1:
            rename(a, b);
            break;
        case 2:
            rename(b, a);
            break;
        case 3:
            link(a, b);
            break;
        case 4:
            unlink(b);
            break;
        case 5:
            symlink(b, a);
            break;
        case 6:
            setxattr(a, "user.x", value, roll_of(&own, sizeof(value)), 0);
            break;
        case 7:
            rmdir("d1");
            break;
        case 8:
            unlink(a);
            break;
        case 9: /* an orphan for a while */
            fd = open(b, O_RDWR | O_CREAT, 0600);
            unlink(b);
            if (fd >= 0 && write(fd, value, sizeof(value)) < 0 && errno != ENOSPC)
                perror("orphan");
            close(fd);
            break;
        default:
            fd = open(roll_of(&own, 2) ? a : b, O_RDWR | O_CREAT, 0644);
            if (fd >= 0 &&
                pwrite(fd, value, roll_of(&own, sizeof(value)), (off_t)roll_of(&own, 90000)) < 0 &&
                errno != ENOSPC)
                perror("write");
            close(fd);
        }
    }
    return NULL;
}

static void one(void)
{
    switch (roll(14)) {
    case 0:
        do_truncate();
        break;
    case 1:
        do_allocate();
        break;
    case 2:
    case 3:
        do_map(1);
        break;
    case 4:
        do_map(0);
        break;
    case 5:
        do_seek();
        break;
    case 6:
        do_sync();
        break;
    case 7:
        if (direct >= 0)
            do_write(direct, 1);
        break;
    case 8:
        choose("direct read", 1);
        if (direct >= 0)
            compare(direct, at / SECTOR * SECTOR, (len + SECTOR - 1) / SECTOR * SECTOR);
        break;
    case 9:
    case 10:
        choose("read", 0);
        compare(file, at, len);
        break;
    default:
        do_write(file, 0);
    }
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc < 4 || chdir(argv[1]))
        return 2;
    signal(SIGBUS, bus_error);
    state = strtoul(argv[2], NULL, 10) * 0x9e3779b97f4a7c15ul + 1;
    file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (file < 0)
        fail("open");
    direct = open("file", O_RDWR | O_DIRECT);
    if (pthread_create(&thread, NULL, names, (void *)state))
        return 2;
    for (step = 0; step < atol(argv[3]); step++)
        one();
    stop = 1;
    pthread_join(thread, NULL);
    doing = "the end";
    compare(file, 0, sizeof(model));
    puts("as the model");
    return 0;
}
