#include "export/fat.h"

#include "export/bytes.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

enum {
    SECTOR = 512,
    TABLES = 2,
    ROOT_ENTRIES = 16, /* one sector */
    ENTRY = 32,
    LEAST_CLUSTER = 16, /* sectors: the chain of a file's clusters is nearly as long when packed */
    FIRST_FILE_CLUSTER = 4, /* behind \EFI and \EFI\BOOT */
    FAT12_MAX = 4084,       /* clusters; what has more is FAT16 */
    FAT16_MAX = 65524,
    ATTR_FOLDER = 0x10,
    DATE = (2020 - 1980) << 9 | 1 << 5 | 1, /* the same image is the same bytes */
    MEDIA = 0xf8,
};

static u64 part(u64 size, u64 of)
{
    return (size + of - 1) / of;
}

void fat_plan(struct fat *fat, u64 file_size)
{
    *fat = (struct fat){.file_size = file_size, .cluster_sectors = LEAST_CLUSTER};
    u64 clusters;
    while ((clusters = 2 + part(file_size, fat->cluster_sectors * SECTOR)) > FAT16_MAX)
        fat->cluster_sectors *= 2;
    fat->nr_clusters = (u32)clusters;
    fat->is_16 = clusters > FAT12_MAX;
    u64 bits = (clusters + 2) * (fat->is_16 ? 16 : 12);
    fat->fat_sectors = (u32)part(part(bits, 8), SECTOR);
    u64 data = (1 + TABLES * fat->fat_sectors + 1) * (u64)SECTOR;
    fat->file_offset = data + 2ull * fat->cluster_sectors * SECTOR;
    fat->size = data + clusters * fat->cluster_sectors * SECTOR;
}

static void fat_boot_sector(const struct fat *fat, u64 offset, u8 *b)
{
    u64 sectors = fat->size / SECTOR;

    memcpy(b,
           "\xeb\x3c\x90"
           "INGOT   ",
           11);
    bytes_put(b, 11, SECTOR, 2);
    bytes_put(b, 13, fat->cluster_sectors, 1);
    bytes_put(b, 14, 1, 2); /* reserved: this sector */
    bytes_put(b, 16, TABLES, 1);
    bytes_put(b, 17, ROOT_ENTRIES, 2);
    bytes_put(b, 19, sectors < 65536 ? sectors : 0, 2);
    bytes_put(b, 21, MEDIA, 1);
    bytes_put(b, 22, fat->fat_sectors, 2);
    bytes_put(b, 24, 63, 2); /* geometry that nobody uses */
    bytes_put(b, 26, 255, 2);
    bytes_put(b, 28, offset / SECTOR, 4);
    bytes_put(b, 32, sectors < 65536 ? 0 : sectors, 4);
    bytes_put(b, 36, 0x80, 1);
    bytes_put(b, 38, 0x29, 1);
    bytes_put(b, 39, 0x1460746e, 4);
    memcpy(b + 43, fat->is_16 ? "NO NAME    FAT16   " : "NO NAME    FAT12   ", 19);
    bytes_put(b, 510, 0xaa55, 2);
}

static void fat_set(const struct fat *fat, u8 *table, u32 cluster, u32 value)
{
    if (fat->is_16) {
        bytes_put(table, cluster * 2ul, value, 2);
        return;
    }
    u8 *at = table + cluster * 3 / 2;
    u32 old = at[0] | (u32)at[1] << 8;
    old = cluster & 1 ? (old & 0xf) | value << 4 : (old & 0xf000) | (value & 0xfff);
    bytes_put(at, 0, old, 2);
}

static void fat_fill_table(const struct fat *fat, u8 *table)
{
    u32 last = fat->nr_clusters + 1;

    fat_set(fat, table, 0, 0xff00 | MEDIA);
    for (u32 cluster = 1; cluster <= last; cluster++) {
        bool ends = cluster < FIRST_FILE_CLUSTER || cluster == last;
        fat_set(fat, table, cluster, ends ? 0xffff : cluster + 1);
    }
}

static void fat_entry(u8 *at, const char *name, u8 attributes, u32 cluster, u64 size)
{
    memcpy(at, name, 11);
    at[11] = attributes;
    bytes_put(at, 16, DATE, 2); /* created */
    bytes_put(at, 18, DATE, 2); /* read */
    bytes_put(at, 24, DATE, 2); /* written */
    bytes_put(at, 26, cluster, 2);
    bytes_put(at, 28, size, 4);
}

int fat_write(const struct fat *fat, int fd, u64 offset, const char *path, struct err *err)
{
    size_t cluster = fat->cluster_sectors * SECTOR, table = (size_t)fat->fat_sectors * SECTOR;
    u8 *all CLEANUP(mem_free) = mem_new(fat->file_offset);
    u8 *root = all + SECTOR + TABLES * table, *efi = root + SECTOR, *boot = efi + cluster;

    fat_boot_sector(fat, offset, all);
    for (u32 i = 0; i < TABLES; i++)
        fat_fill_table(fat, all + SECTOR + i * table);
    fat_entry(root, "EFI        ", ATTR_FOLDER, 2, 0);
    fat_entry(efi, ".          ", ATTR_FOLDER, 2, 0);
    fat_entry(efi + ENTRY, "..         ", ATTR_FOLDER, 0, 0);
    fat_entry(efi + 2 * ENTRY, "BOOT       ", ATTR_FOLDER, 3, 0);
    fat_entry(boot, ".          ", ATTR_FOLDER, 3, 0);
    fat_entry(boot + ENTRY, "..         ", ATTR_FOLDER, 2, 0);
    fat_entry(boot + 2 * ENTRY, "BOOTX64 EFI", 0x20, FIRST_FILE_CLUSTER, fat->file_size);
    return bytes_write(fd, all, fat->file_offset, offset, path, err);
}
