#include "fake/machine.h"

#include <asm/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/uaccess.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "core/random.h"
#include "core/spinlock.h"
#include "fake/fault.h"
#include "mm/mm.h"
#include "mm/mm_priv.h"
#include "mm/page_priv.h"

enum { ARENA = 256 << 20, SLOTS = 1 << 16 };

struct plat_ops plat;
struct boot_info boot_info;
u64 direct_map_base, vmap_base = 1ull << 40, vmap_size = 1ull << 36;
char kernel_start[1];
char percpu_reads;
struct cpu *cpus[MAX_CPUS];
u32 cpu_count = 1;
u64 cpus_online = 1;

static struct cpu cpu;
static struct page_cpu page_lists;

/* A leaf of a page table; .size 0: the slot is free, 1: it was. */
struct leaf {
    struct plat_as *as;
    u64 va, pa, size;
    u32 prot;
};
static struct leaf leaves[SLOTS];
static u64 mapped;

static struct leaf *leaf_slot(struct plat_as *as, u64 va, u64 size)
{
    struct leaf *grave = NULL;

    for (u32 i = 0, h = (u32)(va >> 12) * 2654435761u; i < SLOTS; i++) {
        struct leaf *leaf = &leaves[(h + i) % SLOTS];
        if (leaf->size > 1 && leaf->as == as && leaf->va == va && leaf->size == size)
            return leaf;
        if (leaf->size == 1 && !grave)
            grave = leaf;
        if (!leaf->size)
            return grave ? grave : leaf;
    }
    abort();
}

static struct leaf *leaf_find(struct plat_as *as, u64 va)
{
    struct leaf *leaf = leaf_slot(as, va & ~PAGE_MASK, PAGE_SIZE);

    if (leaf->size < 2)
        leaf = leaf_slot(as, va & ~(HUGE_SIZE - 1), HUGE_SIZE);
    return leaf->size < 2 ? NULL : leaf;
}

static void leaf_set(struct plat_as *as, u64 va, u64 pa, u64 size, u32 prot)
{
    struct leaf *leaf = leaf_slot(as, va, size);

    mapped += size >> PAGE_SHIFT;
    *leaf = (struct leaf){as, va, pa, size, prot | (prot & PLAT_WRITE ? PLAT_DIRTY : 0)};
}

static void leaf_clear(struct leaf *leaf)
{
    mapped -= leaf->size >> PAGE_SHIFT;
    leaf->size = 1;
}

static int leaf_split(struct plat_as *as, u64 va)
{
    struct leaf *leaf = leaf_find(as, va);

    if (!leaf || leaf->size != HUGE_SIZE || leaf->va == va)
        return 0;
    int err = fault_point(-12, "splitting a 2 MiB page");
    if (err)
        return err;
    struct leaf old = *leaf;
    leaf_clear(leaf);
    for (u64 at = 0; at < HUGE_SIZE; at += PAGE_SIZE)
        leaf_set(as, old.va + at, old.pa + at, PAGE_SIZE, old.prot);
    return 0;
}

static int split_ends(struct plat_as *as, u64 va, u64 len)
{
    int err = leaf_split(as, va);

    return err ? err : leaf_split(as, va + len);
}

static int fake_as_create(struct plat_as *as)
{
    as->root = 1;
    return fault_point(-12, "creating an address space");
}

static void fake_as_destroy(struct plat_as *as, plat_gone_fn gone, void *arg)
{
    for (u32 i = 0; i < SLOTS && mapped; i++) {
        struct leaf leaf = leaves[i];
        if (leaf.size < 2 || leaf.as != as)
            continue;
        leaf_clear(&leaves[i]);
        if (!(leaf.prot & PLAT_STATIC))
            gone(arg, 0, leaf.pa, leaf.size, 0);
    }
    as->root = 0;
}

static void fake_as_switch(struct plat_as *as)
{
    (void)as;
}

static int fake_map_page(struct plat_as *as, u64 va, u64 pa, u32 prot)
{
    int err = fault_point(-12, "a page table");

    if (err)
        return err;
    if (leaf_find(as, va))
        return -17;
    leaf_set(as, va, pa, PAGE_SIZE, prot);
    return 0;
}

static u32 fake_map_around(struct plat_as *as, u64 va, u64 pa, u32 n, u32 prot)
{
    u32 done = 0;

    for (u32 i = 0; i < n; i++)
        if (!leaf_find(as, va + i * PAGE_SIZE)) {
            leaf_set(as, va + i * PAGE_SIZE, pa + i * PAGE_SIZE, PAGE_SIZE, prot);
            done |= 1u << i;
        }
    return done;
}

static int fake_map(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot)
{
    while (len) {
        bool huge = !((va | pa) & (HUGE_SIZE - 1)) && len >= HUGE_SIZE;
        u64 size = huge ? HUGE_SIZE : PAGE_SIZE;
        if (leaf_find(as, va))
            abort();
        leaf_set(as, va, pa, size, prot);
        va += size, pa += size, len -= size;
    }
    return 0;
}

static int fake_replace(struct plat_as *as, u64 va, u64 pa, u32 prot)
{
    int err = split_ends(as, va, PAGE_SIZE);
    struct leaf *leaf = leaf_find(as, va);

    if (err)
        return err;
    if (leaf && leaf->size == HUGE_SIZE) { /* @va is its very start */
        leaf_split(as, va + PAGE_SIZE);
        leaf = leaf_find(as, va);
    }
    if (leaf)
        leaf_clear(leaf);
    leaf_set(as, va, pa, PAGE_SIZE, prot);
    return 0;
}

static int fake_unmap(struct plat_as *as, u64 va, u64 len, plat_gone_fn gone, void *arg)
{
    int err = split_ends(as, va, len);

    for (u64 at = va; at < va + len && !err;) {
        struct leaf *leaf = leaf_find(as, at);
        if (!leaf) {
            at += PAGE_SIZE;
            continue;
        }
        struct leaf old = *leaf;
        leaf_clear(leaf);
        at = old.va + old.size;
        if (gone)
            gone(arg, old.va, old.pa, old.size, old.prot | (old.size == HUGE_SIZE ? PLAT_HUGE : 0));
    }
    return err;
}

static int fake_protect(struct plat_as *as, u64 va, u64 len, u32 prot)
{
    int err = split_ends(as, va, len);

    for (u64 at = va; at < va + len && !err; at += PAGE_SIZE) {
        struct leaf *leaf = leaf_find(as, at);
        if (leaf)
            leaf->prot = (leaf->prot & (PLAT_ACCESSED | PLAT_DIRTY)) | prot;
    }
    return err;
}

static bool fake_query(struct plat_as *as, u64 va, u64 *pa, u32 *prot)
{
    const struct leaf *leaf = leaf_find(as, va);

    if (!leaf)
        return false;
    if (pa)
        *pa = leaf->pa + (va - leaf->va);
    if (prot)
        *prot = leaf->prot | (leaf->size == HUGE_SIZE ? PLAT_HUGE : 0);
    return true;
}

static void fake_clear_marks(struct plat_as *as, u64 va, u64 len)
{
    for (u64 at = va; at < va + len; at += PAGE_SIZE) {
        struct leaf *leaf = leaf_find(as, at);
        if (leaf)
            leaf->prot &= ~(u32)(PLAT_ACCESSED | PLAT_DIRTY);
    }
}

static int fake_move(struct plat_as *as, u64 from, u64 to, u64 len)
{
    int err = split_ends(as, from, len);

    for (u64 at = 0; at < len && !err; at += PAGE_SIZE) {
        struct leaf *leaf = leaf_find(as, from + at);
        if (!leaf)
            continue;
        if (leaf->size == HUGE_SIZE) {
            leaf_split(as, from + at + PAGE_SIZE);
            leaf = leaf_find(as, from + at);
        }
        struct leaf old = *leaf;
        if (leaf_find(as, to + at))
            abort();
        leaf_clear(leaf);
        leaf_set(as, to + at, old.pa, PAGE_SIZE, old.prot);
    }
    return err;
}

static int fake_kernel_map(u64 va, u64 pa, u64 len, u32 prot)
{
    (void)va, (void)pa, (void)len, (void)prot;
    return fault_point(-12, "kernel page tables");
}

static void fake_kernel_unmap(const u64 *starts, u32 n, u64 len)
{
    (void)starts, (void)n, (void)len;
}

u32 machine_before_array;

int machine_create(const struct mem_region *regions, u32 nr_regions)
{
    /* The call itself: <sys/mman.h> has the same names as abi/mman.h. */
    long at = syscall(SYS_mmap, 1ull << 45, ARENA, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (at != 1l << 45)
        abort();
    void *arena = (void *)at;
    memset(arena, 0xa5, MIB(1)); /* what was never given out must not be read */
    direct_map_base = (u64)(uintptr_t)arena;
    cpu.arch.self = &cpu.arch;
    cpus[0] = &cpu;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu);

    plat = (struct plat_ops){
        .as_create = fake_as_create,
        .as_destroy = fake_as_destroy,
        .as_switch = fake_as_switch,
        .map_page = fake_map_page,
        .map_around = fake_map_around,
        .map = fake_map,
        .replace = fake_replace,
        .unmap = fake_unmap,
        .protect = fake_protect,
        .query = fake_query,
        .clear_marks = fake_clear_marks,
        .move = fake_move,
        .kernel_map = fake_kernel_map,
        .kernel_unmap = fake_kernel_unmap,
    };
    boot_info.kernel_pa = 1ull << 40; /* not RAM */
    boot_info.ram_bytes = 0;
    for (u32 i = 0; i < nr_regions; i++)
        boot_info.ram_bytes += regions[i].len;
    page_init_cpu(&page_lists);
    return page_init(regions, nr_regions, machine_before_array);
}

u64 machine_mapped(void)
{
    return mapped;
}

void *machine_touch(u64 va, bool write)
{
    struct mm *mm = mm_current();
    int code;

    for (int tries = 0; tries < 4; tries++) {
        u64 pa;
        u32 prot;
        if (fake_query(&mm->as, va, &pa, &prot) && (prot & PLAT_READ) &&
            (!write || (prot & PLAT_WRITE))) {
            struct leaf *leaf = leaf_find(&mm->as, va);
            leaf->prot |= PLAT_ACCESSED | (write ? PLAT_DIRTY : 0);
            return pa >> 40 ? kernel_start + (pa - (1ull << 40)) : phys_to_virt(pa);
        }
        if (mm_fault(mm, va, write ? ACCESS_WRITE : ACCESS_READ, &code))
            return NULL;
    }
    abort();
}

u64 machine_random(void)
{
    static u64 state = 88172645463325252ull;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

u64 random_u64(void)
{
    return machine_random();
}

u64 random_below(u64 limit)
{
    return machine_random() % limit;
}

/* ---- copies ---- */

static bool is_user(const void *p)
{
    return (u64)(uintptr_t)p < FAKE_USER_END;
}

/* As memcpy in pieces that lie in one page. */
static size_t copy_pieces(char *dst, const char *src, size_t n, bool zero)
{
    while (n) {
        u64 from = (u64)(uintptr_t)src, to = (u64)(uintptr_t)dst;
        size_t part = n;
        if (!zero && is_user(src))
            part = min(part, PAGE_SIZE - (from & PAGE_MASK));
        if (is_user(dst))
            part = min(part, PAGE_SIZE - (to & PAGE_MASK));
        char *d = is_user(dst) ? machine_touch(to, true) : dst;
        const char *s = !zero && is_user(src) ? machine_touch(from, false) : src;
        if (!d || (!zero && !s))
            return n;
        if (zero)
            memset(d, 0, part);
        else
            memcpy(d, s, part);
        dst += part;
        src += zero ? 0 : part;
        n -= part;
    }
    return 0;
}

size_t arch_copy_user(void *dst, const void *src, size_t n)
{
    return copy_pieces(dst, src, n, false);
}

size_t arch_copy_user_bulk(void *dst, const void *src, size_t n)
{
    return arch_copy_user(dst, src, n);
}

size_t arch_clear_user(void *dst, size_t n)
{
    return copy_pieces(dst, NULL, n, true);
}

ssize_t arch_strncpy_user(char *dst, const char *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (copy_pieces(dst + i, src + i, 1, false))
            return -14;
        if (!dst[i])
            return (ssize_t)i;
    }
    return (ssize_t)n;
}

int arch_user_load32(const u32 *addr, u32 *value)
{
    return copy_pieces((char *)value, (const char *)addr, 4, false) ? -14 : 0;
}

int arch_user_cmpxchg32(u32 *addr, u32 *old, u32 new)
{
    u32 now;

    if (arch_user_load32(addr, &now))
        return -14;
    if (now != *old) {
        *old = now;
        return -11;
    }
    return copy_pieces((char *)addr, (const char *)&new, 4, false) ? -14 : 0;
}

/* ---- the end ---- */

void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "assertion failed: %s (%s:%d)\n", what, file, line);
    abort();
}

void panic(const char *fmt, ...)
{
    fprintf(stderr, "panic: %s\n", fmt);
    abort();
}

void fatal_error(const char *fmt, ...)
{
    fprintf(stderr, "fatal error: %s\n", fmt);
    abort();
}

void spin_lock_slow(struct spinlock *l)
{
    (void)l;
    fprintf(stderr, "a lock is taken twice\n");
    abort();
}
