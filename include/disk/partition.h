/* Partition tables on disk: GPT (UEFI 2.10, 5.3) and the master boot record.  Little endian. */
#pragma once

#include "lib/types.h"

enum { MBR_MAGIC = 0xaa55, MBR_PROTECTIVE = 0xee };

struct mbr_entry {
    u8 active; /* 0 or 0x80 */
    u8 first_chs[3];
    u8 type; /* 0: unused */
    u8 last_chs[3];
    le32 first_lba;
    le32 sectors;
} __attribute__((packed)); /* it lies at an odd offset */
static_assert(sizeof(struct mbr_entry) == 16, "on disk");

struct mbr {
    u8 code[440];
    le32 signature;
    le16 reserved;
    struct mbr_entry entries[4];
    le16 magic;
} __attribute__((packed));
static_assert(sizeof(struct mbr) == 512, "on disk");

struct gpt_header {
    u8 signature[8]; /* "EFI PART" */
    le32 revision;
    le32 header_size;
    le32 header_crc; /* of the header with this field zero */
    le32 reserved;
    le64 my_lba;
    le64 other_lba;
    le64 first_usable, last_usable;
    u8 disk_guid[16];
    le64 entries_lba;
    le32 nr_entries;
    le32 entry_size;
    le32 entries_crc;
    u8 pad[4];
};
static_assert(sizeof(struct gpt_header) == 96, "92 bytes and what fills it");

struct gpt_entry {
    u8 type[16]; /* zero: unused */
    u8 guid[16];
    le64 first_lba, last_lba; /* both of it */
    le64 attributes;
    le16 name[36];
};
static_assert(sizeof(struct gpt_entry) == 128, "on disk");
