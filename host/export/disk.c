/* Source: UEFI 2.10, chapter 5 (GPT); EDD 3.0 for what the boot sector uses. */
#include "export/disk.h"

#include "export/bytes.h"
#include "export/fat.h"
#include "lib/cleanup.h"

#include <fcntl.h>
#include <stdio.h>

extern const u8 export_mbr[], export_mbr_end[];

enum {
    SECTOR = 512,
    CD_SECTOR = 2048,
    GPT_ENTRIES = 128,
    GPT_ENTRY = 128,
    GPT_ENTRIES_SIZE = GPT_ENTRIES * GPT_ENTRY,
    GPT_SECTORS = GPT_ENTRIES_SIZE / SECTOR, /* of the entries */
    GPT_HEADER = 92,
    PARTITION_LBA = 128, /* aligned to 64 KiB: 1 MiB would be half of a small image */
    MIB_SIZE = 1 << 20,
    MBR_FIELDS = 0x1a0, /* mbr.S */
    MBR_PARTITION = 446,
    PROTECTIVE = 0xee,
};

/* As mbr.S has them. */
struct mbr_fields {
    u64 lba;
    u32 kernel_bytes;
    u32 root_bytes;
    u8 shift; /* of a sector's size */
} __attribute__((packed));

static const u8 esp_type[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
                                0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};

static u32 crc32(const u8 *data, size_t len)
{
    u32 crc = ~0u;

    while (len--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* A GUID of version 8 (RFC 9562) out of 32 hex digits. */
static void disk_guid(const char *hex, u8 guid[16])
{
    for (int i = 0; i < 16; i++) {
        unsigned byte = 0;
        sscanf(hex + 2L * i, "%2x", &byte); /* an id is hex digits; else it stays 0 */
        guid[i] = (u8)byte;
    }
    guid[7] = (guid[7] & 0xf) | 0x80;
    guid[8] = (guid[8] & 0x3f) | 0x80;
}

/* The loader with the place of the boot file: @lba of sectors of 1 << @shift bytes. */
static void disk_loader(const struct boot_file *file, u64 lba, u8 shift, u8 *at)
{
    struct mbr_fields fields = {
        .lba = lba,
        .kernel_bytes = (u32)file->kernel_size,
        .root_bytes = (u32)file->root_size,
        .shift = shift,
    };

    memcpy(at, export_mbr, (size_t)(export_mbr_end - export_mbr));
    memcpy(at + MBR_FIELDS, &fields, sizeof(fields));
}

static void disk_mbr(const struct boot_file *file, u64 file_lba, u64 sectors, u8 *mbr)
{
    u8 *partition = mbr + MBR_PARTITION;
    u64 rest = sectors - 1;

    disk_loader(file, file_lba, 9, mbr);
    memcpy(partition, "\0\0\2\0\xee\xff\xff\xff", 8);
    bytes_put(partition, 8, 1, 4);
    bytes_put(partition, 12, rest < 0xffffffff ? rest : 0xffffffff, 4);
    bytes_put(mbr, 510, 0xaa55, 2);
}

static void disk_entries(const struct fat *fat, const char *id, u8 *entries)
{
    static const char name[] = "EFI system partition";

    memcpy(entries, esp_type, 16);
    disk_guid(id + 32, entries + 16);
    bytes_put(entries, 32, PARTITION_LBA, 8);
    bytes_put(entries, 40, PARTITION_LBA + fat->size / SECTOR - 1, 8);
    for (size_t i = 0; name[i]; i++)
        bytes_put(entries, 56 + 2 * i, (u8)name[i], 2);
}

static void disk_header(const char *id, const u8 *entries, u64 sectors, bool backup, u8 *h)
{
    u64 last = sectors - 1;

    memcpy(h, "EFI PART", 8);
    bytes_put(h, 8, 0x10000, 4);
    bytes_put(h, 12, GPT_HEADER, 4);
    bytes_put(h, 24, backup ? last : 1, 8);
    bytes_put(h, 32, backup ? 1 : last, 8);
    bytes_put(h, 40, 2 + GPT_SECTORS, 8);
    bytes_put(h, 48, last - GPT_SECTORS - 1, 8);
    disk_guid(id, h + 56);
    bytes_put(h, 72, backup ? last - GPT_SECTORS : 2, 8);
    bytes_put(h, 80, GPT_ENTRIES, 4);
    bytes_put(h, 84, GPT_ENTRY, 4);
    bytes_put(h, 88, crc32(entries, GPT_ENTRIES_SIZE), 4);
    bytes_put(h, 16, crc32(h, GPT_HEADER), 4);
}

u64 disk_least(const struct boot_file *file)
{
    struct fat fat;

    fat_plan(&fat, file->size);
    u64 bytes = PARTITION_LBA * (u64)SECTOR + fat.size + (GPT_SECTORS + 1) * SECTOR;
    return (bytes + MIB_SIZE - 1) / MIB_SIZE * MIB_SIZE;
}

static int disk_create(const char *path, u64 size, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    if (ftruncate(fd, (off_t)size) < 0) {
        int failed = err_errno(err, errno, "%s", path);
        close(fd);
        return failed;
    }
    return fd;
}

static int disk_write_partition(const struct boot_file *file, const struct fat *fat, int fd,
                                u64 offset, const char *path, struct err *err)
{
    int failed = fat_write(fat, fd, offset, path, err);

    return failed ? failed : boot_file_write(file, fd, offset + fat->file_offset, path, err);
}

int disk_write(const struct boot_file *file, u64 size, const char *id, const char *path,
               struct err *err)
{
    struct fat fat;
    u64 start = PARTITION_LBA * (u64)SECTOR;
    u8 *table CLEANUP(mem_free) = mem_new(2 * SECTOR + GPT_ENTRIES_SIZE);
    u8 *entries = table + 2 * SECTOR, backup[SECTOR] = {0};

    fat_plan(&fat, file->size);
    disk_mbr(file, (start + fat.file_offset) / SECTOR, size / SECTOR, table);
    disk_entries(&fat, id, entries);
    disk_header(id, entries, size / SECTOR, false, table + SECTOR);
    disk_header(id, entries, size / SECTOR, true, backup);

    int fd CLEANUP(fd_close) = disk_create(path, size, err);
    if (fd < 0)
        return fd;
    int failed = bytes_write(fd, table, 2 * SECTOR + GPT_ENTRIES_SIZE, 0, path, err);
    if (!failed)
        failed =
            bytes_write(fd, entries, GPT_ENTRIES_SIZE, size - SECTOR - GPT_ENTRIES_SIZE, path, err);
    if (!failed)
        failed = bytes_write(fd, backup, SECTOR, size - SECTOR, path, err);
    return failed ? failed : disk_write_partition(file, &fat, fd, start, path, err);
}

int disk_write_esp(const struct boot_file *file, const char *path, struct err *err)
{
    struct fat fat;

    fat_plan(&fat, file->size);
    int fd CLEANUP(fd_close) = disk_create(path, fat.size, err);
    return fd < 0 ? fd : disk_write_partition(file, &fat, fd, 0, path, err);
}

int disk_write_cd(const struct boot_file *file, u32 lba, const char *path, struct err *err)
{
    u8 loader[CD_SECTOR] = {0};

    disk_loader(file, lba + 1, 11, loader);
    int fd CLEANUP(fd_close) = disk_create(path, CD_SECTOR + file->size, err);
    if (fd < 0)
        return fd;
    int failed = bytes_write(fd, loader, CD_SECTOR, 0, path, err);
    return failed ? failed : boot_file_write(file, fd, CD_SECTOR, path, err);
}
