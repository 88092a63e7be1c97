/* Whole files and trees. */
#include "lib/fs.h"

#include "lib/cleanup.h"
#include "lib/types.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

int fs_read(const char *path, size_t limit, struct buf *out, struct err *err)
{
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    out->len = 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return err_errno(err, EISDIR, "%s", path);
    for (;;) {
        enum { PIECE = 64 * 1024 };
        size_t want = min((size_t)PIECE, limit - out->len + 1);
        if (S_ISREG(st.st_mode) && (size_t)st.st_size >= out->len)
            want = min(want, (size_t)st.st_size - out->len + 1); /* one more finds the end */
        ssize_t n = read(fd, buf_grow(out, want), want);
        int why = errno;
        out->len -= want - (size_t)max(n, (ssize_t)0);
        out->data[out->len] = 0;
        if (n < 0)
            return err_errno(err, why, "%s", path);
        if (n == 0 || (S_ISREG(st.st_mode) && (size_t)n < want && out->len == (size_t)st.st_size))
            return 0;
        if (out->len > limit)
            return err_set(err, EFBIG, "%s: larger than the %zu bytes that make sense here", path,
                           limit);
    }
}

static int fs_write_fd(int fd, const char *path, const char *bytes, size_t len, struct err *err)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, errno, "%s", path);
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

int fs_write(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err)
{
    int fd CLEANUP(fd_close) = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    int failed = fs_write_fd(fd, path, bytes, len, err);
    if (failed)
        return failed;
    return fchmod(fd, mode) < 0 ? err_errno(err, errno, "%s", path) : 0;
}

int fs_sync(const char *path, struct err *err)
{
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return err_errno(err, errno, "%s", path);
    return 0;
}

static int fs_sync_parent(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return fs_sync(".", err);
    char *dir CLEANUP(mem_free) = str_printf("%.*s", (int)(slash - path + 1), path);
    return fs_sync(dir, err);
}

int fs_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode, struct err *err)
{
    char *tmp CLEANUP(mem_free) = str_printf("%s.%d.tmp", path, (int)getpid());

    int failed = fs_write(tmp, bytes, len, mode, err);
    if (!failed)
        failed = fs_sync(tmp, err);
    if (!failed && rename(tmp, path) < 0)
        failed = err_errno(err, errno, "%s", path);
    if (failed) {
        unlink(tmp); /* what it held is reported already */
        return failed;
    }
    return fs_sync_parent(path, err);
}

int fs_mkdirs(const char *path, struct err *err)
{
    char *part CLEANUP(mem_free) = str_dup(path);

    for (char *slash = part; slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return err_errno(err, errno, "%s: cannot make the folder", part);
        if (slash)
            *slash = '/';
    }
    return fs_is_dir(path) ? 0 : err_errno(err, ENOTDIR, "%s", path);
}

static int fs_copy_bytes(int from, int to)
{
    enum { PIECE = 256 * 1024 };
    ssize_t n;

    while ((n = copy_file_range(from, NULL, to, NULL, GIB(1), 0)) > 0)
        ;
    /* At the end, too, the loop below has a look: files of /proc end there at once. */
    if (n < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -errno;
    char *piece CLEANUP(mem_free) = mem_new(PIECE);
    while ((n = read(from, piece, PIECE)) > 0)
        for (ssize_t done = 0, w; done < n; done += w)
            if ((w = write(to, piece + done, (size_t)(n - done))) < 0)
                return -errno;
    return n < 0 ? -errno : 0;
}

/* The holes of a file stay holes. */
static int fs_copy_data(int from, int to, off_t size)
{
    off_t at = 0;

    if (ftruncate(to, size) < 0)
        return -errno;
    while (at < size) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : -errno;
        off_t end = lseek(from, data, SEEK_HOLE);
        if (end < 0 || lseek(from, data, SEEK_SET) < 0 || lseek(to, data, SEEK_SET) < 0)
            return -errno;
        for (at = data; at < end;) {
            ssize_t n = sendfile(to, from, NULL, (size_t)(end - at));
            if (n <= 0)
                return n < 0 ? -errno : -EIO;
            at += n;
        }
    }
    return 0;
}

/* Whole pieces, but for the last: a short one would make small pages of what follows. */
static ssize_t fs_read_piece(int fd, char *piece, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, piece + len, size - len);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static bool fs_copy_pieces(int from, int to)
{
    enum { PIECE = 1 << 20 }; /* 2 MiB would be mapped as one, and count as memory of who looks */
    char *piece CLEANUP(mem_free) = mem_new(PIECE);
    ssize_t n;

    while ((n = fs_read_piece(from, piece, PIECE)) > 0)
        if (fs_write_fd(to, "", piece, (size_t)n, NULL))
            return false;
    return n == 0;
}

void fs_rewrite(const char *path)
{
    char *fresh CLEANUP(mem_free) = str_printf("%s.%d.new", path, (int)getpid());
    int in CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (in < 0 || fstat(in, &st) < 0)
        return;
    int out CLEANUP(fd_close) = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return;
    if (!fs_copy_pieces(in, out) || fchmod(out, st.st_mode & 07777) < 0 || rename(fresh, path) < 0)
        unlink(fresh);
}

int fs_copy(const char *from, const char *to, struct err *err)
{
    int in CLEANUP(fd_close) = open(from, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (in < 0 || fstat(in, &st) < 0)
        return err_errno(err, errno, "%s", from);
    int out CLEANUP(fd_close) = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0)
        return err_errno(err, errno, "%s", to);
    bool sparse = S_ISREG(st.st_mode) && st.st_blocks < st.st_size / 512;
    int why = 0;
    if (sparse && ioctl(out, FICLONE, in) < 0)
        why = fs_copy_data(in, out, st.st_size);
    else if (!sparse)
        why = fs_copy_bytes(in, out);
    if (why < 0)
        return err_errno(err, -why, "%s", to);
    const struct timespec times[2] = {st.st_mtim, st.st_mtim};
    if (fchmod(out, st.st_mode & 07777) < 0 || futimens(out, times) < 0)
        return err_errno(err, errno, "%s", to);
    return 0;
}

static int fs_copy_link(const char *from, const char *to, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlink(from, target, sizeof(target) - 1);

    if (n < 0)
        return err_errno(err, errno, "%s", from);
    target[n] = 0;
    return symlink(target, to) < 0 ? err_errno(err, errno, "%s", to) : 0;
}

static int fs_copy_entry(const char *from, const char *to, struct err *err)
{
    struct stat st;

    if (lstat(from, &st) < 0)
        return err_errno(err, errno, "%s", from);
    if (S_ISLNK(st.st_mode))
        return fs_copy_link(from, to, err);
    if (S_ISREG(st.st_mode))
        return fs_copy(from, to, err);
    return S_ISDIR(st.st_mode) ? fs_copy_tree(from, to, err) : 0;
}

static void dir_close(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int fs_list(const char *path, struct strs *names, struct err *err)
{
    DIR *dir CLEANUP(dir_close) = opendir(path);
    size_t before = names->len;

    if (!dir)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", path);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            strs_add(names, entry->d_name);
    if (names->len > before)
        qsort(names->at + before, names->len - before, sizeof(*names->at), by_name);
    return 0;
}

int fs_copy_tree(const char *from, const char *to, struct err *err)
{
    DIR *dir CLEANUP(dir_close) = opendir(from);

    if (!dir)
        return err_errno(err, errno, "%s", from);
    if (mkdir(to, 0755) < 0 && errno != EEXIST)
        return err_errno(err, errno, "%s", to);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *source CLEANUP(mem_free) = fs_join(from, entry->d_name);
        char *copy CLEANUP(mem_free) = fs_join(to, entry->d_name);
        int failed = fs_copy_entry(source, copy, err);
        if (failed)
            return failed;
    }
    return 0;
}

char *fs_join(const char *dir, const char *name)
{
    size_t len = strlen(dir);

    while (len && dir[len - 1] == '/')
        len--;
    while (*name == '/')
        name++;
    return str_printf("%.*s/%s", (int)len, dir, name);
}

const char *fs_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool fs_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool fs_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *fs_real(const char *path, struct err *err)
{
    char *real = realpath(path, NULL);

    if (!real)
        err_errno(err, errno, "%s", path);
    return real;
}

char *fs_home(void)
{
    const char *home = getenv("HOME");
    FILE *users = home && *home ? NULL : fopen("/etc/passwd", "re");
    const struct passwd *user = NULL;

    while (users && (user = fgetpwent(users)) && user->pw_uid != getuid())
        ;
    char *found = str_dup(home && *home ? home : user ? user->pw_dir : "/");
    if (users)
        fclose(users);
    return found;
}
