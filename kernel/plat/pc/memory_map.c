#include "plat/pc/memory_map.h"

enum { MAX_REGIONS = ARRAY_LEN(((struct boot_info *)0)->regions) };

static void insert_at(struct boot_info *bi, u32 at, u64 base, u64 len)
{
    for (u32 i = bi->nr_regions; i > at; i--)
        bi->regions[i] = bi->regions[i - 1];
    bi->regions[at] = (struct mem_region){base, len};
    bi->nr_regions++;
}

static void delete_at(struct boot_info *bi, u32 at)
{
    bi->nr_regions--;
    for (u32 i = at; i < bi->nr_regions; i++)
        bi->regions[i] = bi->regions[i + 1];
}

/* Let region @at swallow the ones behind it that it overlaps or touches. */
static void merge_at(struct boot_info *bi, u32 at)
{
    struct mem_region *r = &bi->regions[at];

    while (at + 1 < bi->nr_regions) {
        struct mem_region *next = r + 1;
        if (next->base > r->base + r->len)
            return;
        u64 end = max(r->base + r->len, next->base + next->len);
        r->len = end - r->base;
        delete_at(bi, at + 1);
    }
}

void memory_map_add(struct boot_info *bi, u64 base, u64 len)
{
    u64 end;

    if (__builtin_add_overflow(base, len, &end) || end > (1ul << 52))
        return;
    base = ALIGN_UP(base, PAGE_SIZE);
    end = ALIGN_DOWN(end, PAGE_SIZE);
    if (base >= end || bi->nr_regions == MAX_REGIONS)
        return;

    u32 at = 0;
    while (at < bi->nr_regions && bi->regions[at].base <= base)
        at++;
    insert_at(bi, at, base, end - base);
    merge_at(bi, at ? at - 1 : 0);
    if (at && at < bi->nr_regions)
        merge_at(bi, at);
}

void memory_map_remove(struct boot_info *bi, u64 base, u64 len)
{
    u64 end;

    if (__builtin_add_overflow(base, len, &end))
        end = ALIGN_DOWN(UINT64_MAX, PAGE_SIZE);
    else
        end = end > ALIGN_DOWN(UINT64_MAX, PAGE_SIZE) ? end : ALIGN_UP(end, PAGE_SIZE);
    base = ALIGN_DOWN(base, PAGE_SIZE);

    for (u32 i = 0; i < bi->nr_regions;) {
        struct mem_region *r = &bi->regions[i];
        u64 r_end = r->base + r->len;
        if (r_end <= base || r->base >= end || !len) {
            i++;
        } else if (r->base >= base && r_end <= end) {
            delete_at(bi, i);
        } else if (r->base < base && r_end > end) {
            r->len = base - r->base;
            if (bi->nr_regions < MAX_REGIONS)
                insert_at(bi, i + 1, end, r_end - end);
            return;
        } else if (r->base < base) {
            r->len = base - r->base;
            i++;
        } else {
            *r = (struct mem_region){end, r_end - end};
            i++;
        }
    }
}
