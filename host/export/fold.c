/* The longest repetitions by one table of hashes, as rzip does it: of each place the last one with
 * the same next bytes is compared.  What is shorter than FOLD_LEAST is deflate's work. */
#include "export/fold.h"

#include "abi/fold.h"
#include "export/absolute.h"

#include <stdlib.h>
#include <string.h>

enum {
    FOLD_HASHED = 16, /* bytes that must be the same before it is looked at */
    FOLD_LEAST = 48,  /* bytes of a copy: a run costs some four when packed */
    FOLD_BITS = 20,   /* of the table */
};

struct folding {
    const u8 *data;
    size_t len;
    size_t done; /* all before is in runs */
    u32 *table;  /* by hash: a place, plus one */
    struct buf runs, literals;
    u32 nr_runs;
};

static u32 *fold_slot(const struct folding *f, size_t at)
{
    u64 a, b;

    memcpy(&a, f->data + at, 8);
    memcpy(&b, f->data + at + 8, 8);
    return &f->table[(a * 0x9e3779b97f4a7c15 ^ b * 0xc2b2ae3d27d4eb4f) * 0x9e3779b97f4a7c15 >>
                     (64 - FOLD_BITS)];
}

static void fold_add_run(struct folding *f, size_t literals, size_t copy, size_t back)
{
    const struct fold_run run = {(u32)literals, (u32)copy, (u32)back};

    buf_add(&f->runs, &run, sizeof(run));
    buf_add(&f->literals, f->data + f->done, literals);
    f->done += literals + copy;
    f->nr_runs++;
}

/* Copy what is the same at @from and @at, as far as it goes both ways; false: not worth it. */
static bool fold_copy(struct folding *f, size_t from, size_t at)
{
    size_t ahead = 0, behind = 0;
    size_t back = at - from;

    while (at + ahead < f->len && ahead < back && f->data[from + ahead] == f->data[at + ahead])
        ahead++;
    while (at - behind > f->done && behind < from && ahead + behind < back &&
           f->data[from - behind - 1] == f->data[at - behind - 1])
        behind++;
    if (ahead + behind < FOLD_LEAST)
        return false;
    fold_add_run(f, at - behind - f->done, ahead + behind, back);
    return true;
}

void fold(const u8 *data, size_t len, struct buf *out)
{
    struct folding f = {.data = data, .len = len};
    struct fold_header head = {.magic = FOLD_MAGIC, .size = len};

    f.table = mem_new(sizeof(u32) << FOLD_BITS);
    for (size_t at = 0; at + FOLD_HASHED <= len; at++) {
        u32 *slot = fold_slot(&f, at), from = *slot;
        *slot = (u32)at + 1;
        if (from && fold_copy(&f, from - 1, at))
            at = f.done - 1;
    }
    fold_add_run(&f, len - f.done, 0, 0);
    head.nr_runs = f.nr_runs;
    head.literals = (u32)f.literals.len;
    if (f.literals.len > FOLD_LEAST)
        absolute_make((u8 *)f.literals.data, 0, f.literals.len - sizeof(u32), f.literals.len,
                      &head.absolute);
    buf_add(out, &head, sizeof(head));
    buf_add(out, f.runs.data, f.runs.len);
    if (f.literals.len)
        buf_add(out, f.literals.data, f.literals.len);
    buf_free(&f.runs);
    buf_free(&f.literals);
    free(f.table);
}
