/* The first stack of a program (System V ABI for x86-64, 3.4.1): strings at the top, below them the
 * auxiliary vector, the pointers to environment and arguments, and argc at a 16-aligned address. */
#include "abi/auxv.h"
#include "abi/errno.h"
#include "core/random.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sys/exec_priv.h"

enum {
    STRING_MAX = 128 << 10, /* one string, as Linux */
    STRINGS_MAX = 2 << 20,  /* all of them with their pointers: a quarter of the usual stack */
};

static int add_length(char *const *list, u32 count, u64 *total)
{
    for (u32 i = 0; i < count; i++) {
        size_t len = strlen(list[i]) + 1;
        if (len > STRING_MAX)
            return -E2BIG;
        *total += len;
        if (*total + (i + 1) * sizeof(u64) > STRINGS_MAX)
            return -E2BIG;
    }
    return 0;
}

/* Copy the strings to *@at on and their addresses to @pointers. */
static int put_strings(char *const *list, u32 count, u64 *at, u64 *pointers)
{
    for (u32 i = 0; i < count; i++) {
        size_t len = strlen(list[i]) + 1;
        int err = copy_to_user(*at, list[i], len);
        if (err)
            return err;
        pointers[i] = *at;
        *at += len;
    }
    pointers[count] = 0;
    return 0;
}

struct words {
    u64 *word;
    u32 count;
};

static void put_aux(struct words *w, u64 type, u64 value)
{
    w->word[w->count++] = type;
    w->word[w->count++] = value;
}

static int put_string_below(u64 *at, const void *bytes, size_t len)
{
    *at -= len;
    return copy_to_user(*at, bytes, len);
}

/* The strings, from the top down: the program's name, environment and arguments (which lie one
 * behind the other, as /proc/self/cmdline and setproctitle expect), platform, random bytes. */
static int put_all_strings(const struct exec_args *args, struct exec_stack *s, u64 total,
                           u64 *pointers, struct words *aux)
{
    static const char platform[] = "x86_64";
    u8 random[16];
    u64 at = s->top - 8, execfn;

    int err = put_string_below(&at, s->execfn, strlen(s->execfn) + 1);
    execfn = at;
    s->arg_start = at = at - total;
    if (!err)
        err = put_strings(args->argv, args->argc, &at, pointers);
    s->arg_end = s->env_start = at;
    if (!err)
        err = put_strings(args->envp, args->envc, &at, pointers + args->argc + 1);
    s->env_end = at;
    at = s->arg_start;
    if (!err)
        err = put_string_below(&at, platform, sizeof(platform));
    put_aux(aux, AT_PLATFORM, at);
    random_bytes(random, sizeof(random));
    if (!err)
        err = put_string_below(&at, random, sizeof(random));
    put_aux(aux, AT_RANDOM, at);
    put_aux(aux, AT_EXECFN, execfn);
    put_aux(aux, AT_NULL, 0);
    s->sp = at;
    return err;
}

/* argc, the pointers and the auxiliary vector, so that argc is 16-aligned. */
static int put_vectors(const struct exec_args *args, struct exec_stack *s, const u64 *pointers)
{
    u64 argc = args->argc;
    u64 nr_pointers = (u64)args->argc + 1 + args->envc + 1;

    s->sp = ALIGN_DOWN(s->sp - (1 + nr_pointers + s->nr_full) * 8, 16);
    int err = copy_to_user(s->sp, &argc, 8);
    if (!err)
        err = copy_to_user(s->sp + 8, pointers, nr_pointers * 8);
    if (!err)
        err = copy_to_user(s->sp + 8 + nr_pointers * 8, s->full_auxv, s->nr_full * 8);
    return err;
}

int exec_build_stack(const struct exec_args *args, struct exec_stack *s)
{
    u64 total = 0;
    int err = add_length(args->argv, args->argc, &total);

    if (!err)
        err = add_length(args->envp, args->envc, &total);
    if (err || strlen(s->execfn) >= STRING_MAX)
        return -E2BIG;
    u64 *pointers = kcalloc((size_t)args->argc + args->envc + 2, sizeof(u64));
    if (!pointers)
        return -ENOMEM;
    struct words aux = {s->full_auxv, s->nr_auxv};
    memcpy(s->full_auxv, s->auxv, s->nr_auxv * sizeof(u64));
    err = put_all_strings(args, s, total, pointers, &aux);
    s->nr_full = aux.count;
    if (!err)
        err = put_vectors(args, s, pointers);
    kfree(pointers);
    return err;
}
