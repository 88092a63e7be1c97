#include "image/container_files.h"

#include "image/tar.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <string.h>

enum {
    ARCHIVE_FILES_MAX = 100000, /* an image has a few for each of its layers */
    ARCHIVE_LINKS_MAX = 8,
};

struct container_file {
    char *name;   /* without "./"; owned */
    char *target; /* of a link: another name; owned; or NULL */
    struct slice bytes;
};

void container_files_close(struct container_files *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->files[i].name);
        free(c->files[i].target);
    }
    free(c->files);
    for (size_t i = 0; i < c->nr_maps; i++)
        elf_unmap(&c->maps[i]);
    free(c->maps);
    elf_unmap(&c->archive);
    *c = (struct container_files){0};
}

/* "./a//b/../c" and "a/c" are one name; what leads out of the archive leads to nothing. */
static char *archive_name(const char *base, const char *path)
{
    char *clean CLEANUP(mem_free) = path_clean(base, path);

    return str_dup(clean + 1);
}

static void archive_add(struct container_files *c, const struct tar_entry *entry)
{
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 64;
        c->files = mem_resize(c->files, c->cap, sizeof(*c->files));
    }
    struct container_file *file = &c->files[c->count++];
    *file = (struct container_file){.name = archive_name("/", entry->path),
                                    .bytes = {entry->data, entry->size}};
    if (entry->type == TAR_HARD_LINK)
        file->target = archive_name("/", entry->target);
    if (entry->type != TAR_LINK)
        return;
    char *slash = strrchr(file->name, '/');
    char *base CLEANUP(mem_free) =
        str_printf("/%.*s", slash ? (int)(slash - file->name) : 0, file->name);
    file->target = archive_name(base, entry->target);
}

static int archive_list(struct container_files *c, struct err *err)
{
    struct tar tar CLEANUP(tar_free) = {.data = c->archive.data, .len = c->archive.len};
    struct tar_entry entry;
    int more;

    if (!tar_begins(c->archive.data, c->archive.len))
        return err_set(err, EINVAL, "no container image: neither a folder nor a tar archive");
    while ((more = tar_next(&tar, &entry, err)) > 0) {
        if (c->count == ARCHIVE_FILES_MAX)
            return err_set(err, EFBIG, "no container image: more than %d files", ARCHIVE_FILES_MAX);
        if (entry.type != TAR_DIR && entry.type != TAR_OTHER)
            archive_add(c, &entry);
    }
    return more;
}

int container_files_open(struct container_files *c, const char *path, const char *scratch,
                         struct err *err)
{
    char *unpacked CLEANUP(mem_free) = NULL;

    *c = (struct container_files){.path = path, .folder = fs_is_dir(path)};
    int failed = c->folder ? 0 : elf_map(path, &c->archive, err);
    if (failed || c->folder)
        return failed;
    const struct slice bytes = {c->archive.data, c->archive.len};
    if (scratch)
        failed = layer_inflate(&bytes, scratch, LAYER_BYTES_MAX, &unpacked, err);
    if (!failed && unpacked) {
        elf_unmap(&c->archive);
        failed = elf_map(unpacked, &c->archive, err);
        unlink(unpacked); /* the mapping keeps it */
    }
    return failed ? failed : archive_list(c, err);
}

/* A later entry of a name stands for the earlier ones. */
static const struct container_file *archive_find(const struct container_files *c, const char *name)
{
    for (size_t i = c->count; i-- > 0;)
        if (strcmp(c->files[i].name, name) == 0)
            return &c->files[i];
    return NULL;
}

static char *folder_path(const struct container_files *c, const char *name)
{
    char *inside CLEANUP(mem_free) = path_clean("/", name);

    return fs_join(c->path, inside);
}

bool container_has(const struct container_files *c, const char *name)
{
    char *path CLEANUP(mem_free) = c->folder ? folder_path(c, name) : NULL;

    return c->folder ? fs_exists(path) : archive_find(c, name) != NULL;
}

static int folder_read(struct container_files *c, const char *name, struct slice *out,
                       struct err *err)
{
    char *path CLEANUP(mem_free) = folder_path(c, name);
    struct elf_map map;

    int failed = elf_map(path, &map, err);
    if (failed)
        return failed;
    c->maps = mem_resize(c->maps, c->nr_maps + 1, sizeof(*c->maps));
    c->maps[c->nr_maps++] = map;
    *out = (struct slice){map.data, map.len};
    return 0;
}

int container_read(struct container_files *c, const char *name, struct slice *out, struct err *err)
{
    if (c->folder)
        return folder_read(c, name, out, err);
    const struct container_file *file = archive_find(c, name);
    for (int links = 0; file && file->target && links < ARCHIVE_LINKS_MAX; links++)
        file = archive_find(c, file->target);
    if (!file || file->target)
        return err_set(err, ENOENT, "'%s' is not in the archive", name);
    *out = file->bytes;
    return 0;
}

bool container_is_archive(const char *path)
{
    static const u8 gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    struct elf_map map CLEANUP(elf_unmap) = {0};

    if (fs_is_dir(path) || elf_map(path, &map, NULL) || map.len < 512)
        return false;
    return memcmp(map.data, gzip, sizeof(gzip)) == 0 || memcmp(map.data, zstd, sizeof(zstd)) == 0 ||
           memcmp(map.data + 257, "ustar", 5) == 0;
}
