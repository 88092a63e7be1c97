/* Named volumes: made, found, described and deleted.  volume.h says what they consist of. */
#include "volume/volume.h"

#include "disk/ext4.h"
#include "image/store.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/json.h"
#include "lib/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { NAME_LEN_MAX = 128 };

/* The same on every host, and all of it known to the guest's kernel. */
#define FEATURES                                                                                   \
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,"   \
    "huge_file,dir_nlink,extra_isize,metadata_csum"

bool volume_is_name(const char *name)
{
    size_t len = strlen(name);

    if (!len || len > NAME_LEN_MAX || !isalnum((unsigned char)*name))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i]))
            return false;
    return true;
}

static char *volume_folder(void)
{
    char *root CLEANUP(mem_free) = store_path();

    return fs_join(root, "volumes");
}

static char *volume_file(const char *name, const char *suffix)
{
    char *folder CLEANUP(mem_free) = volume_folder();

    return str_printf("%s/%s%s", folder, name, suffix);
}

char *volume_path(const char *name)
{
    return volume_file(name, ".img");
}

static int volume_check_name(const char *name, struct err *err)
{
    if (volume_is_name(name))
        return 0;
    return err_set(err, EINVAL,
                   "'%s': a volume's name has letters, digits, '_', '.' and '-', and begins with a "
                   "letter or digit",
                   name);
}

static int volume_missing(const char *name, struct err *err)
{
    return err_set(err, ENOENT, "no volume '%s'; 'ingot volume ls' lists them", name);
}

/* Its size is that of the empty file. */
static int volume_format(const char *path, const char *name, struct err *err)
{
    char *label CLEANUP(mem_free) = str_printf("%.16s", name);
    const char *const argv[] = {"mke2fs", "-q",   "-F",     "-t", "ext4",
                                "-b",     "4096", "-m",     "0",  "-I",
                                "256",    "-O",   FEATURES, "-E", "lazy_itable_init=1,nodiscard",
                                "-L",     label,  path,     NULL};
    struct buf errors CLEANUP(buf_free) = {0};
    struct proc proc = {.argv = argv, .errors = &errors};

    int failed = proc_check(&proc, err);
    return failed == -ENOSPC
               ? err_set(err, ENOSPC,
                         "%s: no space left on the device; free some, or set INGOT_HOME", path)
               : failed;
}

static int volume_write_facts(const char *name, const struct strs *labels, struct err *err)
{
    char *path CLEANUP(mem_free) = volume_file(name, ".json");
    char created[32];
    time_t now = time(NULL);
    struct tm tm;
    json_t *object CLEANUP(json_put) = json_object();
    json_t *map = json_object();

    strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    json_object_set_new(object, "created", json_string(created));
    json_object_set_new(object, "labels", map);
    for (size_t i = 0; labels && i < labels->len; i++) {
        const char *equals = strchr(labels->at[i], '=');
        char *key CLEANUP(mem_free) =
            equals ? str_printf("%.*s", (int)(equals - labels->at[i]), labels->at[i])
                   : str_dup(labels->at[i]);
        if (!*key || json_object_set_new(map, key, json_string(equals ? equals + 1 : "")))
            return err_set(err, EINVAL, "--label: '%s' is not KEY=VALUE", labels->at[i]);
    }
    char *text CLEANUP(mem_free) = json_text(object, 2);
    return fs_write_atomic(path, text, strlen(text), 0644, err);
}

/* A file of its own until it is whole. */
static int volume_make(const char *name, const char *path, u64 bytes, const struct strs *labels,
                       struct err *err)
{
    char *draft CLEANUP(mem_free) = str_printf("%s.%d", path, (int)getpid());
    int fd CLEANUP(fd_close) = open(draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(err, errno, "%s", draft);
    int failed = ftruncate(fd, (off_t)bytes) < 0
                     ? err_errno(err, errno, "a file of %llu bytes", (unsigned long long)bytes)
                     : 0;
    if (!failed)
        failed = volume_format(draft, name, err);
    if (!failed && fsync(fd) < 0)
        failed = err_errno(err, errno, "%s", draft);
    if (!failed)
        failed = volume_write_facts(name, labels, err);
    if (!failed && link(draft, path) < 0) /* unlike rename(), it never replaces */
        failed = errno == EEXIST ? err_set(err, EEXIST, "there is a volume '%s' already", name)
                                 : err_errno(err, errno, "%s", path);
    unlink(draft);
    return failed;
}

int volume_create(const char *name, u64 bytes, const struct strs *labels, struct err *err)
{
    char *folder CLEANUP(mem_free) = volume_folder();
    char *path CLEANUP(mem_free) = volume_path(name);

    int failed = volume_check_name(name, err);
    if (failed)
        return failed;
    if (bytes < MIB(1ull) || bytes > (u64)INT64_MAX)
        return err_set(err, EINVAL, "a volume of %llu bytes: 1M is the least",
                       (unsigned long long)bytes);
    if (fs_exists(path))
        return err_set(err, EEXIST, "there is a volume '%s' already", name);
    failed = fs_mkdirs(folder, err);
    if (!failed)
        failed = volume_make(name, path, bytes, labels, err);
    return failed ? failed : fs_sync(folder, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int volume_list(struct strs *names, struct err *err)
{
    char *folder CLEANUP(mem_free) = volume_folder();
    DIR *dir = opendir(folder);
    struct dirent *entry;

    if (!dir)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", folder);
    while ((entry = readdir(dir))) {
        char *name CLEANUP(mem_free) =
            str_printf("%.*s", (int)strlen(entry->d_name) - 4, entry->d_name);
        if (str_ends(entry->d_name, ".img") && volume_is_name(name))
            strs_add(names, name);
    }
    closedir(dir);
    if (names->len)
        qsort(names->at, names->len, sizeof(*names->at), compare_names);
    return 0;
}

static void volume_read_facts(struct volume *volume)
{
    char *path CLEANUP(mem_free) = volume_file(volume->name, ".json");
    json_t *object CLEANUP(json_put) = json_read(path, NULL);
    const char *key;
    json_t *value;

    volume->created = str_dup(json_str(object, "created", ""));
    json_object_foreach(json_object_get(object, "labels"), key, value) if (json_is_string(value))
        strs_take(&volume->labels, str_printf("%s=%s", key, json_string_value(value)));
}

static void volume_read_super(int fd, struct volume *volume)
{
    struct ext4_super_block sb;

    if (pread(fd, &sb, sizeof(sb), EXT4_SUPER_OFFSET) != sizeof(sb) ||
        le16_get(sb.magic) != EXT4_SUPER_MAGIC || le32_get(sb.log_block_size) > 6)
        return;
    u64 free_blocks = le32_get(sb.free_blocks_count_lo);
    if (le32_get(sb.feature_incompat) & EXT4_INCOMPAT_64BIT)
        free_blocks |= (u64)le32_get(sb.free_blocks_count_hi) << 32;
    volume->bytes_free = free_blocks << (10 + le32_get(sb.log_block_size));
}

int volume_load(const char *name, struct volume *volume, struct err *err)
{
    char *path = volume_path(name);
    int fd CLEANUP(fd_close) = -1;
    struct stat st;

    *volume = (struct volume){.path = path};
    if (volume_is_name(name))
        fd = open(path, O_RDONLY | O_CLOEXEC);
    else
        errno = ENOENT;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int code = errno;
        volume_free(volume);
        return code == ENOENT ? volume_missing(name, err) : err_errno(err, code, "%s", name);
    }
    volume->name = str_dup(name);
    volume->bytes = (u64)st.st_size;
    volume->bytes_on_host = (u64)st.st_blocks * 512;
    volume->user = volume_user(fd);
    volume_read_facts(volume);
    volume_read_super(fd, volume);
    return 0;
}

void volume_free(struct volume *volume)
{
    free(volume->name);
    free(volume->path);
    free(volume->created);
    free(volume->user);
    strs_free(&volume->labels);
    *volume = (struct volume){0};
}

int volume_remove(const char *name, struct err *err)
{
    char *path CLEANUP(mem_free) = volume_path(name);
    char *facts CLEANUP(mem_free) = volume_file(name, ".json");
    char *what CLEANUP(mem_free) = str_printf("volume '%s'", name);
    int fd CLEANUP(fd_close) = -1;

    if (volume_is_name(name))
        fd = open(path, O_RDWR | O_CLOEXEC);
    else
        errno = ENOENT;
    if (fd < 0)
        return errno == ENOENT ? volume_missing(name, err) : err_errno(err, errno, "%s", what);
    int failed = volume_lock(fd, false, what, NULL, err);
    if (failed)
        return failed;
    if (unlink(path) < 0)
        return err_errno(err, errno, "%s", path);
    unlink(facts);
    return 0;
}
