/* Regular files: open flags, reads and writes of every form, holes, sizes, times, modes. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

CASE(open_flags)
{
    CHECK_ERR(open("none", O_RDONLY), ENOENT);
    CHECK_ERR(open("", O_RDONLY), ENOENT);
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
    NEED(fd >= 0);
    CHECK_ERR(open("a", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    CHECK_EQ(write(fd, "hello", 5), 5);
    close(fd);

    fd = open("a", O_RDONLY);
    NEED(fd >= 0);
    CHECK_ERR(write(fd, "x", 1), EBADF);
    close(fd);
    fd = open("a", O_WRONLY);
    char c;
    CHECK_ERR(read(fd, &c, 1), EBADF);
    close(fd);
    fd = open("a", O_RDWR | O_TRUNC);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    CHECK_ERR(open("a/b", O_RDONLY), ENOTDIR);
    CHECK_ERR(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERR(open(".", O_RDWR), EISDIR);
    CHECK_ERR(open("none/b", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK_ERR(open("new/", O_RDWR | O_CREAT, 0600), EISDIR);
}

CASE(creat_truncates_and_writes_only)
{
    NEED(put_file("c", "old text"));
    int fd = creat("c", 0600);
    NEED(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
    CHECK_EQ(write(fd, "new", 3), 3);
    close(fd);
    CHECK(!strcmp(get_file("c"), "new"));
}

CASE(the_lowest_free_number_is_given)
{
    int a = open("n", O_RDWR | O_CREAT, 0600), b = open("n", O_RDWR), c = open("n", O_RDWR);
    CHECK(b == a + 1 && c == b + 1);
    close(b);
    CHECK_EQ(open("n", O_RDWR), b);
    close(a), close(b), close(c);
    CHECK_ERR(close(a), EBADF);
    CHECK_ERR(close(-1), EBADF);
    CHECK_ERR(close(100000), EBADF);
}

CASE(read_and_write_move_the_offset)
{
    char buf[16] = "";
    int fd = open("rw", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(read(fd, buf, 5), 0);
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(read(fd, buf, 4), 4);
    CHECK(!memcmp(buf, "3456", 4));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_EQ(lseek(fd, -2, SEEK_END), 8);
    CHECK_EQ(read(fd, buf, 16), 2);
    CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERR(lseek(fd, 0, 99), EINVAL);
    CHECK_EQ(read(fd, buf, 0), 0);
    CHECK_EQ(write(fd, buf, 0), 0);
    close(fd);
}

CASE(pread_and_pwrite_leave_the_offset)
{
    char buf[16] = "";
    int fd = open("p", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(pwrite(fd, "abcdef", 6, 4), 6);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(pread(fd, buf, 16, 0), 10);
    CHECK(!memcmp(buf, "\0\0\0\0abcdef", 10));
    CHECK_EQ(pread(fd, buf, 16, 9), 1);
    CHECK_EQ(pread(fd, buf, 16, 10), 0);
    CHECK_EQ(pread(fd, buf, 16, 1 << 20), 0);
    CHECK_ERR(pread(fd, buf, 16, -1), EINVAL);
    CHECK_ERR(pwrite(fd, buf, 16, -1), EINVAL);
    close(fd);
}

CASE(vectors)
{
    char a[3], b[4], c[8];
    struct iovec in[3] = {{a, 3}, {b, 4}, {c, 8}};
    struct iovec out[4] = {{(void *)"one", 3}, {NULL, 0}, {(void *)"four", 4}, {(void *)"!!", 2}};
    int fd = open("v", O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK_EQ(writev(fd, out, 4), 9);
    lseek(fd, 0, SEEK_SET);
    CHECK_EQ(readv(fd, in, 3), 9);
    CHECK(!memcmp(a, "one", 3) && !memcmp(b, "four", 4) && !memcmp(c, "!!", 2));
    CHECK_EQ(preadv(fd, in, 2, 1), 7);
    CHECK(!memcmp(a, "nef", 3) && !memcmp(b, "our!", 4));
    CHECK_EQ(pwritev(fd, out, 1, 6), 3);
    CHECK_EQ(preadv2(fd, in, 1, 6, 0), 3);
    CHECK(!memcmp(a, "one", 3));
    CHECK_EQ(readv(fd, in, 0), 0);
    CHECK_ERR(readv(fd, in, -1), EINVAL);
    CHECK_ERR(syscall(SYS_readv, fd, in, 2000), EINVAL);
    in[0].iov_len = SIZE_MAX;
    CHECK_ERR(syscall(SYS_readv, fd, in, 1), EINVAL);
    close(fd);
}

CASE(a_hole_reads_as_zeros)
{
    char buf[4096];
    struct stat st;
    int fd = open("hole", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(lseek(fd, 1 << 20, SEEK_SET), 1 << 20);
    CHECK_EQ(write(fd, "end", 3), 3);
    CHECK(fstat(fd, &st) == 0 && st.st_size == (1 << 20) + 3);
    CHECK(st.st_blocks * 512 < 1 << 20);
    memset(buf, 1, sizeof(buf));
    CHECK_EQ(pread(fd, buf, 4096, 8191), 4096);
    for (int i = 0; i < 4096; i++)
        if (buf[i]) {
            CHECK(!"zeros in a hole");
            break;
        }
    CHECK_EQ(pread(fd, buf, 4096, (1 << 20) - 2), 5);
    CHECK(!memcmp(buf, "\0\0end", 5));
    close(fd);
}

CASE(truncate_cuts_and_extends_with_zeros)
{
    char buf[16];
    int fd = open("t", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(ftruncate(fd, 4), 0);
    CHECK_EQ(ftruncate(fd, 8), 0);
    CHECK_EQ(pread(fd, buf, 16, 0), 8);
    CHECK(!memcmp(buf, "0123\0\0\0\0", 8));
    CHECK_EQ(truncate("t", 2), 0);
    CHECK_EQ(pread(fd, buf, 16, 0), 2);
    CHECK_ERR(ftruncate(fd, -1), EINVAL);
    CHECK_ERR(truncate("none", 0), ENOENT);
    CHECK_ERR(truncate(".", 0), EISDIR);
    close(fd);
    fd = open("t", O_RDONLY);
    CHECK_ERR(ftruncate(fd, 1), EINVAL);
    close(fd);
}

CASE(append_always_writes_at_the_end)
{
    NEED(put_file("app", "start"));
    int fd = open("app", O_RDWR | O_APPEND);
    lseek(fd, 0, SEEK_SET);
    CHECK_EQ(write(fd, "+1", 2), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
    lseek(fd, 0, SEEK_SET);
    CHECK_EQ(write(fd, "S", 1), 1);
    CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND), 0);
    CHECK(fcntl(fd, F_GETFL) & O_APPEND);
    CHECK_EQ(write(fd, "+2", 2), 2);
    close(fd);
    CHECK(!strcmp(get_file("app"), "Start+1+2"));
}

CASE(dup_shares_the_offset_and_not_the_flag)
{
    char c;
    NEED(put_file("d", "abcdef"));
    int a = open("d", O_RDONLY | O_CLOEXEC), b = dup(a);
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(b, F_GETFD), 0);
    CHECK(read(a, &c, 1) == 1 && read(b, &c, 1) == 1 && c == 'b');
    CHECK_EQ(dup2(a, 50), 50);
    CHECK_EQ(dup2(a, a), a);
    CHECK(read(50, &c, 1) == 1 && c == 'c');
    CHECK_EQ(dup3(a, 51, O_CLOEXEC), 51);
    CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(dup3(a, a, 0), EINVAL);
    CHECK_EQ(fcntl(a, F_DUPFD, 60), 60);
    CHECK_EQ(fcntl(a, F_DUPFD_CLOEXEC, 60), 61);
    CHECK_EQ(fcntl(61, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(61, F_SETFD, 0), 0);
    CHECK_EQ(fcntl(61, F_GETFD), 0);
    CHECK_ERR(dup(-1), EBADF);
    CHECK_ERR(dup2(a, -1), EBADF);
    close(a);
    CHECK(read(b, &c, 1) == 1 && c == 'd');
    close(b), close(50), close(51), close(60), close(61);
}

CASE(close_range_closes_what_it_names)
{
    int first = 80;
    int fd = open("cr", O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < 8; i++)
        dup2(fd, first + i);
    CHECK_EQ(syscall(SYS_close_range, first + 2, first + 5, 0), 0);
    CHECK(fcntl(first + 1, F_GETFD) == 0 && fcntl(first + 6, F_GETFD) == 0);
    CHECK_ERR(fcntl(first + 2, F_GETFD), EBADF);
    CHECK_EQ(syscall(SYS_close_range, first, first + 10, 4 /* CLOSE_RANGE_CLOEXEC */), 0);
    CHECK_EQ(fcntl(first, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(syscall(SYS_close_range, first, first + 10, 0), 0);
    CHECK_ERR(syscall(SYS_close_range, 9, 8, 0), EINVAL);
    close(fd);
}

CASE(stat_tells_what_it_is)
{
    struct stat st, st2;
    NEED(put_file("s", "12345"));
    CHECK_EQ(chmod("s", 0640), 0);
    CHECK_EQ(stat("s", &st), 0);
    CHECK(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0640);
    CHECK(st.st_size == 5 && st.st_nlink == 1 && st.st_blksize >= 512);
    CHECK_EQ(st.st_uid, geteuid());
    int fd = open("s", O_RDONLY);
    CHECK_EQ(fstat(fd, &st2), 0);
    CHECK(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
    CHECK_EQ(fstatat(fd, "", &st2, AT_EMPTY_PATH), 0);
    CHECK(st.st_ino == st2.st_ino);
    struct statx stx;
    CHECK_EQ(statx(AT_FDCWD, "s", 0, STATX_BASIC_STATS, &stx), 0);
    CHECK((stx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    CHECK(stx.stx_size == 5 && stx.stx_ino == st.st_ino && stx.stx_mode == st.st_mode);
    CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx), 0);
    CHECK_ERR(stat("none", &st), ENOENT);
    CHECK_ERR(fstat(-1, &st), EBADF);
    struct statfs sf;
    CHECK(statfs(".", &sf) == 0 && sf.f_bsize > 0 && sf.f_namelen >= 255);
    CHECK_EQ(fstatfs(fd, &sf), 0);
    close(fd);
}

CASE(modes_and_umask)
{
    struct stat st;
    mode_t old = umask(027);
    close(open("m1", O_CREAT | O_RDWR, 0666));
    CHECK(stat("m1", &st) == 0 && (st.st_mode & 07777) == 0640);
    CHECK_EQ(mkdir("m1d", 0777), 0);
    CHECK(stat("m1d", &st) == 0 && (st.st_mode & 07777) == 0750);
    CHECK_EQ(umask(old), 027);
    int fd = open("m1", O_RDWR);
    CHECK_EQ(fchmod(fd, 0400), 0);
    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0400);
    CHECK_EQ(fchmodat(AT_FDCWD, "m1", 0604, 0), 0);
    CHECK(stat("m1", &st) == 0 && (st.st_mode & 07777) == 0604);
    CHECK_ERR(chmod("none", 0600), ENOENT);
    close(fd);
}

CASE(chown_sets_the_owner)
{
    struct stat st;
    if (geteuid() != 0)
        return;
    NEED(put_file("o", ""));
    CHECK_EQ(chown("o", 12, 34), 0);
    CHECK(stat("o", &st) == 0 && st.st_uid == 12 && st.st_gid == 34);
    CHECK_EQ(lchown("o", (uid_t)-1, 56), 0);
    CHECK(stat("o", &st) == 0 && st.st_uid == 12 && st.st_gid == 56);
    int fd = open("o", O_RDWR);
    CHECK_EQ(fchown(fd, 0, 0), 0);
    CHECK_EQ(fchownat(AT_FDCWD, "o", 1, 1, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_uid == 1);
    close(fd);
}

CASE(access_follows_the_mode)
{
    NEED(put_file("acc", ""));
    chmod("acc", 0644);
    CHECK_EQ(access("acc", F_OK), 0);
    CHECK_EQ(access("acc", R_OK | W_OK), 0);
    CHECK_ERR(access("acc", X_OK), EACCES);
    CHECK_ERR(access("none", F_OK), ENOENT);
    CHECK_ERR(access("acc", 99), EINVAL);
    CHECK_EQ(chmod("acc", 0755), 0);
    CHECK_EQ(access("acc", X_OK), 0);
    CHECK_EQ(faccessat(AT_FDCWD, "acc", R_OK, AT_EACCESS), 0);
}

CASE(times)
{
    struct stat st, later;
    struct timespec ts[2] = {{1000, 5000}, {2000, 7000}};
    NEED(put_file("time", "x"));
    CHECK_EQ(utimensat(AT_FDCWD, "time", ts, 0), 0);
    CHECK(stat("time", &st) == 0 && st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec == 2000);
    CHECK_EQ(st.st_mtim.tv_nsec, 7000);
    ts[0].tv_nsec = UTIME_OMIT;
    ts[1].tv_nsec = UTIME_NOW;
    CHECK_EQ(utimensat(AT_FDCWD, "time", ts, 0), 0);
    CHECK(stat("time", &st) == 0 && st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec > 1600000000);
    sleep_ms(20);
    CHECK(put_file("time", "yy"));
    CHECK_EQ(stat("time", &later), 0);
    CHECK(later.st_mtim.tv_sec > st.st_mtim.tv_sec || later.st_mtim.tv_nsec > st.st_mtim.tv_nsec);
    int fd = open("time", O_RDWR);
    CHECK_EQ(futimens(fd, NULL), 0);
    ts[0].tv_nsec = 2000000000;
    CHECK_ERR(futimens(fd, ts), EINVAL);
    close(fd);
    CHECK_ERR(utimensat(AT_FDCWD, "none", NULL, 0), ENOENT);
}

CASE(sendfile_and_copy_file_range)
{
    char buf[64] = "";
    off_t at = 2;
    NEED(put_file("src", "0123456789"));
    int in = open("src", O_RDONLY), out = open("dst", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(sendfile(out, in, &at, 4), 4);
    CHECK_EQ(at, 6);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(sendfile(out, in, NULL, 100), 10);
    CHECK_EQ(sendfile(out, in, NULL, 100), 0);
    CHECK_EQ(pread(out, buf, 64, 0), 14);
    CHECK(!memcmp(buf, "23450123456789", 14));
    loff_t from = 1, to = 0;
    CHECK_EQ(copy_file_range(in, &from, out, &to, 5, 0), 5);
    CHECK(from == 6 && to == 5);
    CHECK(pread(out, buf, 5, 0) == 5 && !memcmp(buf, "12345", 5));
    CHECK_ERR(sendfile(in, out, NULL, 4), EBADF);
    close(in), close(out);
}

CASE(fallocate_reserves_and_punches)
{
    char buf[4];
    struct stat st;
    int fd = open("fa", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(fallocate(fd, 0, 0, 8192), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 8192);
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 8192, 8192), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 8192);
    CHECK_EQ(pwrite(fd, "data", 4, 100), 4);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
    CHECK(pread(fd, buf, 4, 100) == 4 && !memcmp(buf, "\0\0\0\0", 4));
    CHECK_ERR(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_EQ(posix_fallocate(fd, 0, 20000), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 20000);
    close(fd);
}

CASE(sync_and_advice_are_taken)
{
    int fd = open("sy", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(fdatasync(fd), 0);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
    CHECK_EQ(readahead(fd, 0, 4096), 0);
    sync();
    CHECK_EQ(syncfs(fd), 0);
    CHECK_ERR(fsync(-1), EBADF);
    close(fd);
}

CASE(record_locks_of_one_process_do_not_conflict)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    int a = open("lk", O_RDWR | O_CREAT, 0600), b = open("lk", O_RDWR);
    CHECK_EQ(fcntl(a, F_SETLK, &lock), 0);
    CHECK_EQ(fcntl(b, F_SETLK, &lock), 0);
    lock.l_type = F_RDLCK;
    CHECK_EQ(fcntl(b, F_GETLK, &lock), 0);
    CHECK_EQ(lock.l_type, F_UNLCK);
    close(a), close(b);
}

CASE(ioctls_on_a_file)
{
    int value = 0;
    NEED(put_file("io", "123456"));
    int fd = open("io", O_RDONLY);
    CHECK_ERR(ioctl(fd, TCGETS, &(char[64]){0}), ENOTTY);
    CHECK_EQ(ioctl(fd, FIONREAD, &value), 0);
    CHECK_EQ(value, 6);
    CHECK_EQ(ioctl(fd, FIOCLEX), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(isatty(fd), 0);
    close(fd);
}

CASE(a_large_file_keeps_its_bytes)
{
    enum { BLOCK = 64 * 1024, BLOCKS = 48 };
    char *buf = malloc(BLOCK), *back = malloc(BLOCK);
    int fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < BLOCKS; i++) {
        memset(buf, i + 1, BLOCK);
        NEED(write(fd, buf, BLOCK) == BLOCK);
    }
    for (int i = BLOCKS - 1; i >= 0; i--) {
        memset(buf, i + 1, BLOCK);
        NEED(pread(fd, back, BLOCK, (off_t)i * BLOCK) == BLOCK);
        CHECK(!memcmp(buf, back, BLOCK));
    }
    close(fd);
    CHECK_EQ(unlink("big"), 0);
    free(buf), free(back);
}

/* ---- O_DIRECT ---- */

enum { DIRECT = 1 << 20, SECTOR = 4096 };

static char untouched[SECTOR] __attribute__((aligned(SECTOR)));

static char direct_byte(size_t at)
{
    return (char)(at / 512 * 7 + at % 512 + 1);
}

/* A file of DIRECT bytes and then @more, open for O_DIRECT; -1: not on this file system. */
static int open_direct(const char *name, const char *more)
{
    char *buf = malloc(DIRECT);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

    for (size_t i = 0; i < DIRECT; i++)
        buf[i] = direct_byte(i);
    bool done = write(fd, buf, DIRECT) == DIRECT &&
                write(fd, more, strlen(more)) == (ssize_t)strlen(more) && fsync(fd) == 0;
    close(fd);
    free(buf);
    return done ? open(name, O_RDWR | O_DIRECT) : -1;
}

static bool holds(const char *buf, size_t from, size_t n)
{
    size_t i = 0;

    while (i < n && buf[i] == direct_byte(from + i))
        i++;
    return i == n;
}

static char *direct_memory(size_t n, int prot, int flags)
{
    return mmap(NULL, n, prot, MAP_ANONYMOUS | flags, -1, 0);
}

/* What has no disk takes any address. */
static bool needs_sectors(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == EXT4_SUPER_MAGIC;
}

CASE(direct_reads_into_memory_of_every_kind)
{
    int fd = open_direct("direct", "tail"), pipes[2];
    if (fd < 0)
        return;
    char *fresh = direct_memory(DIRECT, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    char *shared = direct_memory(DIRECT, PROT_READ | PROT_WRITE, MAP_SHARED);
    char *large = direct_memory(8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    char *fixed = direct_memory(2 * SECTOR, PROT_READ, MAP_PRIVATE);
    NEED(fresh != MAP_FAILED && shared != MAP_FAILED && large != MAP_FAILED);
    CHECK(pread(fd, fresh, DIRECT, 0) == DIRECT && holds(fresh, 0, DIRECT));
    CHECK(pread(fd, shared, DIRECT, 0) == DIRECT && holds(shared, 0, DIRECT));
    memset(large, 1, 8 << 20);
    CHECK(pread(fd, large + (3 << 19), DIRECT, 0) == DIRECT && holds(large + (3 << 19), 0, DIRECT));
    CHECK(large[(3 << 19) - 1] == 1 && large[(3 << 19) + DIRECT] == 1);
    CHECK(pread(fd, untouched, SECTOR, 8192) == SECTOR && holds(untouched, 8192, SECTOR));
    /* The end of the file is in the middle of a sector. */
    memset(fresh, 1, 2 * SECTOR);
    CHECK_EQ(pread(fd, fresh, 2 * SECTOR, DIRECT - SECTOR), SECTOR + 4);
    CHECK(holds(fresh, DIRECT - SECTOR, SECTOR) && !memcmp(fresh + SECTOR, "tail", 4));
    CHECK_EQ(pread(fd, fresh, SECTOR, DIRECT + SECTOR), 0);
    CHECK_ERR(pread(fd, fixed, SECTOR, 0), EFAULT);
    if (needs_sectors(fd)) {
        CHECK_ERR(pread(fd, fresh + 1, SECTOR, 0), EINVAL);
        CHECK_ERR(pread(fd, fresh, SECTOR, 17), EINVAL);
    }
    /* Half of the memory is there. */
    munmap(fresh + 8 * SECTOR, DIRECT - 8 * SECTOR);
    ssize_t n = pread(fd, fresh, DIRECT, 0);
    CHECK((n == 8 * SECTOR && holds(fresh, 0, 8 * SECTOR)) || (n == -1 && errno == EFAULT));
    /* Several pieces, one of them shared. */
    struct iovec iov[] = {
        {fresh + SECTOR, 2 * SECTOR}, {shared, SECTOR}, {fresh + 5 * SECTOR, SECTOR}};
    CHECK_EQ(preadv(fd, iov, 3, SECTOR), 4 * SECTOR);
    CHECK(holds(fresh + SECTOR, SECTOR, 2 * SECTOR) && holds(shared, 3 * SECTOR, SECTOR) &&
          holds(fresh + 5 * SECTOR, 4 * SECTOR, SECTOR));
    /* Memory that a child has, too, is copied before it is written. */
    NEED(pipe(pipes) == 0);
    memset(fresh, 1, SECTOR);
    pid_t child = fork();
    if (!child) {
        char go;
        _exit(read(pipes[0], &go, 1) == 1 && fresh[0] == 1 ? 0 : 1);
    }
    CHECK(pread(fd, fresh, SECTOR, 0) == SECTOR && holds(fresh, 0, SECTOR));
    int status = 0;
    if (child > 0)
        CHECK(write(pipes[1], "", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
    close(pipes[0]), close(pipes[1]), close(fd);
    unlink("direct");
    munmap(fresh, 8 * SECTOR), munmap(shared, DIRECT), munmap(large, 8 << 20);
    munmap(fixed, 2 * SECTOR);
}

CASE(direct_writes_from_memory_of_every_kind)
{
    int fd = open_direct("direct", ""), plain = open("direct", O_RDWR);
    if (fd < 0)
        return;
    char *mine = direct_memory(DIRECT, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    char *file = mmap(NULL, DIRECT, PROT_READ, MAP_SHARED, plain, 0);
    char *back = malloc(DIRECT);
    NEED(mine != MAP_FAILED && file != MAP_FAILED && back);
    for (size_t i = 0; i < DIRECT; i++)
        mine[i] = direct_byte(i + 8192);
    CHECK_EQ(pwrite(fd, mine, DIRECT / 2, 0), DIRECT / 2);
    CHECK(pread(plain, back, DIRECT, 0) == DIRECT && holds(back, 8192, DIRECT / 2) &&
          holds(back + DIRECT / 2, DIRECT / 2, DIRECT / 2));
    CHECK(holds(file, 8192, DIRECT / 2));
    CHECK(mprotect(mine, DIRECT, PROT_READ) == 0 && pwrite(fd, mine, DIRECT, 0) == DIRECT);
    CHECK(pread(plain, back, DIRECT, 0) == DIRECT && holds(back, 8192, DIRECT));
    /* From the file itself, and from memory that nobody has written. */
    CHECK_EQ(pwrite(fd, file + SECTOR, SECTOR, 0), SECTOR);
    CHECK(pread(plain, back, SECTOR, 0) == SECTOR && holds(back, 8192 + SECTOR, SECTOR));
    char *none = direct_memory(SECTOR, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK_EQ(pwrite(fd, none, SECTOR, SECTOR), SECTOR);
    CHECK(pread(plain, back, SECTOR, SECTOR) == SECTOR && !memcmp(back, none, SECTOR));
    /* Behind the end, where there are no blocks yet. */
    CHECK_EQ(pwrite(fd, mine, 2 * SECTOR, DIRECT + 4 * SECTOR), 2 * SECTOR);
    CHECK(pread(fd, mprotect(mine, DIRECT, PROT_READ | PROT_WRITE) ? none : mine, 2 * SECTOR,
                DIRECT + 3 * SECTOR) == 2 * SECTOR);
    CHECK(!memcmp(mine, none, SECTOR) && holds(mine + SECTOR, 8192, SECTOR));
    munmap(none, SECTOR);
    CHECK_ERR(pwrite(fd, none, SECTOR, 0), EFAULT);
    close(fd), close(plain), unlink("direct");
    munmap(mine, DIRECT), munmap(file, DIRECT), free(back);
}

CASE(fiemap_tells_where_the_bytes_are)
{
    struct {
        struct fiemap head;
        struct fiemap_extent extents[8];
    } map = {.head = {.fm_length = FIEMAP_MAX_OFFSET,
                      .fm_flags = FIEMAP_FLAG_SYNC,
                      .fm_extent_count = 8}};
    char buf[65536];
    int fd = open("map", O_RDWR | O_CREAT | O_TRUNC, 0600);
    memset(buf, 7, sizeof(buf));
    NEED(pwrite(fd, buf, sizeof(buf), 0) == sizeof(buf));
    NEED(pwrite(fd, buf, sizeof(buf), 1 << 20) == sizeof(buf));
    if (ioctl(fd, FS_IOC_FIEMAP, &map)) { /* not every file system has it */
        CHECK(errno == EOPNOTSUPP || errno == ENOTTY);
        return;
    }
    NEED(fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 << 20, 65536) == 0 && fsync(fd) == 0);
    map.head.fm_extent_count = 8;
    CHECK_EQ(ioctl(fd, FS_IOC_FIEMAP, &map), 0);
    CHECK(map.head.fm_mapped_extents >= 3 && map.head.fm_mapped_extents <= 8);
    unsigned long long written = 0, unwritten = 0;
    for (unsigned i = 0; i < map.head.fm_mapped_extents; i++) {
        const struct fiemap_extent *e = &map.extents[i];
        bool last = i + 1 == map.head.fm_mapped_extents;
        CHECK(!(e->fe_flags & FIEMAP_EXTENT_LAST) == !last);
        CHECK(e->fe_physical && !(e->fe_logical & 1023));
        *(e->fe_flags & FIEMAP_EXTENT_UNWRITTEN ? &unwritten : &written) += e->fe_length;
        CHECK(e->fe_flags & FIEMAP_EXTENT_UNWRITTEN ? e->fe_logical >= 2 << 20
                                                    : e->fe_logical < (1 << 20) + 65536);
    }
    CHECK(written == 2 * sizeof(buf) && unwritten == 65536);
    /* A part. */
    unsigned all = map.head.fm_mapped_extents;
    map.head = (struct fiemap){.fm_start = 1 << 20, .fm_length = 65536, .fm_extent_count = 8};
    CHECK(ioctl(fd, FS_IOC_FIEMAP, &map) == 0 && map.head.fm_mapped_extents >= 1);
    CHECK_EQ(map.extents[0].fe_logical, 1 << 20);
    /* Only counting; what is wrong with a request. */
    map.head = (struct fiemap){.fm_length = FIEMAP_MAX_OFFSET};
    CHECK(ioctl(fd, FS_IOC_FIEMAP, &map) == 0 && map.head.fm_mapped_extents == all);
    map.head.fm_length = 0;
    CHECK_ERR(ioctl(fd, FS_IOC_FIEMAP, &map), EINVAL);
    map.head = (struct fiemap){.fm_length = 1, .fm_flags = 0x40000000};
    CHECK_ERR(ioctl(fd, FS_IOC_FIEMAP, &map), EBADR);
    CHECK_EQ(map.head.fm_flags, 0x40000000);
    CHECK_ERR(ioctl(fd, FS_IOC_FIEMAP, NULL), EFAULT);
    close(fd), unlink("map");
}

CASE(stdio_round_trip)
{
    char line[32];
    int a, b;
    FILE *f = fopen("std", "w+");
    NEED(f);
    for (int i = 0; i < 1000; i++)
        fprintf(f, "%d %d\n", i, i * i);
    CHECK_EQ(fseek(f, 0, SEEK_SET), 0);
    for (int i = 0; i < 1000; i++)
        NEED(fscanf(f, "%d %d\n", &a, &b) == 2 && a == i && b == i * i);
    CHECK(fgets(line, sizeof(line), f) == NULL && feof(f));
    CHECK_EQ(fclose(f), 0);
}

CASE(o_tmpfile_and_memfd_have_no_name)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    struct stat st;
    if (fd < 0) { /* not every Linux file system has it */
        CHECK(errno == EOPNOTSUPP || errno == EISDIR);
        return;
    }
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0);
    close(fd);
}

CASE(extended_attributes_or_a_clear_refusal)
{
    char value[8];
    NEED(put_file("x", ""));
    ssize_t n = syscall(SYS_getxattr, "x", "user.none", value, sizeof(value));
    CHECK(n == -1 && (errno == ENODATA || errno == EOPNOTSUPP));
    n = syscall(SYS_listxattr, "x", value, 0);
    CHECK(n >= 0 || errno == EOPNOTSUPP);
}

static volatile sig_atomic_t too_large;

static void count_too_large(int sig)
{
    too_large += sig == SIGXFSZ;
}

CASE(no_file_grows_beyond_its_limit)
{
    struct rlimit old, limit;
    int fd = open("limited", O_CREAT | O_RDWR | O_TRUNC, 0644);
    NEED(fd >= 0 && !getrlimit(RLIMIT_FSIZE, &old) && !ftruncate(fd, 20000));
    limit = old;
    limit.rlim_cur = 8192;
    signal(SIGXFSZ, count_too_large);
    NEED(!setrlimit(RLIMIT_FSIZE, &limit));
    too_large = 0;
    CHECK_EQ(ftruncate(fd, 10000), 0); /* it shrinks */
    CHECK_EQ(too_large, 0);
    CHECK_ERR(ftruncate(fd, 10001), EFBIG);
    CHECK_EQ(too_large, 1);
    CHECK_ERR(truncate("limited", 30000), EFBIG);
    CHECK_EQ(too_large, 2);
    CHECK_ERR(fallocate(fd, 0, 8192, 8192), EFBIG);
    CHECK_EQ(too_large, 3);
    CHECK_ERR(pwrite(fd, "x", 1, 8192), EFBIG);
    CHECK_EQ(too_large, 4);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(fallocate(fd, 0, 0, 8192), 0);
    CHECK_EQ(too_large, 4);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    close(fd);
    unlink("limited");
}
