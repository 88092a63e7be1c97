/* What is on disk; snapshot_make.c has how it comes there. */
#include "instance/snapshot.h"

#include "instance/snapshot_priv.h"

#include "lib/cleanup.h"
#include "lib/cpuid.h"
#include "lib/crc32c.h"
#include "lib/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

char *snapshot_folder(const char *name)
{
    char *root CLEANUP(mem_free) = instance_root();

    return str_printf("%s/snapshots%s%s", root, *name ? "/" : "", name);
}

void snapshot_close(struct snapshot *snapshot)
{
    mem_free(&snapshot->name);
    mem_free(&snapshot->path);
    json_put(&snapshot->about);
    json_put(&snapshot->config);
    *snapshot = (struct snapshot){0};
}

int snapshot_list(struct strs *names, struct err *err)
{
    char *path CLEANUP(mem_free) = snapshot_folder("");

    return fs_list(path, names, err);
}

static int not_found(const char *tag, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};

    (void)snapshot_list(&names, NULL); /* then none is near */
    const char *nearest = str_nearest(tag, (const char *const *)names.at, names.len);
    if (nearest)
        return err_set(err, ENOENT, "no snapshot '%s'; did you mean '%s'?", tag, nearest);
    return err_set(err, ENOENT, "no snapshot '%s'; 'ingot snapshot ls' lists those there are", tag);
}

/* CRC-32C of a whole file. */
int snapshot_checksum(int fd, u32 *sum, u64 *bytes)
{
    enum { SSE4_2 = 1 << 20 }; /* ECX of leaf 1 */
    struct cpuid_answer cpu;
    struct stat st;

    host_cpuid(1, 0, &cpu);
    crc32c_by_instruction = cpu.ecx & SSE4_2;
    if (fstat(fd, &st) < 0)
        return -errno;
    *bytes = (u64)st.st_size;
    *sum = ~0u;
    if (!st.st_size)
        return 0;
    void *map = mmap(NULL, *bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    *sum = crc32c(~0u, map, *bytes);
    munmap(map, *bytes);
    return 0;
}

static int check_version(const struct snapshot *snapshot, struct err *err)
{
    int format = (int)json_int(snapshot->about, "Format", 0);
    const char *version = json_str(snapshot->about, "Version", "?");

    if (format != SNAPSHOT_FORMAT)
        return err_set(err, EINVAL, "snapshot '%s' has format %d; this ingot knows %d only",
                       snapshot->name, format, SNAPSHOT_FORMAT);
    if (strcmp(version, INGOT_VERSION) != 0)
        return err_set(err, EINVAL,
                       "snapshot '%s' was made by ingot %s, whose machines are others; this is %s",
                       snapshot->name, version, INGOT_VERSION);
    return 0;
}

static int damaged(const struct snapshot *snapshot, const char *what, struct err *err)
{
    return err_set(err, EINVAL, "snapshot '%s' is damaged: %s; 'ingot snapshot rm %s' removes it",
                   snapshot->name, what, snapshot->name);
}

int snapshot_open(struct snapshot *snapshot, const char *tag, struct err *err)
{
    char *path CLEANUP(mem_free) = snapshot_folder(tag);

    *snapshot = (struct snapshot){0};
    if (instance_check_name(tag, NULL) || !fs_is_dir(path))
        return not_found(tag, err);
    *snapshot = (struct snapshot){.name = str_dup(tag), .path = TAKE(path, NULL)};
    char *about CLEANUP(mem_free) = fs_join(snapshot->path, "snapshot.json");
    char *config CLEANUP(mem_free) = fs_join(snapshot->path, "config.json");
    snapshot->about = json_read(about, NULL);
    snapshot->config = json_read(config, NULL);
    if (!snapshot->about)
        return damaged(snapshot, "snapshot.json cannot be read", err);
    if (!snapshot->config)
        return damaged(snapshot, "config.json cannot be read", err);
    return check_version(snapshot, err);
}

char *snapshot_state(const struct snapshot *snapshot, struct err *err)
{
    char *path CLEANUP(mem_free) = fs_join(snapshot->path, "state");
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
    u64 bytes = 0;
    u32 sum = 0;
    int failed = fd < 0 ? -errno : snapshot_checksum(fd, &sum, &bytes);

    if (failed) {
        err_errno(err, -failed, "%s", path);
        return NULL;
    }
    if ((json_int_t)bytes != json_int(snapshot->about, "StateBytes", -1) ||
        sum != (u32)json_int(snapshot->about, "StateCrc32c", -1)) {
        damaged(snapshot, "its state is not what was written", err);
        return NULL;
    }
    return TAKE(path, NULL);
}

bool snapshot_get_volume(const struct snapshot *snapshot, size_t index, const char **word,
                         char **file)
{
    const json_t *volumes = json_object_get(snapshot->about, "Volumes");

    if (index >= json_array_size(volumes))
        return false;
    *word = json_string_value(json_array_get(volumes, index));
    *file = str_printf("%s/volume.%zu", snapshot->path, index);
    return *word != NULL;
}

int snapshot_remove(const char *tag, struct err *err)
{
    char *path CLEANUP(mem_free) = snapshot_folder(tag);
    char *hidden CLEANUP(mem_free) = str_printf(".rm-%s", tag);
    char *doomed CLEANUP(mem_free) = snapshot_folder(hidden);

    if (instance_check_name(tag, NULL) || !fs_is_dir(path))
        return not_found(tag, err);
    (void)fs_remove_tree(doomed); /* of one who was killed at it */
    if (rename(path, doomed) < 0)
        return err_errno(err, errno, "%s", path);
    int failed = fs_remove_tree(doomed);
    return failed ? err_errno(err, -failed, "%s", doomed) : 0;
}
