/* Volumes of one run: named ones, which are made where they are missing, and ext4 images in files;
 * each for this guest alone as long as it runs. */
#include "cli/run_priv.h"

#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOCK_MS = 10000, /* what a guest that has moved away gets to let go of its volumes */
};

/* Cut "VOLUME:PATH[:ro]" in its parts, which the caller frees. */
static int volume_parse(const char *text, char **source, char **mount, bool *readonly,
                        struct err *err)
{
    size_t len = strlen(text);

    *readonly = len > 3 && strcmp(text + len - 3, ":ro") == 0;
    if (*readonly || (len > 3 && strcmp(text + len - 3, ":rw") == 0))
        len -= 3;
    const char *colon = memrchr(text, ':', len);
    if (!colon || colon == text || colon[1] != '/' || (size_t)(text + len - colon) < 3)
        return err_set(err, ERR_USAGE, "--volume: '%s' is not VOLUME:PATH[:ro] or IMAGE:PATH[:ro]",
                       text);
    *source = str_printf("%.*s", (int)(colon - text), text);
    *mount = str_printf("%.*s", (int)(text + len - colon - 1), colon + 1);
    if (!strpbrk(*mount, " \t\n\"\\:"))
        return 0;
    return err_set(err, EINVAL, "--volume: '%s': not a path that can be mounted at", *mount);
}

static bool is_path(const char *source)
{
    return strchr(source, '/') || !strcmp(source, ".") || !strcmp(source, "..");
}

/* A word with a '/' is a path, and so are "." and "..".  One without is a volume, but for a file
 * here that is none. */
static int volume_find(char **source, struct err *err)
{
    if (is_path(*source))
        return 0;
    char *path = volume_is_name(*source) ? volume_path(*source) : NULL;
    bool is_volume = path && fs_exists(path);
    int failed = 0;

    if (!is_volume && fs_exists(*source)) {
        free(path);
        return 0;
    }
    if (!is_volume)
        failed = volume_create(*source, VOLUME_DEFAULT_BYTES, NULL, err);
    if (failed && failed != -EEXIST) { /* another guest's start was quicker */
        free(path);
        return failed;
    }
    free(*source);
    *source = path;
    return 0;
}

int run_volume_file(const char *word, char **path, bool *readonly, struct err *err)
{
    char *mount CLEANUP(mem_free) = NULL;

    *path = NULL;
    int failed = volume_parse(word, path, &mount, readonly, err);
    return failed ? failed : volume_find(path, err);
}

static int volume_open(struct vm_volume *volume, const char *who, bool lock, struct err *err)
{
    char *what CLEANUP(mem_free) = str_printf("volume '%s'", volume->path);

    volume->fd = open(volume->path, (volume->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (volume->fd < 0)
        return err_errno(err, errno, "%s", what);
    int failed = volume_check(volume->fd, what, err);
    return failed || !lock ? failed : volume_lock(volume->fd, volume->readonly, what, who, err);
}

/* What others are told who want a volume that we have. */
static char *volume_user_name(const struct run_options *options)
{
    return options->name ? str_dup(options->name) : str_printf("%d", (int)getpid());
}

/* @source's string and @mount are given away. */
static int share_add(struct run_guest *guest, char *source, char *mount, bool readonly,
                     struct err *err)
{
    struct vm_share *share = &guest->shares[guest->config.nr_shares++];

    *share = (struct vm_share){.path = fs_real(source, err), .mount = mount, .readonly = readonly};
    free(source);
    return share->path ? 0 : -err->code;
}

static int volume_add(struct run_guest *guest, const char *text, const char *who, bool lock,
                      struct err *err)
{
    char *source = NULL, *mount = NULL;
    bool readonly;

    int failed = volume_parse(text, &source, &mount, &readonly, err);
    if (!failed)
        failed = volume_find(&source, err);
    if (!failed && is_path(source) && fs_is_dir(source))
        return share_add(guest, source, mount, readonly, err);
    struct vm_volume *volume = &guest->volumes[guest->config.nr_volumes++];
    *volume = (struct vm_volume){.path = source, .mount = mount, .readonly = readonly, .fd = -1};
    return failed ? failed : volume_open(volume, who, lock, err);
}

int run_open_volumes(struct run_guest *guest, const struct run_options *options, struct err *err)
{
    char *who CLEANUP(mem_free) = volume_user_name(options);
    size_t count = options->volumes.len;
    int failed = 0;

    guest->volumes = mem_new((count + 1) * sizeof(*guest->volumes));
    guest->config.volumes = guest->volumes;
    guest->shares = mem_new((count + 1) * sizeof(*guest->shares));
    guest->config.shares = guest->shares;
    for (size_t i = 0; i < count && !failed; i++)
        failed = volume_add(guest, options->volumes.at[i], who, !options->state.moving, err);
    return failed;
}

int run_lock_volumes(const struct run_guest *guest, struct err *err)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    u64 deadline = ticks_ms() + LOCK_MS;

    for (size_t i = 0; i < guest->config.nr_volumes;) {
        const struct vm_volume *volume = &guest->config.volumes[i];
        int failed =
            volume_lock(volume->fd, volume->readonly, volume->path, guest->config.name, err);
        if (!failed) {
            i++;
        } else if (failed != -EBUSY || ticks_ms() >= deadline) {
            return failed;
        } else {
            err_clear(err);
            nanosleep(&pause, NULL);
        }
    }
    return 0;
}

int run_add_tmpfs(struct run_guest *guest, const struct run_options *options, struct err *err)
{
    for (size_t i = 0; i < options->tmpfs.len; i++) {
        const char *text = options->tmpfs.at[i], *colon = strchr(text, ':');
        char *path CLEANUP(mem_free) =
            colon ? str_printf("%.*s", (int)(colon - text), text) : str_dup(text);
        u64 bytes = 0;
        if (*path != '/' || !path[1] || strpbrk(path, " \t\n\"\\"))
            return err_set(err, ERR_USAGE, "--tmpfs: '%s' is not PATH[:size=SIZE]", text);
        if (colon && (!str_starts(colon, ":size=") ||
                      !run_parse_size(colon + strlen(":size="), &bytes) || !bytes))
            return err_set(err, ERR_USAGE, "--tmpfs: '%s' is not size=SIZE, as size=64m",
                           colon + 1);
        buf_printf(&guest->params, " ingot.tmpfs=%llu:%s", (unsigned long long)bytes, path);
    }
    return 0;
}

void run_close_volumes(struct run_guest *guest)
{
    for (size_t i = 0; i < guest->config.nr_volumes; i++) {
        struct vm_volume *volume = &guest->volumes[i];
        if (volume->fd >= 0)
            close(volume->fd);
        mem_free((void *)&volume->path);
        mem_free((void *)&volume->mount);
    }
    mem_free(&guest->volumes);
    for (size_t i = 0; i < guest->config.nr_shares; i++) {
        mem_free((void *)&guest->shares[i].path);
        mem_free((void *)&guest->shares[i].mount);
    }
    mem_free(&guest->shares);
}
