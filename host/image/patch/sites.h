/* The system-call instructions of an object, and its `cpuid`s, and for each how it can become a
 * jump.
 *
 * A jump needs five bytes, `syscall` and `cpuid` have two.  SITE_BEFORE puts the jump over an
 * instruction of at least five bytes that comes before and leaves the rest as it is: whoever jumps
 * in behind it still finds working code.  SITE_AFTER puts it over the `syscall` itself and what
 * follows; nothing else may lead there.  What fits neither stays an instruction, which works as
 * well and costs more. */
#pragma once

#include "image/patch/disasm.h"
#include "image/patch/ranges.h"

enum site_kind { SITE_LEFT, SITE_BEFORE, SITE_AFTER };

enum { SITE_JUMP_LEN = 5, SITE_RT_SIGRETURN = 15, SITE_NUMBERS_MAX = 4 };

struct site {
    enum site_kind kind;
    bool cpuid;     /* else a `syscall` */
    bool returns;   /* SITE_AFTER: the last instruction does not go on behind itself */
    u64 addr;       /* of the instruction */
    u64 from, to;   /* others that move to the stub, without it; whole ones */
    u64 clear;      /* no jump may lead between the first byte of the jump and here */
    u32 nr_numbers; /* the call has one of so many numbers; 0: any */
    u32 numbers[SITE_NUMBERS_MAX];
};

struct sites {
    struct site *at; /* by .addr; owned */
    size_t len, cap;
};

/** Find them all.  disasm_open() has been called. */
void sites_find(const struct object *o, const struct code_ranges *ranges, struct sites *out);

/** Free it; fit for CLEANUP. */
void sites_free(struct sites *sites);

/** Where the jump of a patched site goes. */
static inline u64 site_jump(const struct site *site)
{
    return site->kind == SITE_BEFORE ? site->from : site->addr;
}

/** targets.c: leave as they are all sites with something in the object that leads into the middle
 * of their jump: a branch or an address in any code, a pointer in data, a relocation. */
void sites_check_targets(const struct object *o, struct sites *sites);

/** targets.c: call @fn for each entry of a table of 32-bit offsets to code of @range (a switch). */
void targets_of_table(const struct object *o, const struct code_range *range, u64 table,
                      void (*fn)(void *arg, u64 target), void *arg);
