/* Volumes of one run: an ext4 image in a file, for this guest alone as long as it runs. */
#include "cli/run_priv.h"

#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXT4_MAGIC_AT = 1024 + 56 };

/* Cut "IMAGE:PATH[:ro]" in its parts, which the caller frees. */
static int volume_parse(const char *text, char **image, char **mount, bool *readonly,
                        struct err *err)
{
    size_t len = strlen(text);

    *readonly = len > 3 && strcmp(text + len - 3, ":ro") == 0;
    if (*readonly || (len > 3 && strcmp(text + len - 3, ":rw") == 0))
        len -= 3;
    const char *colon = memrchr(text, ':', len);
    if (!colon || colon == text || colon[1] != '/' || (size_t)(text + len - colon) < 3)
        return err_set(err, ERR_USAGE, "--volume: '%s' is not IMAGE:PATH[:ro]", text);
    *image = str_printf("%.*s", (int)(colon - text), text);
    *mount = str_printf("%.*s", (int)(text + len - colon - 1), colon + 1);
    if (!strpbrk(*mount, " \t\n\"\\:"))
        return 0;
    return err_set(err, EINVAL, "--volume: '%s': not a path that can be mounted at", *mount);
}

static int volume_check(int fd, const char *image, struct err *err)
{
    unsigned char magic[2] = {0};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "volume '%s'", image);
    if (S_ISDIR(st.st_mode))
        return err_set(err, EISDIR, "volume '%s': a folder, not an ext4 image", image);
    if (pread(fd, magic, sizeof(magic), EXT4_MAGIC_AT) != sizeof(magic) || magic[0] != 0x53 ||
        magic[1] != 0xef)
        return err_set(err, EINVAL, "volume '%s': not an ext4 image; mke2fs -t ext4 makes one",
                       image);
    return 0;
}

static int volume_open(struct vm_volume *volume, struct err *err)
{
    volume->fd = open(volume->path, (volume->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (volume->fd < 0)
        return err_errno(err, errno, "volume '%s'", volume->path);
    if (flock(volume->fd, (volume->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
        return err_set(err, EBUSY, "volume '%s' is in use by another instance", volume->path);
    return volume_check(volume->fd, volume->path, err);
}

int run_open_volumes(struct run_guest *guest, const struct run_options *options, struct err *err)
{
    size_t count = options->volumes.len;

    guest->volumes = mem_new((count + 1) * sizeof(*guest->volumes));
    guest->config.volumes = guest->volumes;
    for (size_t i = 0; i < count; i++) {
        char *image = NULL, *mount = NULL;
        bool readonly;
        int failed = volume_parse(options->volumes.at[i], &image, &mount, &readonly, err);
        guest->volumes[i] =
            (struct vm_volume){.path = image, .mount = mount, .readonly = readonly, .fd = -1};
        guest->config.nr_volumes = i + 1;
        if (!failed)
            failed = volume_open(&guest->volumes[i], err);
        if (failed)
            return failed;
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
}
