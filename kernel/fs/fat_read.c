/* FAT12, FAT16 and FAT32 with long names (Microsoft's FAT specification 1.03): one file at a time,
 * read whole. */
#include "block/block.h"
#include "fs/config_drive.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { FAT12_MOST = 4085, FAT16_MOST = 65525, ENTRY = 32, MAX_DEPTH = 8, DIR_MAX = 1 << 18 };
enum { ATTR_VOLUME = 8, ATTR_DIRECTORY = 0x10, ATTR_LONG = 0x0f, DELETED = 0xe5 };
enum { LONG_LAST = 0x40, LONG_CHARS = 13, LONG_MOST = 20 };

struct fat {
    struct block_dev *bd;
    u32 bits; /* of an entry: 12, 16, 32 */
    u32 cluster_bytes, nr_clusters;
    u64 fat_sector, root_sector, data_sector; /* of 512 bytes */
    u32 root_bytes; /* before FAT32, where the root has a place of its own */
    u32 root_cluster;
};

static u32 get(const u8 *p, u32 size)
{
    u32 v = 0;

    memcpy(&v, p, size);
    return v;
}

static bool fat_open(struct block_dev *bd, struct fat *fat)
{
    u8 *b = bd->sectors >= 8 ? kmalloc(8 * SECTOR_SIZE) : NULL;

    if (!b || block_read(bd, 0, b, 8) || get(b + 510, 2) != 0xaa55) {
        kfree(b);
        return false;
    }
    u32 unit = get(b + 11, 2) / SECTOR_SIZE, per_cluster = b[13], reserved = get(b + 14, 2);
    u32 fats = b[16], root_entries = get(b + 17, 2);
    u32 total = get(b + 19, 2) ? get(b + 19, 2) : get(b + 32, 4);
    u32 fat_len = get(b + 22, 2) ? get(b + 22, 2) : get(b + 36, 4);
    u32 root_cluster = get(b + 44, 4);
    kfree(b);
    if ((unit != 1 && unit != 2 && unit != 4 && unit != 8) || !per_cluster || !reserved || !fats ||
        fats > 2 || fat_len > 1 << 22)
        return false;
    u32 root_units = DIV_UP(root_entries * ENTRY, unit * SECTOR_SIZE);
    u64 first = reserved + (u64)fats * fat_len;
    if (total <= first + root_units)
        return false;
    *fat = (struct fat){.bd = bd,
                        .cluster_bytes = per_cluster * unit * SECTOR_SIZE,
                        .nr_clusters = (u32)(total - first - root_units) / per_cluster,
                        .fat_sector = (u64)reserved * unit,
                        .root_sector = first * unit,
                        .data_sector = (first + root_units) * unit,
                        .root_bytes = root_units * unit * SECTOR_SIZE,
                        .root_cluster = root_cluster};
    fat->bits = fat->nr_clusters < FAT12_MOST ? 12 : fat->nr_clusters < FAT16_MOST ? 16 : 32;
    return (u64)total * unit <= bd->sectors;
}

/* The cluster after @cluster; 0: the chain ends or is broken. */
static u32 next_cluster(const struct fat *fat, u32 cluster)
{
    u64 at = (u64)cluster * fat->bits / 8, sector = fat->fat_sector + at / SECTOR_SIZE;
    u8 *two = kmalloc(2 * SECTOR_SIZE);
    u32 value = 0;

    /* an entry of 12 bits may lie in two sectors */
    if (two && !block_read(fat->bd, sector, two, 2))
        value = get(two + at % SECTOR_SIZE, fat->bits == 32 ? 4 : 2);
    kfree(two);
    if (fat->bits == 12)
        value = cluster & 1 ? value >> 4 : value & 0xfff;
    value &= 0x0fffffff;
    return value >= 2 && value < fat->nr_clusters + 2 ? value : 0;
}

/* A chain's first @size bytes, or all of it up to @size where @whole; the caller frees. */
static u8 *read_chain(const struct fat *fat, u32 cluster, u32 size, u32 *got)
{
    u32 room = ALIGN_UP(size, SECTOR_SIZE), done = 0;
    u8 *data = kmalloc((size_t)room + fat->cluster_bytes + 1);

    while (data && cluster >= 2 && done < size) {
        u64 sector = fat->data_sector + (u64)(cluster - 2) * (fat->cluster_bytes / SECTOR_SIZE);
        if (block_read(fat->bd, sector, data + done, fat->cluster_bytes / SECTOR_SIZE))
            break;
        done += fat->cluster_bytes;
        cluster = next_cluster(fat, cluster);
    }
    *got = min(done, size);
    return data;
}

/* The directory that begins at @cluster; 0: the root. */
static u8 *read_dir(const struct fat *fat, u32 cluster, u32 *bytes)
{
    if (cluster || fat->bits == 32)
        return read_chain(fat, cluster ? cluster : fat->root_cluster, DIR_MAX, bytes);
    u8 *data = kmalloc(fat->root_bytes + 1);
    bool good = data && fat->root_bytes &&
                !block_read(fat->bd, fat->root_sector, data, fat->root_bytes / SECTOR_SIZE);
    *bytes = good ? fat->root_bytes : 0;
    return data;
}

/* 7: pieces of 13 characters before the entry itself, the last piece first. */
static void add_long(const u8 *e, char *name, size_t *len)
{
    static const u8 at[LONG_CHARS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    u32 piece = e[0] & 0x1f;

    if (!piece || piece > LONG_MOST)
        return;
    if (e[0] & LONG_LAST)
        *len = 0;
    for (u32 i = 0; i < LONG_CHARS; i++) {
        u32 c = get(e + at[i], 2), where = (piece - 1) * LONG_CHARS + i;
        name[where] = c < 0x80 ? (char)c : '?';
        if (e[0] & LONG_LAST && c && c != 0xffff)
            *len = where + 1;
    }
}

static size_t short_name(const u8 *e, char *name)
{
    size_t len = 8, dot;

    memcpy(name, e, 8);
    while (len && name[len - 1] == ' ')
        len--;
    dot = len;
    name[len++] = '.';
    memcpy(name + len, e + 8, 3);
    for (len += 3; len > dot && (name[len - 1] == ' ' || name[len - 1] == '.');)
        len--;
    return len;
}

/* The entry of the first component of @path; NULL @path: the volume's label. */
static const u8 *find_entry(const u8 *dir, u32 bytes, const char *path)
{
    char name[LONG_MOST * LONG_CHARS], brief[12];
    size_t long_len = 0;

    for (const u8 *e = dir; e + ENTRY <= dir + bytes && *e; e += ENTRY) {
        if (*e == DELETED) {
            long_len = 0;
        } else if (e[11] == ATTR_LONG) {
            add_long(e, name, &long_len);
        } else if (e[11] & ATTR_VOLUME) {
            if (!path)
                return e;
        } else {
            bool match = path && (config_name_matches(name, long_len, path) ||
                                  config_name_matches(brief, short_name(e, brief), path));
            if (match)
                return e;
            long_len = 0;
        }
    }
    return NULL;
}

bool fat_read_label(struct block_dev *bd, char label[12])
{
    struct fat fat;
    u32 bytes;

    if (!fat_open(bd, &fat))
        return false;
    u8 *dir = read_dir(&fat, 0, &bytes);
    const u8 *e = dir ? find_entry(dir, bytes, NULL) : NULL;
    if (e) {
        memcpy(label, e, 11);
        for (u32 i = 11; i-- && label[i] == ' ';)
            label[i] = '\0';
        label[11] = '\0';
    }
    kfree(dir);
    return e != NULL;
}

char *fat_read_file(struct block_dev *bd, const char *path, size_t *len)
{
    struct fat fat;
    u32 cluster = 0, bytes;

    if (!fat_open(bd, &fat))
        return NULL;
    for (u32 depth = 0; depth < MAX_DEPTH; depth++) {
        u8 *dir = read_dir(&fat, cluster, &bytes);
        const u8 *e = dir ? find_entry(dir, bytes, path) : NULL;
        bool directory = e && e[11] & ATTR_DIRECTORY;
        u32 size = e ? get(e + 28, 4) : 0;
        cluster = e ? get(e + 26, 2) | (fat.bits == 32 ? get(e + 20, 2) << 16 : 0) : 0;
        kfree(dir);
        path = config_path_rest(path);
        if (!cluster || directory != (path != NULL) || size > CONFIG_FILE_MAX)
            return NULL;
        if (path)
            continue;
        u8 *data = read_chain(&fat, cluster, size, &bytes);
        if (!data || bytes != size) {
            kfree(data);
            return NULL;
        }
        data[size] = '\0';
        *len = size;
        return (char *)data;
    }
    return NULL;
}
