#include "image/ld_cache.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LD_CACHE_MAGIC "glibc-ld.so.cache1.1"

enum {
    LD_FLAGS_X86_64 = 0x0303, /* an ELF library for libc6, 64-bit x86-64 */
    LD_LITTLE_ENDIAN = 2,
};

struct ld_header { /* on disk */
    char magic[20];
    u32 count;
    u32 strings_len;
    u8 byte_order;
    u8 padding[3];
    u32 extension_offset;
    u32 unused[3];
};
static_assert(sizeof(struct ld_header) == 48, "as on disk");

struct ld_entry { /* on disk; offsets count from the header */
    s32 flags;
    u32 name, path;
    u32 os_version;
    u64 hwcap;
};
static_assert(sizeof(struct ld_entry) == 24, "as on disk");

bool ld_cache_open(const u8 *data, size_t len, struct ld_cache *cache)
{
    struct ld_header header;

    if (len < sizeof(header))
        return false;
    memcpy(&header, data, sizeof(header));
    if (memcmp(header.magic, LD_CACHE_MAGIC, sizeof(header.magic)) != 0 ||
        (header.byte_order & 3) == 1 ||
        header.count > (len - sizeof(header)) / sizeof(struct ld_entry))
        return false;
    *cache = (struct ld_cache){.data = data, .len = len, .count = header.count};
    return true;
}

static const char *ld_cache_string(const struct ld_cache *cache, u32 offset)
{
    if (offset >= cache->len || !memchr(cache->data + offset, 0, cache->len - offset))
        return NULL;
    return (const char *)cache->data + offset;
}

const char *ld_cache_find(const struct ld_cache *cache, const char *name)
{
    for (u32 i = 0; i < cache->count; i++) {
        struct ld_entry entry;
        memcpy(&entry, cache->data + sizeof(struct ld_header) + (size_t)i * sizeof(entry),
               sizeof(entry));
        if (entry.flags != LD_FLAGS_X86_64 || entry.hwcap)
            continue;
        const char *key = ld_cache_string(cache, entry.name);
        const char *path = ld_cache_string(cache, entry.path);
        if (key && path && path[0] == '/' && strcmp(key, name) == 0)
            return path;
    }
    return NULL;
}

/* The linker searches by halving, in this order: runs of digits count as numbers. */
static int ld_compare_names(const char *a, const char *b)
{
    while (*a) {
        if (isdigit((u8)*a) && isdigit((u8)*b)) {
            char *end_a, *end_b;
            unsigned long x = strtoul(a, &end_a, 10), y = strtoul(b, &end_b, 10);
            if (x != y)
                return x < y ? -1 : 1;
            a = end_a, b = end_b;
        } else if (isdigit((u8)*a) || isdigit((u8)*b)) {
            return isdigit((u8)*a) ? 1 : -1;
        } else if (*a != *b) {
            return (u8)*a - (u8)*b;
        } else {
            a++, b++;
        }
    }
    return *a - *b;
}

static const char *ld_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* Descending, as ldconfig writes it; equal names keep a fixed order by path. */
static int ld_compare_paths(const void *left, const void *right)
{
    const char *a = *(char *const *)left, *b = *(char *const *)right;
    int order = ld_compare_names(ld_name(b), ld_name(a));

    return order ? order : strcmp(a, b);
}

void ld_cache_write(const struct strs *paths, struct buf *out)
{
    struct ld_header header = {.magic = LD_CACHE_MAGIC, .byte_order = LD_LITTLE_ENDIAN};
    size_t strings_at = sizeof(header) + paths->len * sizeof(struct ld_entry);
    struct buf strings = {0};

    qsort(paths->at, paths->len, sizeof(*paths->at), ld_compare_paths);
    for (size_t i = 0; i < paths->len; i++)
        buf_add(&strings, paths->at[i], strlen(paths->at[i]) + 1);
    header.count = (u32)paths->len;
    header.strings_len = (u32)strings.len;
    buf_add(out, &header, sizeof(header));
    u32 at = (u32)strings_at;
    for (size_t i = 0; i < paths->len; i++) {
        struct ld_entry entry = {.flags = LD_FLAGS_X86_64, .path = at};
        entry.name = at + (u32)(ld_name(paths->at[i]) - paths->at[i]);
        buf_add(out, &entry, sizeof(entry));
        at += (u32)strlen(paths->at[i]) + 1;
    }
    buf_add(out, strings.data, strings.len);
    buf_free(&strings);
}
