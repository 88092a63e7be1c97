/* Linux's boot protocol, the kernel's side: zero-page.rst and boot.rst.  Everything here runs
 * early, at the image's physical address on identity tables; what the loader says is checked where
 * it is used (memory_map_add, pc_map_firmware, EROFS). */
#include "plat/pc/linux_boot.h"

#include "abi/linux_boot.h"
#include "lib/string.h"
#include "plat/pc/boot.h"
#include "plat/plat.h"

enum {
    EBDA_POINTER = 0x40e, /* its segment, where a BIOS keeps it: ACPI 6.5, 5.2.5.1 */
    EBDA_LEN = 1024,
    BIOS_BASE = 0xe0000,
    BIOS_END = 0x100000,
    RSDP_STEP = 16,
};

static u64 field(const u8 *page, u32 offset, u32 size)
{
    u64 v = 0;

    memcpy(&v, page + offset, size);
    return v;
}

bool linux_boot_is_page(const u8 *page)
{
    return field(page, LINUX_MAGIC, 4) == LINUX_MAGIC_TEXT;
}

static void read_memory(struct boot_info *bi, const u8 *page)
{
    u32 n = min((u32)page[LINUX_E820_ENTRIES], (u32)LINUX_E820_MAX);

    for (u32 i = 0; i < n; i++) {
        const u8 *e = page + LINUX_E820_TABLE + i * LINUX_E820_SIZE;
        if (field(e, 16, 4) == LINUX_E820_RAM)
            boot_add_ram(bi, field(e, 0, 8), field(e, 8, 8));
    }
}

static u64 find_rsdp(u64 from, u64 to)
{
    for (u64 pa = from; pa < to; pa += RSDP_STEP)
        if (!memcmp((const void *)(uintptr_t)pa, "RSD PTR ", 8))
            return pa;
    return 0;
}

/* A BIOS leaves it to us to look. */
static u64 search_rsdp(void)
{
    u64 ebda = field((const u8 *)(uintptr_t)EBDA_POINTER, 0, 2) << 4;
    u64 found = ebda >= 0x400 && ebda < 0xa0000 ? find_rsdp(ebda, ebda + EBDA_LEN) : 0;

    return found ? found : find_rsdp(BIOS_BASE, BIOS_END);
}

static void read_screen(struct boot_info *bi, const u8 *page)
{
    u8 kind = (u8)field(page, LINUX_SCREEN_KIND, 1);

    if ((kind != SCREEN_KIND_EFI && kind != SCREEN_KIND_VESA) ||
        field(page, LINUX_SCREEN_DEPTH, 2) != 32)
        return;
    bi->screen.pa = field(page, LINUX_SCREEN_BASE, 4) | field(page, LINUX_SCREEN_BASE_HIGH, 4)
                                                            << 32;
    bi->screen.width = (u32)field(page, LINUX_SCREEN_WIDTH, 2);
    bi->screen.height = (u32)field(page, LINUX_SCREEN_HEIGHT, 2);
    bi->screen.stride = (u32)field(page, LINUX_SCREEN_STRIDE, 2);
}

void linux_boot_read(struct boot_info *bi, const u8 *page)
{
    read_memory(bi, page);
    read_screen(bi, page);
    bi->cmdline_pa = field(page, LINUX_CMD_LINE_PTR, 4) | field(page, LINUX_EXT_CMD_LINE_PTR, 4)
                                                              << 32;
    bi->initrd_pa = field(page, LINUX_RAMDISK_IMAGE, 4) | field(page, LINUX_EXT_RAMDISK_IMAGE, 4)
                                                              << 32;
    bi->initrd_len = field(page, LINUX_RAMDISK_SIZE, 4) | field(page, LINUX_EXT_RAMDISK_SIZE, 4)
                                                              << 32;
    bi->rsdp_pa = field(page, LINUX_ACPI_RSDP, 8);
    if (!bi->rsdp_pa)
        bi->rsdp_pa = search_rsdp();
}
