/* Folders, names and locks.  Whatever must be one step is one system call: a name is taken by
 * renaming a folder that is whole, and given back by renaming it away. */
#include "instance/instance.h"

#include "instance/roots.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    NAME_MAX_LEN = 63,
    ABANDONED_SECONDS = 60, /* a folder that is still being made after this never will be */
};

char *instance_root(void)
{
    const char *ours = getenv("INGOT_STATE");
    const char *state = getenv("XDG_STATE_HOME");

    if (ours && *ours)
        return ours[0] == '/' ? str_dup(ours) : fs_join(".", ours);
    if (state && state[0] == '/')
        return fs_join(state, "ingot");
    char *home CLEANUP(mem_free) = fs_home();
    return fs_join(home, ".local/state/ingot");
}

static char *instance_folder(const char *name)
{
    char *root CLEANUP(mem_free) = instance_root();

    return str_printf("%s/instances%s%s", root, *name ? "/" : "", name);
}

s64 instance_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (s64)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

char *instance_time(s64 ns, char out[40])
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    size_t len = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, 40 - len, ".%09dZ", (int)(ns % 1000000000));
    return out;
}

int instance_check_name(const char *name, struct err *err)
{
    size_t len = strlen(name);
    bool good = len && len <= NAME_MAX_LEN && isalnum((unsigned char)name[0]);

    for (size_t i = 0; good && i < len; i++)
        good = isalnum((unsigned char)name[i]) || strchr("_.-", name[i]);
    if (good)
        return 0;
    return err_set(err, ERR_USAGE,
                   "name '%s': up to %d letters and digits, and '_', '.' or '-' behind the first",
                   name, NAME_MAX_LEN);
}

void instance_close(struct instance *instance)
{
    mem_free(&instance->name);
    fd_close(&instance->dir);
    fd_close(&instance->lock);
    *instance = (struct instance){.dir = -1, .lock = -1};
}

/* Of the open file description: it passes to a forked supervisor, and is gone with its last holder.
 */
static int lock_try(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

int instance_lock(struct instance *instance, struct err *err)
{
    struct stat held, now;
    int fd = openat(instance->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int failed = fd < 0 ? -errno : lock_try(fd);

    if (failed == -EAGAIN || failed == -EACCES) {
        close(fd);
        return err_set(err, EBUSY, "instance '%s' is running", instance->name);
    }
    if (failed) {
        fd_close(&fd);
        return err_errno(err, -failed, "instance '%s': its lock", instance->name);
    }
    /* Who removed it before us had the lock as well, and let go of it. */
    char *path CLEANUP(mem_free) = instance_folder(instance->name);
    if (fstat(instance->dir, &held) < 0 || stat(path, &now) < 0 || held.st_ino != now.st_ino) {
        close(fd);
        return err_set(err, ENOENT, "instance '%s' is gone", instance->name);
    }
    instance->lock = fd;
    return 0;
}

bool instance_is_live(const struct instance *instance)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd CLEANUP(fd_close) = openat(instance->dir, "lock", O_RDWR | O_CLOEXEC);

    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int instance_open(struct instance *instance, const char *name, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};

    *instance = (struct instance){.dir = -1, .lock = -1};
    int failed = instance_check_name(name, err);
    if (failed)
        return failed;
    char *path CLEANUP(mem_free) = instance_folder(name);
    instance->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (instance->dir >= 0) {
        instance->name = str_dup(name);
        return 0;
    }
    if (errno != ENOENT)
        return err_errno(err, errno, "%s", path);
    (void)instance_list(&names, NULL); /* then none is near */
    const char *nearest = str_nearest(name, (const char *const *)names.at, names.len);
    if (nearest)
        return err_set(err, ENOENT, "no instance '%s'; did you mean '%s'?", name, nearest);
    return err_set(err, ENOENT, "no instance '%s'; 'ingot ps -a' lists those there are", name);
}

/* Whoever began these is gone: a folder without a holder of its lock, and not of this minute. */
static void sweep(const char *root)
{
    DIR *dir = opendir(root);
    struct stat st;

    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        const char *name = entry->d_name;
        if (!str_starts(name, ".new-") && !str_starts(name, ".rm-"))
            continue;
        char *path CLEANUP(mem_free) = fs_join(root, name);
        struct instance left CLEANUP(instance_close) = {
            .dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .lock = -1};
        if (left.dir >= 0 && fstat(left.dir, &st) == 0 &&
            st.st_ctime + ABANDONED_SECONDS < time(NULL) && !instance_is_live(&left))
            fs_remove_tree(path);
    }
    closedir(dir);
}

static int in_use(const char *name, struct err *err)
{
    struct instance other CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct instance_state state = {.status = INSTANCE_EXITED};

    if (!instance_open(&other, name, NULL))
        instance_get_state(&other, &state);
    return err_set(err, EEXIST, "name '%s' is in use by an instance (%s); 'ingot rm %s%s' frees it",
                   name, instance_status_name(state.status), instance_is_live(&other) ? "-f " : "",
                   name);
}

/* Whoever makes an instance holds its lock until it runs: one that never ran and that nobody holds
 * was left behind by one who was killed, perhaps while it arrived from elsewhere.  True: it was. */
static bool reclaim(const char *name)
{
    struct instance left CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct instance_state state;

    if (instance_open(&left, name, NULL))
        return false;
    instance_get_state(&left, &state);
    if (state.status != INSTANCE_CREATED || instance_lock(&left, NULL))
        return false;
    instance_get_state(&left, &state); /* it may have run before the lock was ours */
    return state.status == INSTANCE_CREATED && !instance_remove(&left, NULL);
}

int instance_list(struct strs *names, struct err *err)
{
    char *path CLEANUP(mem_free) = instance_folder("");
    struct strs all CLEANUP(strs_free) = {0};
    int failed = fs_list(path, &all, err);

    for (size_t i = 0; i < all.len && !failed; i++)
        if (!reclaim(all.at[i]))
            strs_add(names, all.at[i]);
    return failed;
}

/* Fill the folder @path, which nobody else knows of so far. */
static int fill(struct instance *instance, const char *path, const json_t *config, struct err *err)
{
    struct instance_state state = {.status = INSTANCE_CREATED};
    char *file CLEANUP(mem_free) = fs_join(path, "config.json");
    char *text CLEANUP(mem_free) = json_text(config, 2);

    instance->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (instance->dir < 0)
        return err_errno(err, errno, "%s", path);
    int failed = fs_write(file, text, strlen(text), 0600, err);
    if (failed)
        return failed;
    instance->lock = openat(instance->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    failed = instance->lock < 0 ? -errno : lock_try(instance->lock);
    if (failed)
        return err_errno(err, -failed, "%s: its lock", path);
    return instance_put_state(instance, &state, err);
}

/* What to do where no instance can be kept. */
static int state_hint(struct err *err)
{
    char *text CLEANUP(mem_free) = str_dup(err->text);

    return err_set(err, err->code, "%s; set INGOT_STATE to a folder of your own", text);
}

int instance_create(struct instance *instance, const char *name, const json_t *config,
                    struct err *err)
{
    char *root CLEANUP(mem_free) = instance_folder("");
    char *path CLEANUP(mem_free) = instance_folder(name);
    char *temporary CLEANUP(mem_free) = str_printf("%s/.new-XXXXXX", root);

    *instance = (struct instance){.dir = -1, .lock = -1};
    int failed = instance_check_name(name, err);
    if (!failed && fs_mkdirs(root, err))
        failed = state_hint(err);
    if (failed)
        return failed;
    sweep(root);
    if (fs_exists(path))
        reclaim(name);
    if (fs_exists(path)) /* the usual case is told cheaply; the rename decides */
        return in_use(name, err);
    if (!mkdtemp(temporary)) {
        err_errno(err, errno, "%s", root);
        return state_hint(err);
    }
    failed = fill(instance, temporary, config, err);
    if (!failed && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        failed = errno == EEXIST ? in_use(name, err) : err_errno(err, errno, "%s", path);
    instance->name = str_dup(name);
    if (!failed) {
        roots_note(config);
        return 0;
    }
    fs_remove_tree(temporary);
    instance_close(instance);
    return failed;
}

int instance_rename(struct instance *instance, const char *name, struct err *err)
{
    char *from CLEANUP(mem_free) = instance_folder(instance->name);
    char *to CLEANUP(mem_free) = instance_folder(name);

    int failed = instance_check_name(name, err);
    if (failed)
        return failed;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        return errno == EEXIST ? in_use(name, err) : err_errno(err, errno, "%s", from);
    mem_free(&instance->name);
    instance->name = str_dup(name);
    return 0;
}

void instance_refresh(struct instance *instance)
{
    char path[PATH_MAX];
    char *link CLEANUP(mem_free) = str_printf("/proc/self/fd/%d", instance->dir);
    ssize_t len = readlink(link, path, sizeof(path) - 1);

    if (len <= 0)
        return;
    path[len] = 0;
    const char *name = fs_name(path);
    if (instance_check_name(name, NULL) || strcmp(name, instance->name) == 0)
        return;
    free(instance->name);
    instance->name = str_dup(name);
}

int instance_remove(struct instance *instance, struct err *err)
{
    instance_refresh(instance);
    char *from CLEANUP(mem_free) = instance_folder(instance->name);
    char *to CLEANUP(mem_free) = NULL;

    /* Its name is free from here on; the folder's own number makes the new one unique. */
    struct stat st;
    if (fstat(instance->dir, &st) < 0)
        return err_errno(err, errno, "%s", from);
    char *hidden CLEANUP(mem_free) = str_printf(".rm-%llu", (unsigned long long)st.st_ino);
    to = instance_folder(hidden);
    if (rename(from, to) < 0)
        return err_errno(err, errno, "%s", from);
    int failed = fs_remove_tree(to);
    return failed ? err_errno(err, -failed, "%s", to) : 0;
}

int instance_subfolder(const struct instance *instance, const char *name)
{
    if (mkdirat(instance->dir, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(instance->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* sun_path is 108 bytes; a folder may be deeper. */
static void socket_address(const struct instance *instance, const char *name,
                           struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", instance->dir,
             name);
}

int instance_listen(const struct instance *instance, const char *name)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    socket_address(instance, name, &address);
    unlinkat(instance->dir, name, 0); /* of a supervisor that was killed */
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    return fd;
}

int instance_connect(const struct instance *instance, const char *name)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    socket_address(instance, name, &address);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    return fd;
}
