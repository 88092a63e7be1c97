#include "plat/pc/unfold.h"

#include "abi/fold.h"
#include "lib/string.h"
#include "plat/pc/absolute.h"
#include "plat/pc/memory_map.h"

/* Where the parts of a folded image lie, and what is left of each. */
struct folded {
    const u8 *runs;
    u32 nr_runs;
    u8 *literals;
    u64 nr_literals;
};

u64 unfold_size(const u8 *data, u64 len)
{
    struct fold_header head;

    if (len < sizeof(head))
        return 0;
    memcpy(&head, data, sizeof(head));
    if (head.magic != FOLD_MAGIC || head.size > FOLD_LIMIT || head.size % PAGE_SIZE)
        return 0;
    u64 before = sizeof(head) + (u64)head.nr_runs * sizeof(struct fold_run);
    return before <= len && head.literals <= len - before ? head.size : 0;
}

static bool unfold_parts(struct folded *from, u8 *out, u64 size)
{
    u64 at = 0;

    for (u32 i = 0; i < from->nr_runs; i++) {
        struct fold_run run;
        memcpy(&run, from->runs + i * sizeof(run), sizeof(run));
        if (run.literals > from->nr_literals || run.literals > size - at)
            return false;
        memcpy(out + at, from->literals, run.literals);
        from->literals += run.literals;
        from->nr_literals -= run.literals;
        at += run.literals;
        if (run.copy > size - at || run.back > at || run.copy > run.back)
            return false;
        memcpy(out + at, out + at - run.back, run.copy);
        at += run.copy;
    }
    return at == size && !from->nr_literals;
}

static bool absolute_is_within(const struct absolute_form *form, u32 literals)
{
    return form->begin <= form->end && (form->end - form->begin) % ABSOLUTE_BLOCK == 0 &&
           form->end < literals && literals - form->end >= sizeof(u32);
}

bool unfold(u8 *data, u64 len, u8 *out)
{
    struct fold_header head;
    u64 size = unfold_size(data, len);

    if (!size)
        return false;
    memcpy(&head, data, sizeof(head));
    u8 *runs = data + sizeof(head);
    struct folded from = {runs, head.nr_runs, runs + head.nr_runs * sizeof(struct fold_run),
                          head.literals};
    if (head.absolute.count) {
        if (!absolute_is_within(&head.absolute, head.literals))
            return false;
        absolute_undo(from.literals, &head.absolute);
    }
    return unfold_parts(&from, out, size);
}

/* @len bytes from the end of the highest region that has them; 0: none has. */
static u64 take_end(struct boot_info *bi, u64 len)
{
    for (u32 i = bi->nr_regions; i-- > 0;) {
        u64 base = bi->regions[i].base, end = base + bi->regions[i].len;
        if (end - base <= len)
            continue;
        memory_map_remove(bi, end - len, len);
        return end - len;
    }
    return 0;
}

void unfold_initrd(struct boot_info *bi)
{
    u8 *data = phys_to_virt(bi->initrd_pa);
    u64 size = unfold_size(data, bi->initrd_len);

    if (!size)
        return;
    u64 pa = take_end(bi, size);
    if (!pa) {
        bi->initrd_fault = "out of memory: it cannot be unfolded";
    } else if (!unfold(data, bi->initrd_len, phys_to_virt(pa))) {
        bi->initrd_fault = "damaged: it cannot be unfolded";
    } else {
        memory_map_add(bi, bi->initrd_pa, bi->initrd_len);
        bi->initrd_pa = pa;
        bi->initrd_len = size;
    }
}
