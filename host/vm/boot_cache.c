#include "vm/boot_cache.h"

#include "lib/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BOOT_ID_LEN = 36, /* a UUID */
};

/* Opens our folder; -1 if it cannot be had or is not ours alone (then /tmp is not to be trusted).
 */
static int boot_cache_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[256];
    struct stat st;

    if (runtime && *runtime == '/')
        snprintf(path, sizeof(path), "%s/ingot", runtime);
    else
        snprintf(path, sizeof(path), "/tmp/ingot-%u", (unsigned)getuid());
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 && errno == ENOENT && (mkdir(path, 0700) == 0 || errno == EEXIST))
        dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return -1;
    if (fstat(dir, &st) < 0 || st.st_uid != getuid() || (st.st_mode & 077)) {
        close(dir);
        return -1;
    }
    return dir;
}

/* "name.BOOT-ID"; false where the boot cannot be told from another. */
static bool boot_cache_name(const char *name, char *out, size_t size)
{
    static char id[BOOT_ID_LEN + 1];

    if (!id[0]) {
        int fd CLEANUP(fd_close) = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, id, BOOT_ID_LEN) != BOOT_ID_LEN) {
            id[0] = 0;
            return false;
        }
    }
    return (size_t)snprintf(out, size, "%s.%s", name, id) < size;
}

int boot_cache_open(const char *name)
{
    char file[128];
    int dir CLEANUP(fd_close) = boot_cache_folder();

    if (dir < 0 || !boot_cache_name(name, file, sizeof(file)))
        return -1;
    return openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

bool boot_cache_get(const char *name, char *text, size_t size)
{
    int fd CLEANUP(fd_close) = boot_cache_open(name);

    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, size - 1);
    if (got <= 0)
        return false;
    text[got] = 0;
    return true;
}

void boot_cache_put_bytes(const char *name, const void *bytes, size_t len)
{
    char file[128], temporary[160];
    int dir CLEANUP(fd_close) = boot_cache_folder();

    if (dir < 0 || !boot_cache_name(name, file, sizeof(file)))
        return;
    snprintf(temporary, sizeof(temporary), "%s.%d", file, (int)getpid());
    int fd CLEANUP(fd_close) =
        openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    bool whole = write(fd, bytes, len) == (ssize_t)len;
    if (!whole || renameat(dir, temporary, dir, file) < 0)
        unlinkat(dir, temporary, 0);
}

void boot_cache_put(const char *name, const char *text)
{
    boot_cache_put_bytes(name, text, strlen(text));
}

void boot_cache_forget(const char *prefix)
{
    int fd = boot_cache_folder();
    DIR *dir = fd < 0 ? NULL : fdopendir(fd); /* which takes it */

    if (!dir) {
        fd_close(&fd);
        return;
    }
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (!strncmp(e->d_name, prefix, strlen(prefix)))
            unlinkat(fd, e->d_name, 0);
    closedir(dir);
}
