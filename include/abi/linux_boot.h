/* The Linux x86 boot protocol, version 2.15: offsets in the file's first sectors ("setup header")
 * and in the 4 KiB page that a loader hands over ("struct boot_params", the zero page), and how our
 * own boot file (host/export/boot_file.c) uses what the protocol leaves to us.
 * Source: Linux Documentation/arch/x86/boot.rst and zero-page.rst. */
#pragma once

#include "lib/types.h"

/* The setup header: the same offsets in the file and in the zero page. */
enum linux_setup {
    LINUX_SETUP_SECTS = 0x1f1, /* u8: sectors of the real-mode part, less the first */
    LINUX_SYSSIZE = 0x1f4,     /* u32: of the protected-mode part, in units of 16 bytes */
    LINUX_BOOT_FLAG = 0x1fe,   /* u16: 0xaa55 */
    LINUX_MAGIC = 0x202,       /* "HdrS" */
    LINUX_VERSION = 0x206,
    LINUX_LOADER = 0x210,
    LINUX_LOADFLAGS = 0x211,
    LINUX_CODE32_START = 0x214,
    LINUX_RAMDISK_IMAGE = 0x218,
    LINUX_RAMDISK_SIZE = 0x21c,
    LINUX_CMD_LINE_PTR = 0x228,
    LINUX_INITRD_ADDR_MAX = 0x22c,
    LINUX_KERNEL_ALIGNMENT = 0x230,
    LINUX_XLOADFLAGS = 0x236,
    LINUX_CMDLINE_SIZE = 0x238,
    LINUX_PREF_ADDRESS = 0x258,
    LINUX_INIT_SIZE = 0x260,
    LINUX_SETUP_END = 0x26c,
};

/* The rest of the zero page. */
enum linux_zero_page {
    LINUX_SCREEN_INFO = 0x000, /* struct screen_info */
    LINUX_ACPI_RSDP = 0x070,   /* u64 */
    LINUX_EXT_RAMDISK_IMAGE = 0x0c0,
    LINUX_EXT_RAMDISK_SIZE = 0x0c4,
    LINUX_EXT_CMD_LINE_PTR = 0x0c8,
    LINUX_SCRATCH = 0x1e4,
    LINUX_E820_ENTRIES = 0x1e8, /* u8 */
    LINUX_E820_TABLE = 0x2d0,
    LINUX_E820_SIZE = 20, /* of an entry: u64 address, u64 length, u32 type */
    LINUX_E820_MAX = 128,
    LINUX_E820_RAM = 1,
    LINUX_E820_RESERVED = 2,
};

/* struct screen_info, what we use of it. */
enum linux_screen {
    LINUX_SCREEN_X = 0x00, /* u8: where the cursor is */
    LINUX_SCREEN_Y = 0x01,
    LINUX_SCREEN_KIND = 0x0f, /* u8: enum linux_screen_kind, or others */
    LINUX_SCREEN_WIDTH = 0x12,
    LINUX_SCREEN_HEIGHT = 0x14,
    LINUX_SCREEN_DEPTH = 0x16,
    LINUX_SCREEN_BASE = 0x18,
    LINUX_SCREEN_STRIDE = 0x24,
    LINUX_SCREEN_BASE_HIGH = 0x3a,
};
enum linux_screen_kind { SCREEN_KIND_VESA = 0x23, SCREEN_KIND_EFI = 0x70 };

#define LINUX_MAGIC_TEXT 0x53726448u /* "HdrS" */

/* Entries of the kernel image, from its first byte: the protocol's two, and our EFI stub's. */
enum {
    BOOT_ENTRY_32 = 0x000,
    BOOT_ENTRY_64 = 0x200,
    BOOT_ENTRY_EFI = 0x300,
    BOOT_ABSOLUTE = 0x320, /* struct absolute_form (abi/absolute.h), its range filled in */
    BOOT_KERNEL_ADDRESS = 0x100000,
};

/* Our boot file: the real-mode part, the kernel image as it lies in memory without its zeroed
 * end, and perhaps the root image, each beginning on a page.  As a PE file it is mapped as it is.
 */
enum {
    BOOT_SETUP_SIZE = 0x1000,
    BOOT_CMDLINE = 0x600, /* used when the loader brings none */
    BOOT_CMDLINE_SIZE = 0x800,
    BOOT_ROOT_OFFSET = 0xe00, /* u32: of the root image, in the file; 0: none */
    BOOT_ROOT_SIZE = 0xe04,   /* u32 */
    BOOT_IMAGE_SIZE = 0xe08,  /* u32: of the kernel in memory, the zeroed end included */
    BOOT_KERNEL_SIZE = 0xe0c, /* u32: of the kernel in the file */
};
