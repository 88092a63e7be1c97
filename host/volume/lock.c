/* Who has a disk image: an flock, and beside it a name for people.  The lock alone decides; the
 * name is an extended attribute of the file, or, on a host file system without these, the number
 * of the process, which /proc/locks knows. */
#include "volume/volume.h"

#include "disk/ext4.h"
#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

enum {
    ENDING_MS = 2000, /* patience with the processes of one that was killed */
    LOOK_MS = 5,
};

#define USER_ATTR "user.ingot.instance"

/* proc(5): "1: FLOCK  ADVISORY  WRITE 708 08:01:2097543 0 EOF". */
static long lock_holder_pid(const struct stat *st)
{
    FILE *locks CLEANUP(file_close) = fopen("/proc/locks", "re");
    char line[256], kind[16];

    while (locks && fgets(line, sizeof(line), locks)) {
        unsigned major_nr, minor_nr;
        unsigned long long ino;
        long pid;
        if (sscanf(line, "%*s %15s %*s %*s %ld %x:%x:%llu", kind, &pid, &major_nr, &minor_nr,
                   &ino) == 5 &&
            !strcmp(kind, "FLOCK") && ino == st->st_ino && major_nr == major(st->st_dev) &&
            minor_nr == minor(st->st_dev))
            return pid;
    }
    return 0;
}

/* Valid while somebody has the lock; the name of one of them if they share it. */
static char *lock_holder(int fd)
{
    char name[128];
    struct stat st;
    ssize_t len = fgetxattr(fd, USER_ATTR, name, sizeof(name));

    if (len > 0)
        return str_printf("instance '%.*s'", (int)len, name);
    long pid = fstat(fd, &st) < 0 ? 0 : lock_holder_pid(&st);
    return pid > 0 ? str_printf("process %ld", pid) : str_dup("another instance");
}

char *volume_user(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return lock_holder(fd);
    flock(fd, LOCK_UN);
    return NULL;
}

/* Who took the lock has ended, and something it had started not yet: so it was killed, and started
 * again at once perhaps. */
static bool is_ending(int fd)
{
    struct stat st;
    long pid = fstat(fd, &st) < 0 ? 0 : lock_holder_pid(&st);

    if (pid <= 0)
        return false;
    char *path CLEANUP(mem_free) = str_printf("/proc/%ld/stat", pid);
    FILE *file CLEANUP(file_close) = fopen(path, "re");
    char state = 'X';
    return !file || (fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && strchr("XZ", state));
}

static int try_lock(int fd, bool shared)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    u64 deadline = ticks_ms() + ENDING_MS;

    for (bool waits = true;;) {
        if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK || !waits)
            return -errno;
        waits = ticks_ms() < deadline && is_ending(fd); /* if not, it may just have ended */
        if (waits)
            nanosleep(&pause, NULL);
    }
}

int volume_lock(int fd, bool shared, const char *what, const char *who, struct err *err)
{
    int failed = try_lock(fd, shared);

    if (failed && failed != -EWOULDBLOCK)
        return err_errno(err, -failed, "%s: it cannot be locked", what);
    if (failed) {
        char *holder CLEANUP(mem_free) = lock_holder(fd);
        return err_set(err, EBUSY, "%s is in use by %s", what, holder);
    }
    /* Only a help for people: a file system without attributes has the pid. */
    if (who)
        (void)fsetxattr(fd, USER_ATTR, who, strlen(who), 0);
    else
        (void)fremovexattr(fd, USER_ATTR);
    return 0;
}

int volume_check(int fd, const char *what, struct err *err)
{
    struct ext4_super_block sb;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "%s", what);
    if (S_ISDIR(st.st_mode))
        return err_set(err, EISDIR, "%s: a folder, not an ext4 image", what);
    if (pread(fd, &sb, sizeof(sb), EXT4_SUPER_OFFSET) != sizeof(sb) ||
        le16_get(sb.magic) != EXT4_SUPER_MAGIC)
        return err_set(err, EINVAL, "%s: not an ext4 image; mke2fs -t ext4 makes one", what);
    return 0;
}
