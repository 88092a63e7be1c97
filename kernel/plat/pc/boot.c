/* From the boot loader's world to ours: the memory map, the final page tables, the relocated image.
 *
 * pc_boot_early() runs at the image's physical address on identity tables; nothing that needs a
 * relocated pointer may be used there.  It builds, from static pages and a few more taken from RAM:
 *   direct map  all RAM, at a random GiB-aligned base, in its own top-level slot
 *   image       4 KiB pages, text RX, constants R, data RW, in a slot of its own, random within it
 *   vmap        an empty slot
 * No page is writable and executable anywhere: the direct map is NX and has the image's text and
 * constants read-only too. */
#include "plat/pc/boot.h"

#include "arch/cpu.h"
#include "core/init.h"
#include "core/panic.h"
#include "core/vdso.h"
#include "lib/string.h"
#include "plat/pc/linux_boot.h"
#include "plat/pc/memory_map.h"
#include "plat/pc/pc.h"
#include "plat/pc/start_info.h"
#include "plat/pc/unfold.h"
#include "plat/plat_priv.h"

enum {
    LINK_BASE = 0x100000, /* of kernel.lds */
    ENTRIES = 512,
    PT_COUNT = 2,          /* the image lies in at most two 2 MiB pages of the direct map */
    LOW_RESERVED = 0x2000, /* the BIOS's page, and one for starting other CPUs */
};

#define DIRECT_LIMIT GIB(512) /* one top-level slot */

extern char kernel_rodata_end[], boot_stack_guard[];
extern u64 boot_pml4[], boot_pdpt[], boot_pd[];

struct boot_info boot_info;
u64 direct_map_base;
u64 vmap_base, vmap_size;

static alignas(4096) u64 direct_pdpt[ENTRIES] __attribute__((section(".bss.boot_tables")));
static alignas(4096) u64 direct_pd0[ENTRIES] __attribute__((section(".bss.boot_tables")));
static alignas(4096) u64 direct_pt[PT_COUNT * ENTRIES] __attribute__((section(".bss.boot_tables")));
static alignas(4096) u64 image_pdpt[ENTRIES] __attribute__((section(".bss.boot_tables")));
static alignas(4096) u64 image_pd[ENTRIES] __attribute__((section(".bss.boot_tables")));
static alignas(4096) u64 image_pt[ENTRIES] __attribute__((section(".bss.boot_tables")));
static alignas(4096) u64 vmap_pdpt[ENTRIES] __attribute__((section(".bss.boot_tables")));
alignas(4096) u64 kernel_pml4[ENTRIES] __attribute__((section(".bss.boot_tables")));

static u64 table_bits = PTE_P | PTE_W | PTE_A;

/* --- random places --- */

static u64 mix(u64 x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static u64 early_random(u64 *state)
{
    u64 hw = 0;

    if (cpuid(1, 0).ecx & BIT(30))
        __asm__ volatile("rdrand %0" : "=r"(hw)::"cc");
    *state = mix(*state + 0x9e3779b97f4a7c15 + (hw ^ rdtsc()));
    return *state;
}

/* --- memory --- */

/* Take whole pages from the end of a region below 1 GiB, which the boot tables reach. */
static u64 *take_page(struct boot_info *bi)
{
    for (u32 i = bi->nr_regions; i-- > 0;) {
        struct mem_region *r = &bi->regions[i];
        if (r->base + r->len > GIB(1) || r->len < PAGE_SIZE)
            continue;
        u64 pa = r->base + r->len - PAGE_SIZE;
        memory_map_remove(bi, pa, PAGE_SIZE);
        u64 *page = (u64 *)(uintptr_t)pa;
        memset(page, 0, PAGE_SIZE);
        return page;
    }
    return NULL;
}

void boot_add_ram(struct boot_info *bi, u64 base, u64 len)
{
    if (base < DIRECT_LIMIT)
        memory_map_add(bi, base, min(len, DIRECT_LIMIT - base));
}

/* The table itself is free afterwards: nothing is taken before all of it is read. */
static void read_memory_map(struct boot_info *bi, const struct hvm_start_info *si)
{
    const struct hvm_memmap_entry *e = (const void *)(uintptr_t)si->memmap_paddr;
    u32 n = si->version >= 1 && e ? min(si->memmap_entries, 128u) : 0;

    for (u32 i = 0; i < n; i++)
        if (e[i].type == HVM_MEMMAP_RAM)
            boot_add_ram(bi, e[i].addr, e[i].size);
}

static void read_start_info(struct boot_info *bi, const struct hvm_start_info *si)
{
    read_memory_map(bi, si);
    bi->rsdp_pa = si->rsdp_paddr;
    bi->cmdline_pa = si->cmdline_paddr;
    if (si->nr_modules) {
        const struct hvm_modlist_entry *m = (const void *)(uintptr_t)si->modlist_paddr;
        bi->initrd_pa = m->paddr;
        bi->initrd_len = m->size;
    }
}

/* A number behind "0x", in small letters; NULL if there is none. */
static const char *read_hex(const char *at, u64 *value)
{
    if (at[0] != '0' || at[1] != 'x')
        return NULL;
    for (at += 2, *value = 0;; at++) {
        u64 digit = *at >= 'a' && *at <= 'f' ? *at - 'a' + 10ul : *at - (u64)'0';
        if (digit > 15)
            return at;
        *value = *value << 4 | digit;
    }
}

/* The first word may say where the image lies; what is there is no RAM, whatever the map says.
 * Linux has this word, anywhere: kernel-parameters.txt.  Wrong, there is no image, which is told.
 */
static void read_image_place(struct boot_info *bi)
{
    static const char word[] = "initrdmem=";
    const char *at = (const char *)(uintptr_t)bi->cmdline_pa;
    u64 base, len;

    if (!at || strncmp(at, word, sizeof(word) - 1) != 0)
        return;
    at = read_hex(at + sizeof(word) - 1, &base);
    at = at && *at == ',' ? read_hex(at + 1, &len) : NULL;
    if (!at || (*at && *at != ' ') || !IS_ALIGNED(base, PAGE_SIZE) || base >= DIRECT_LIMIT ||
        len > DIRECT_LIMIT - base)
        return;
    memory_map_remove(bi, base, len);
    bi->initrd_pa = base;
    bi->initrd_len = len;
    bi->cmdline_pa = (uintptr_t)at; /* nobody has to read past it again */
}

/* Count RAM, and take out of the map what must stay as it is. */
static void reserve_memory(struct boot_info *bi)
{
    read_image_place(bi);
    for (u32 i = 0; i < bi->nr_regions; i++) {
        bi->ram_bytes += bi->regions[i].len;
        bi->ram_end = bi->regions[i].base + bi->regions[i].len;
    }
    memory_map_remove(bi, 0, LOW_RESERVED);
    memory_map_remove(bi, bi->kernel_pa, bi->kernel_len);
    if (bi->cmdline_pa) {
        const char *text = (const char *)(uintptr_t)bi->cmdline_pa;
        memory_map_remove(bi, bi->cmdline_pa, strlen(text) + 1);
    }
    if (bi->initrd_len)
        memory_map_remove(bi, bi->initrd_pa, bi->initrd_len);
}

/* --- page tables; all addresses are physical here --- */

static u64 entry_of(const void *table)
{
    return (uintptr_t)table | table_bits;
}

/* Map [base, end) of one GiB by 2 MiB pages. */
static void map_direct_part(u64 *pd, u64 base, u64 end)
{
    for (u64 pa = ALIGN_DOWN(base, HUGE_SIZE); pa < end; pa += HUGE_SIZE)
        pd[pa >> HUGE_SHIFT & 511] = pa | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS | PTE_G | PTE_NX;
}

static bool map_direct_range(struct boot_info *bi, u64 base, u64 end, bool gib_pages)
{
    while (base < end) {
        u64 gib = base >> 30, stop = min(end, (gib + 1) << 30);
        u64 *slot = &direct_pdpt[gib];

        if (gib && gib_pages && base == gib << 30 && stop == (gib + 1) << 30) {
            *slot = base | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS | PTE_G | PTE_NX;
        } else {
            if (!*slot) {
                u64 *pd = gib ? take_page(bi) : direct_pd0;
                if (!pd)
                    return false;
                *slot = entry_of(pd) | PTE_NX;
                map_direct_part(direct_pd0, (uintptr_t)pd, (uintptr_t)pd + PAGE_SIZE);
            }
            map_direct_part((u64 *)(uintptr_t)(*slot & PTE_PA_MASK), base, stop);
        }
        base = stop;
    }
    return true;
}

/* @n entries of a lowest table for the pages from @pa on. */
static void map_pages(u64 *entries, u64 pa, u64 n, u64 bits)
{
    for (u64 i = 0; i < n; i++, pa += PAGE_SIZE)
        entries[i] = pa | bits;
}

static u64 pages_up_to(const char *label)
{
    return (u64)(label - kernel_start) >> PAGE_SHIFT;
}

/* The 2 MiB pages of the direct map that hold the image, as 4 KiB ones with the image's protection.
 */
static void split_direct_around_image(const struct boot_info *bi)
{
    u64 first = ALIGN_DOWN(bi->kernel_pa, HUGE_SIZE), *entries = direct_pt;
    u32 tables = bi->kernel_pa + bi->kernel_len > first + HUGE_SIZE ? PT_COUNT : 1;

    map_pages(entries, first, tables * ENTRIES, PTE_P | PTE_W | PTE_A | PTE_D | PTE_G | PTE_NX);
    map_pages(entries + ((bi->kernel_pa - first) >> PAGE_SHIFT), bi->kernel_pa,
              pages_up_to(kernel_rodata_end), PTE_P | PTE_A | PTE_G | PTE_NX);
    for (u32 t = 0; t < tables; t++)
        direct_pd0[(first >> HUGE_SHIFT) + t] = entry_of(direct_pt + t * ENTRIES) | PTE_NX;
}

static void map_image(const struct boot_info *bi, u64 va)
{
    u64 text = pages_up_to(kernel_text_end), rodata = pages_up_to(kernel_rodata_end);

    kernel_pml4[va >> 39 & 511] = entry_of(image_pdpt);
    image_pdpt[va >> 30 & 511] = entry_of(image_pd);
    image_pd[va >> 21 & 511] = entry_of(image_pt);
    map_pages(image_pt, bi->kernel_pa, text, PTE_P | PTE_A | PTE_G);
    map_pages(image_pt + text, bi->kernel_pa + (text << PAGE_SHIFT), rodata - text,
              PTE_P | PTE_A | PTE_G | PTE_NX);
    map_pages(image_pt + rodata, bi->kernel_pa + (rodata << PAGE_SHIFT),
              pages_up_to(kernel_end) - rodata, PTE_P | PTE_W | PTE_A | PTE_D | PTE_G | PTE_NX);
    image_pt[pages_up_to(boot_stack_guard)] = 0;
}

/* Three different top-level slots of the upper half, and places within them. */
static u64 choose_places(const struct boot_info *bi)
{
    u64 seed = (uintptr_t)bi ^ bi->ram_bytes;
    u64 direct = 256 + early_random(&seed) % 255, image, vmap;

    do
        image = 256 + early_random(&seed) % 255;
    while (image == direct);
    do
        vmap = 256 + early_random(&seed) % 255;
    while (vmap == image || vmap == direct);

    direct_map_base = 0xffff000000000000ul | direct << 39;
    vmap_base = 0xffff000000000000ul | vmap << 39;
    vmap_size = 1ul << 39;
    kernel_pml4[direct] = entry_of(direct_pdpt) | PTE_NX;
    kernel_pml4[vmap] = entry_of(vmap_pdpt) | PTE_NX;
    return 0xffff000000000000ul | image << 39 | (early_random(&seed) & 0x3ffff) << 21;
}

/* Returns the distance from where we run to where the image is mapped; the final tables are loaded.
 */
u64 pc_boot_early(const void *handed)
{
    const struct hvm_start_info *si = handed;
    struct boot_info *bi = &boot_info;
    u64 load_pa = (uintptr_t)kernel_start;
    bool gib_pages = cpuid(0x80000001, 0).edx & BIT(26);

    bi->kernel_pa = load_pa;
    bi->kernel_len = (u64)(kernel_end - kernel_start);
    if (si->magic == HVM_START_MAGIC)
        read_start_info(bi, si);
    else if (linux_boot_is_page(handed))
        linux_boot_read(bi, handed);
    reserve_memory(bi);

    u64 image_va = choose_places(bi);
    map_image(bi, image_va);
    direct_pdpt[0] = entry_of(direct_pd0) | PTE_NX;
    map_direct_part(direct_pd0, 0, MIB(1)); /* firmware tables, whatever the map says of them */
    /* tables are taken from the ends of regions, so a region may shrink, or vanish, while we look
     * at it */
    for (u32 i = 0; i < bi->nr_regions; i++) {
        struct mem_region r = bi->regions[i];
        bi->tables_failed |= !map_direct_range(bi, r.base, r.base + r.len, gib_pages);
    }
    if (bi->initrd_len)
        map_direct_range(bi, bi->initrd_pa, bi->initrd_pa + bi->initrd_len, gib_pages);
    split_direct_around_image(bi);

    kernel_pml4[0] = boot_pml4[0];
    plat_relocate(load_pa - LINK_BASE, image_va - LINK_BASE, 0, UINT64_MAX);
    __asm__ volatile("mov %0, %%cr3" ::"r"(kernel_pml4) : "memory");
    return image_va - load_pa;
}

u64 pc_boot_page(void)
{
    struct boot_info *bi = &boot_info;

    for (u32 i = bi->nr_regions; i-- > 0;) {
        struct mem_region *r = &bi->regions[i];
        u64 pa = r->base + r->len - PAGE_SIZE;
        memory_map_remove(bi, pa, PAGE_SIZE);
        memset(phys_to_virt(pa), 0, PAGE_SIZE);
        return pa;
    }
    fatal_error("out of memory for page tables");
}

_Noreturn void pc_boot_high(void)
{
    kernel_pml4[0] = 0; /* the lower half is the program's */
    __asm__ volatile("mov %0, %%cr3" ::"r"(image_to_phys(kernel_pml4)) : "memory");
    if (boot_info.cmdline_pa)
        boot_info.cmdline = phys_to_virt(boot_info.cmdline_pa);
    else
        boot_info.cmdline = "";
    if (boot_info.initrd_len)
        unfold_initrd(&boot_info);
    boot_info.nr_cpus = 1;
    vdso_data.base_tsc = rdtsc();
    pc_boot_cpu_init();
    kernel_main();
}
