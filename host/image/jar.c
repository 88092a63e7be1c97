#include "image/jar.h"

#include "image/elf_file.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "lib/types.h"

#include <string.h>

#define JAR_MANIFEST "META-INF/MANIFEST.MF"

enum {
    JAR_MANIFEST_MAX = MIB(1),
    JAR_COMMENT_MAX = 65535,
    /* Offsets of fields: "end of central directory", "central file header", "local file header". */
    JAR_END_LEN = 22,
    JAR_END_COUNT = 10,
    JAR_END_DIRECTORY = 16,
    JAR_ENTRY_LEN = 46,
    JAR_ENTRY_METHOD = 10,
    JAR_ENTRY_CRC = 16,
    JAR_ENTRY_PACKED = 20,
    JAR_ENTRY_SIZE = 24,
    JAR_ENTRY_NAME_LEN = 28,
    JAR_ENTRY_EXTRA_LEN = 30,
    JAR_ENTRY_COMMENT_LEN = 32,
    JAR_ENTRY_LOCAL = 42,
    JAR_LOCAL_LEN = 30,
    JAR_LOCAL_NAME_LEN = 26,
    JAR_LOCAL_EXTRA_LEN = 28,
    JAR_STORED = 0,
    JAR_DEFLATED = 8,
};

static u32 read16(const u8 *at)
{
    return at[0] | (u32)at[1] << 8;
}

static u32 read32(const u8 *at)
{
    return read16(at) | read16(at + 2) << 16;
}

/* The directory of the archive's files, from its end; NULL: there is none. */
static const u8 *jar_directory(const struct elf_map *map, u32 *count)
{
    const u8 *data = map->data;

    for (size_t back = JAR_END_LEN; back <= map->len && back <= JAR_END_LEN + JAR_COMMENT_MAX;
         back++) {
        const u8 *end = data + map->len - back;
        if (memcmp(end, "PK\5\6", 4) != 0)
            continue;
        *count = read16(end + JAR_END_COUNT);
        u32 offset = read32(end + JAR_END_DIRECTORY);
        return offset <= map->len - back ? data + offset : NULL;
    }
    return NULL;
}

/* The directory's entry of the manifest; NULL: there is none. */
static const u8 *jar_manifest(const struct elf_map *map)
{
    const u8 *limit = (const u8 *)map->data + map->len;
    u32 count = 0;
    const u8 *at = jar_directory(map, &count);

    for (; at && count--;) {
        if (limit - at < JAR_ENTRY_LEN || memcmp(at, "PK\1\2", 4) != 0)
            return NULL;
        u32 name = read16(at + JAR_ENTRY_NAME_LEN);
        if ((size_t)(limit - at) < JAR_ENTRY_LEN + name)
            return NULL;
        if (name == strlen(JAR_MANIFEST) && memcmp(at + JAR_ENTRY_LEN, JAR_MANIFEST, name) == 0)
            return at;
        size_t len = (size_t)JAR_ENTRY_LEN + name + read16(at + JAR_ENTRY_EXTRA_LEN) +
                     read16(at + JAR_ENTRY_COMMENT_LEN);
        at = len <= (size_t)(limit - at) ? at + len : NULL;
    }
    return NULL;
}

/* Bytes as deflate packed them, in the frame of a file of gzip, whose sum and length are the same
 * ones: RFC 1952. */
static int jar_inflate(const u8 *packed, size_t len, const u8 *entry, struct buf *text)
{
    static const u8 head[] = {0x1f, 0x8b, JAR_DEFLATED, 0, 0, 0, 0, 0, 0, 255};
    struct err ignored;
    char *scratch CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, &ignored);
    struct buf whole CLEANUP(buf_free) = {0};

    if (!scratch)
        return -ignored.code;
    buf_add(&whole, head, sizeof(head));
    buf_add(&whole, packed, len);
    buf_add(&whole, entry + JAR_ENTRY_CRC, 4);
    buf_add(&whole, entry + JAR_ENTRY_SIZE, 4);
    char *file CLEANUP(mem_free) = fs_join(scratch, "packed");
    char *out CLEANUP(mem_free) = fs_join(scratch, "unpacked");
    const char *argv[] = {"gzip", "-dcq", file, NULL};
    int failed = fs_write(file, whole.data, whole.len, 0600, &ignored);
    if (!failed)
        failed = proc_check(
            &(struct proc){.argv = argv, .out_path = out, .out_limit = JAR_MANIFEST_MAX}, &ignored);
    return failed ? failed : fs_read(out, JAR_MANIFEST_MAX, text, &ignored);
}

static int jar_read_manifest(const char *path, struct buf *text)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    const u8 *entry;

    if (elf_map(path, &map, NULL) || !(entry = jar_manifest(&map)))
        return -1;
    u32 local = read32(entry + JAR_ENTRY_LOCAL), len = read32(entry + JAR_ENTRY_PACKED);
    if (map.len < JAR_LOCAL_LEN || local > map.len - JAR_LOCAL_LEN)
        return -1;
    const u8 *at = (const u8 *)map.data + local;
    size_t begin = (size_t)local + JAR_LOCAL_LEN + read16(at + JAR_LOCAL_NAME_LEN) +
                   read16(at + JAR_LOCAL_EXTRA_LEN);
    if (begin > map.len || len > map.len - begin || len > JAR_MANIFEST_MAX)
        return -1;
    const u8 *packed = (const u8 *)map.data + begin;
    u32 method = read16(entry + JAR_ENTRY_METHOD);
    if (method == JAR_STORED)
        buf_add(text, packed, len);
    return method == JAR_DEFLATED ? jar_inflate(packed, len, entry, text) : 0;
}

void jar_class_path(const char *path, struct strs *words)
{
    static const char field[] = "Class-Path:";
    struct buf text CLEANUP(buf_free) = {0}, value CLEANUP(buf_free) = {0};
    bool inside = false;
    char *line, *word;

    if (jar_read_manifest(path, &text) || !text.len)
        return;
    for (char *rest = text.data; (line = strsep(&rest, "\n"));) {
        line[strcspn(line, "\r")] = 0;
        bool goes_on = *line == ' '; /* lines have 72 bytes at most */
        if (!goes_on)
            inside = strncasecmp(line, field, strlen(field)) == 0;
        if (inside)
            buf_puts(&value, goes_on ? line + 1 : line + strlen(field));
    }
    for (char *rest = value.len ? value.data : NULL; (word = strsep(&rest, " ")) != NULL;)
        if (*word)
            strs_add(words, str_starts(word, "file:") ? word + strlen("file:") : word);
}
