#include "fake/fiber.h"

#include <asm/prctl.h>
#include <sanitizer/common_interface_defs.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK_SIZE = 256 * 1024 };

struct fiber {
    ucontext_t context;
    void (*fn)(void *);
    void *arg;
    void *stack;
    const void *bottom; /* as the sanitizer knows it */
    size_t size;
    void *fake_stack;
};

static struct fiber *leaving; /* whom the switch under way comes from */

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void arrived(struct fiber *self)
{
    __sanitizer_finish_switch_fiber(self->fake_stack, &leaving->bottom, &leaving->size);
}

static void start(unsigned low, unsigned high)
{
    struct fiber *f = (struct fiber *)((uintptr_t)high << 32 | low);
    arrived(f);
    f->fn(f->arg);
    abort();
}

struct fiber *fiber_create(void (*fn)(void *), void *arg)
{
    struct fiber *f = must(calloc(1, sizeof(*f)));
    f->fn = fn;
    f->arg = arg;
    f->stack = must(malloc(STACK_SIZE));
    f->bottom = f->stack;
    f->size = STACK_SIZE;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&f->context, (void (*)(void))start, 2, (unsigned)(uintptr_t)f,
                (unsigned)((uintptr_t)f >> 32));
    return f;
}

struct fiber *fiber_main(void)
{
    return must(calloc(1, sizeof(struct fiber)));
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
    leaving = from;
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
    swapcontext(&from->context, &to->context);
    arrived(from);
}

void fiber_destroy(struct fiber *f)
{
    free(f->stack);
    free(f);
}

void fiber_set_gs(void *base)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, base))
        abort();
}
