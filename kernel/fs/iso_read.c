/* ISO 9660 (ECMA-119) with Joliet's names where there are any: one file at a time, read whole. */
#include "block/block.h"
#include "fs/config_drive.h"
#include "lib/string.h"
#include "mm/heap.h"

enum {
    BLOCK = 2048,
    BLOCK_SECTORS = BLOCK / SECTOR_SIZE,
    FIRST_DESCRIPTOR = 16,
    MAX_DESCRIPTORS = 16
};
enum { TYPE_PRIMARY = 1, TYPE_SUPPLEMENTARY = 2, TYPE_END = 255 };
enum { VOLUME_LABEL = 40, ESCAPES = 88, ROOT_RECORD = 156 };
enum { RECORD_EXTENT = 2, RECORD_SIZE = 10, RECORD_FLAGS = 25, RECORD_NAME_LEN = 32, RECORD_NAME };
enum { FLAG_DIRECTORY = 2, MAX_DEPTH = 8 };

struct volume {
    char label[12];
    bool joliet;
    u32 root_extent, root_size;
};

static u32 get32(const u8 *p)
{
    u32 v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* Whole blocks, which the caller frees. NULL: out of memory, or cannot be read. */
static u8 *read_extent(struct block_dev *bd, u32 extent, u32 size)
{
    u64 sector = (u64)extent * BLOCK_SECTORS, nr = DIV_UP((u64)size, BLOCK) * BLOCK_SECTORS;

    if (!size || size > CONFIG_FILE_MAX || sector + nr > bd->sectors)
        return NULL;
    u8 *data = kmalloc(nr * SECTOR_SIZE + 1);
    if (data && block_read(bd, sector, data, nr)) {
        kfree(data);
        return NULL;
    }
    return data;
}

/* Joliet is a second descriptor, known by one of three escape sequences. */
static void take_descriptor(struct volume *v, const u8 *d)
{
    bool joliet = d[0] == TYPE_SUPPLEMENTARY && d[ESCAPES] == '%' && d[ESCAPES + 1] == '/';

    if (d[0] == TYPE_PRIMARY) {
        memcpy(v->label, d + VOLUME_LABEL, 11);
        for (u32 i = 11; i-- && (v->label[i] == ' ' || !v->label[i]);)
            v->label[i] = '\0';
    }
    if (d[0] != TYPE_PRIMARY && !joliet)
        return;
    v->joliet = joliet;
    v->root_extent = get32(d + ROOT_RECORD + RECORD_EXTENT);
    v->root_size = get32(d + ROOT_RECORD + RECORD_SIZE);
}

static bool read_volume(struct block_dev *bd, struct volume *v)
{
    *v = (struct volume){.joliet = false};
    for (u32 i = 0; i < MAX_DESCRIPTORS; i++) {
        u8 *d = read_extent(bd, FIRST_DESCRIPTOR + i, BLOCK);
        bool good = d && !memcmp(d + 1, "CD001", 5) && d[0] != TYPE_END;
        if (good)
            take_descriptor(v, d);
        kfree(d);
        if (!good)
            break;
    }
    return v->root_size != 0;
}

bool iso_read_label(struct block_dev *bd, char label[12])
{
    struct volume v;

    if (!read_volume(bd, &v))
        return false;
    memcpy(label, v.label, sizeof(v.label));
    return true;
}

/* A record's name as bytes, without version and the dot of an empty extension. */
static size_t record_name(const u8 *record, bool joliet, char *name)
{
    size_t len = 0, step = joliet ? 2 : 1;

    for (size_t i = joliet ? 1 : 0; i < record[RECORD_NAME_LEN]; i += step) {
        if (record[RECORD_NAME + i] == ';')
            break;
        name[len++] = (char)record[RECORD_NAME + i];
    }
    return len && name[len - 1] == '.' ? len - 1 : len;
}

/* The record of the first component of @path in a directory's @size bytes. No record crosses from
 * one block to the next. */
static const u8 *find_record(const u8 *dir, u32 size, bool joliet, const char *path)
{
    char name[256];

    for (u32 at = 0; at < size;) {
        const u8 *record = dir + at;
        u32 len = record[0];
        if (!len) {
            at = ALIGN_DOWN(at, BLOCK) + BLOCK;
            continue;
        }
        if (len < RECORD_NAME || at + len > size ||
            RECORD_NAME + record[RECORD_NAME_LEN] > (s32)len)
            return NULL;
        if (config_name_matches(name, record_name(record, joliet, name), path))
            return record;
        at += len;
    }
    return NULL;
}

char *iso_read_file(struct block_dev *bd, const char *path, size_t *len)
{
    struct volume v;

    if (!read_volume(bd, &v))
        return NULL;
    u32 extent = v.root_extent, size = v.root_size;
    for (u32 depth = 0; depth < MAX_DEPTH; depth++) {
        u8 *dir = read_extent(bd, extent, size);
        const u8 *record = dir ? find_record(dir, size, v.joliet, path) : NULL;
        bool directory = record && record[RECORD_FLAGS] & FLAG_DIRECTORY;
        extent = record ? get32(record + RECORD_EXTENT) : 0;
        size = record ? get32(record + RECORD_SIZE) : 0;
        kfree(dir);
        path = config_path_rest(path);
        if (!extent || directory != (path != NULL))
            return NULL;
        if (path)
            continue;
        char *text = (char *)read_extent(bd, extent, size);
        *len = size;
        if (text)
            text[size] = '\0';
        return text;
    }
    return NULL;
}
