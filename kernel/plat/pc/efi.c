/* The EFI stub: UEFI has loaded the boot file (abi/linux_boot.h) and entered it at efi_start.
 * Copies the kernel below 1 GiB, where its first page tables reach, writes a zero page as a loader
 * of Linux's protocol would, leaves boot services and enters start64 of the copy.  The root image
 * stays where the firmware put it.  Nothing here may write to the image or use a relocated address:
 * the firmware may have mapped it read-only.  Source: UEFI 2.10, chapters 4, 7 and 12.9. */
#include "abi/linux_boot.h"
#include "lib/string.h"
#include "lib/types.h"

#define EFIAPI __attribute__((ms_abi))

typedef u64 efi_status;

enum {
    EFI_ALLOCATE_MAX_ADDRESS = 1,
    EFI_LOADER_CODE = 1,
    EFI_LOADER_DATA = 2,
    EFI_BOOT_SERVICES_CODE = 3,
    EFI_BOOT_SERVICES_DATA = 4,
    EFI_CONVENTIONAL = 7,
    BYTES_PER_PAGE = 4096,
    EXIT_TRIES = 4,     /* a map grows stale when a timer of the firmware allocates */
    MAP_BYTES = 0x8000, /* for the firmware's memory map */
};

struct efi_guid {
    u32 a;
    u16 b, c;
    u8 d[8];
};

struct efi_memory {
    u32 type;
    u32 pad;
    u64 base;
    u64 virt;
    u64 pages;
    u64 attributes;
};

/* Boot services that we call, at their places in the table. */
struct efi_boot_services {
    u64 header[3];
    void *tpl[2];
    efi_status EFIAPI (*allocate_pages)(u32 how, u32 type, u64 pages, u64 *pa);
    efi_status EFIAPI (*free_pages)(u64 pa, u64 pages);
    efi_status EFIAPI (*get_memory_map)(u64 *size, void *map, u64 *key, u64 *entry_size,
                                        u32 *version);
    void *others[21];
    efi_status EFIAPI (*exit_boot_services)(void *image, u64 key);
    void *more[10];
    efi_status EFIAPI (*locate_protocol)(const struct efi_guid *guid, void *key, void **interface);
};
static_assert(offsetof(struct efi_boot_services, get_memory_map) == 56, "UEFI 4.4");
static_assert(offsetof(struct efi_boot_services, exit_boot_services) == 232, "UEFI 4.4");
static_assert(offsetof(struct efi_boot_services, locate_protocol) == 320, "UEFI 4.4");

struct efi_table_entry {
    struct efi_guid guid;
    u64 table;
};

struct efi_system_table {
    u64 others[12];
    const struct efi_boot_services *boot;
    u64 nr_tables;
    const struct efi_table_entry *tables;
};
static_assert(offsetof(struct efi_system_table, boot) == 96, "UEFI 4.3");

struct efi_screen_mode {
    u32 version, width, height, format;
    u32 masks[4];
    u32 pixels_per_line;
};

struct efi_screen {
    void *calls[3];
    struct {
        u32 modes, mode;
        const struct efi_screen_mode *info;
        u64 info_size, base, size;
    } * mode;
};

/* What we allocate, one behind the other. */
struct efi_place {
    u8 *kernel;
    u8 *page; /* the zero page */
    char *cmdline;
    u8 *map;
    u64 pages;
};

efi_status efi_main(void *image, const struct efi_system_table *table, const u8 *kernel);

static const struct efi_guid acpi_2 = {
    0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};
static const struct efi_guid graphics = {
    0x9042a9de, 0x23dc, 0x4a38, {0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a}};

static u32 get32(const u8 *p)
{
    u32 v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static void put(u8 *page, u32 offset, u64 value, u32 size)
{
    memcpy(page + offset, &value, size);
}

static efi_status allocate(const struct efi_boot_services *boot, u32 kernel_size,
                           struct efi_place *place)
{
    u64 kernel_pages = ALIGN_UP(kernel_size, BYTES_PER_PAGE) / BYTES_PER_PAGE;
    u64 pa = GIB(1) - 1;

    place->pages = kernel_pages + 2 + MAP_BYTES / BYTES_PER_PAGE;
    efi_status status =
        boot->allocate_pages(EFI_ALLOCATE_MAX_ADDRESS, EFI_LOADER_CODE, place->pages, &pa);
    if (status)
        return status;
    place->kernel = (u8 *)(uintptr_t)pa;
    place->page = place->kernel + kernel_pages * BYTES_PER_PAGE;
    place->cmdline = (char *)place->page + BYTES_PER_PAGE;
    place->map = place->page + 2ul * BYTES_PER_PAGE;
    return 0;
}

static void tell_rsdp(u8 *page, const struct efi_system_table *table)
{
    for (u64 i = 0; i < table->nr_tables; i++)
        if (!memcmp(&table->tables[i].guid, &acpi_2, sizeof(acpi_2)))
            put(page, LINUX_ACPI_RSDP, table->tables[i].table, 8);
}

static void tell_screen(u8 *page, const struct efi_boot_services *boot)
{
    void *found = NULL;

    if (boot->locate_protocol(&graphics, NULL, &found) || !found)
        return;
    const struct efi_screen *screen = found;
    const struct efi_screen_mode *info = screen->mode->info;
    if (info->format > 1 || !screen->mode->base) /* only those of 32 bits a pixel */
        return;
    put(page, LINUX_SCREEN_KIND, SCREEN_KIND_EFI, 1);
    put(page, LINUX_SCREEN_WIDTH, info->width, 2);
    put(page, LINUX_SCREEN_HEIGHT, info->height, 2);
    put(page, LINUX_SCREEN_DEPTH, 32, 2);
    put(page, LINUX_SCREEN_BASE, screen->mode->base, 4);
    put(page, LINUX_SCREEN_BASE_HIGH, screen->mode->base >> 32, 4);
    put(page, LINUX_SCREEN_STRIDE, info->pixels_per_line * 4, 2);
}

static bool is_ram(u32 type)
{
    return type == EFI_LOADER_CODE || type == EFI_LOADER_DATA || type == EFI_BOOT_SERVICES_CODE ||
           type == EFI_BOOT_SERVICES_DATA || type == EFI_CONVENTIONAL;
}

/* RAM only; what lies side by side becomes one entry.  What does not fit is not used. */
static void tell_memory(u8 *page, const u8 *map, u64 size, u64 entry_size)
{
    u32 n = 0;
    u64 base = 0, end = 0;

    for (u64 at = 0; at + sizeof(struct efi_memory) <= size; at += entry_size) {
        struct efi_memory m;
        memcpy(&m, map + at, sizeof(m));
        if (!is_ram(m.type))
            continue;
        if (!n || m.base != end) {
            if (n == LINUX_E820_MAX)
                break;
            base = m.base;
            n++;
        }
        end = m.base + m.pages * BYTES_PER_PAGE;
        u8 *e = page + LINUX_E820_TABLE + (n - 1) * LINUX_E820_SIZE;
        put(e, 0, base, 8);
        put(e, 8, end - base, 8);
        put(e, 16, LINUX_E820_RAM, 4);
    }
    page[LINUX_E820_ENTRIES] = (u8)n;
}

static efi_status leave(void *image, const struct efi_boot_services *boot,
                        const struct efi_place *place)
{
    efi_status status = 1;

    for (u32 i = 0; status && i < EXIT_TRIES; i++) {
        u64 size = MAP_BYTES, key, entry_size;
        u32 version;
        status = boot->get_memory_map(&size, place->map, &key, &entry_size, &version);
        if (status)
            return status;
        status = boot->exit_boot_services(image, key);
        if (!status)
            tell_memory(place->page, place->map, size, entry_size);
    }
    return status;
}

static void fill_page(const struct efi_place *place, const u8 *setup)
{
    u32 root_offset = get32(setup + BOOT_ROOT_OFFSET), root_size = get32(setup + BOOT_ROOT_SIZE);

    memset(place->page, 0, BYTES_PER_PAGE);
    memcpy(place->page + LINUX_SETUP_SECTS, setup + LINUX_SETUP_SECTS,
           LINUX_SETUP_END - LINUX_SETUP_SECTS);
    memcpy(place->cmdline, setup + BOOT_CMDLINE, BOOT_CMDLINE_SIZE);
    put(place->page, LINUX_CMD_LINE_PTR, (uintptr_t)place->cmdline, 4);
    u64 root = root_size ? (uintptr_t)setup + root_offset : 0;
    put(place->page, LINUX_RAMDISK_IMAGE, root, 4);
    put(place->page, LINUX_EXT_RAMDISK_IMAGE, root >> 32, 4);
    put(place->page, LINUX_RAMDISK_SIZE, root_size, 4);
}

efi_status efi_main(void *image, const struct efi_system_table *table, const u8 *kernel)
{
    const u8 *setup = kernel - BOOT_SETUP_SIZE; /* mapped just before, as in the file */
    struct efi_place place;

    efi_status status = allocate(table->boot, get32(setup + BOOT_IMAGE_SIZE), &place);
    if (status)
        return status;
    memcpy(place.kernel, kernel, get32(setup + BOOT_KERNEL_SIZE));
    fill_page(&place, setup);
    tell_rsdp(place.page, table);
    tell_screen(place.page, table->boot);
    status = leave(image, table->boot, &place);
    if (status) {
        table->boot->free_pages((uintptr_t)place.kernel, place.pages);
        return status;
    }
    __asm__ volatile("cli\n jmp *%0" ::"r"(place.kernel + BOOT_ENTRY_64), "S"(place.page)
                     : "memory");
    __builtin_unreachable();
}
