/* Who leads where.  All of an object is looked at, and what merely could be a reference counts as
 * one: a site too few is a little time, a jump torn in two is a crash. */
#include "image/patch/sites.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 4096 }; /* entries of a switch */

/* The site whose jump has @target in its middle, or NULL.  Sites are in order and do not overlap.
 */
static struct site *site_torn_by(struct sites *sites, u64 target)
{
    size_t low = 0, high = sites->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (site_jump(&sites->at[middle]) < target)
            low = middle + 1;
        else
            high = middle;
    }
    struct site *site = low ? &sites->at[low - 1] : NULL;
    return site && site->kind != SITE_LEFT && target < site->clear ? site : NULL;
}

static void leave(void *arg, u64 target)
{
    struct site *site = site_torn_by(arg, target);

    if (site)
        site->kind = SITE_LEFT;
}

/* Bits of addresses that a torn jump may have, so that most words are passed over quickly. */
struct near {
    u64 low, high;
    u64 *bits; /* one a 16 bytes of [low, high) */
};

static void near_fill(struct near *near, const struct sites *sites)
{
    near->low = site_jump(&sites->at[0]);
    near->high = sites->at[sites->len - 1].addr + 64;
    near->bits = mem_new(((near->high - near->low) / (16 * 64) + 1) * sizeof(u64));
    for (size_t i = 0; i < sites->len; i++) {
        const struct site *site = &sites->at[i];
        if (site->kind == SITE_LEFT)
            continue;
        for (u64 at = site_jump(site) + 1; at < site->clear; at++) {
            u64 bit = (at - near->low) / 16;
            near->bits[bit / 64] |= 1ull << bit % 64;
        }
    }
}

static bool near_has(const struct near *near, u64 addr)
{
    u64 bit = (addr - near->low) / 16;

    return addr >= near->low && addr < near->high && near->bits[bit / 64] >> bit % 64 & 1;
}

/* May the four bytes at @at be a distance: that of a jump, a call, or a `lea`?  Decoding need not
 * be right about where instructions begin. */
static bool may_be_distance(const u8 *at)
{
    enum { CALL = 0xe8, JUMP = 0xe9, CONDITIONAL = 0x0f, LEA = 0x8d };

    return at[-1] == CALL || at[-1] == JUMP || (at[-2] == CONDITIONAL && (at[-1] & 0xf0) == 0x80) ||
           (at[-2] == LEA && (at[-1] & 0xc7) == 0x05);
}

static void check_code(const struct object *o, struct sites *sites, const struct near *near)
{
    for (size_t i = 0; i < o->nr_loads; i++) {
        const Elf64_Phdr *p = &o->loads[i];
        const u8 *bytes = o->data + p->p_offset;
        for (u64 at = 2; (p->p_flags & PF_X) && at + 4 <= p->p_filesz; at++) {
            s32 distance;
            memcpy(&distance, bytes + at, sizeof(distance));
            u64 target = p->p_vaddr + at + 4 + (u64)(s64)distance;
            if (near_has(near, target) && may_be_distance(bytes + at))
                leave(sites, target);
        }
    }
}

static int compare_jumps(const void *a, const void *b)
{
    u64 x = site_jump(a), y = site_jump(b);

    return x < y ? -1 : x > y;
}

void sites_check_targets(const struct object *o, struct sites *sites)
{
    struct near near;

    if (!sites->len)
        return;
    qsort(sites->at, sites->len, sizeof(*sites->at), compare_jumps);
    near_fill(&near, sites);
    check_code(o, sites, &near);
    object_each_pointer(o, leave, sites);
    free(near.bits);
}

void targets_of_table(const struct object *o, const struct code_range *range, u64 table,
                      void (*fn)(void *arg, u64 target), void *arg)
{
    u64 left;
    const u8 *bytes = object_at(o, table, &left);

    if (!bytes || table % 4)
        return;
    for (u64 i = 0; i < TABLE_MAX && i * 4 + 4 <= left; i++) {
        s32 distance;
        memcpy(&distance, bytes + i * 4, sizeof(distance));
        u64 target = table + (u64)(s64)distance;
        if (target < range->start || target >= range->end)
            return;
        fn(arg, target);
    }
}
