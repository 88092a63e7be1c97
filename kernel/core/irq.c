#include "core/irq.h"

#include "abi/errno.h"
#include "core/panic.h"
#include "core/spinlock.h"
#include "plat/plat.h"

enum { MAX_HANDLERS = 64 };

struct handler {
    irq_handler fn;
    void *arg;
    struct handler *next; /* on the same line */
};

/* [L] under .lock; those of a line are read without it, and stay. */
static struct spinlock lock = SPINLOCK_INIT;
static struct handler handlers[MAX_HANDLERS];
static struct handler *lines[PEND_LINES];
static u32 nr_handlers;

static struct handler *add_handler(u32 line, irq_handler fn, void *arg)
{
    struct handler *h = NULL;

    spin_lock(&lock);
    if (nr_handlers < MAX_HANDLERS) {
        h = &handlers[nr_handlers++];
        *h = (struct handler){fn, arg, lines[line]};
        __atomic_store_n(&lines[line], h, __ATOMIC_RELEASE);
    }
    spin_unlock(&lock);
    return h;
}

int irq_register(irq_handler fn, void *arg)
{
    static u32 next;
    u32 turn = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
    u32 line = PEND_DEVICE + turn % (PEND_LINES - PEND_DEVICE);

    return add_handler(line, fn, arg) ? (int)line : -ENOSPC;
}

void irq_set_handler(u32 line, irq_handler fn, void *arg)
{
    bool added = add_handler(line, fn, arg);
    assert(added);
}

void irq_run_pending(void)
{
    u32 *pending = &this_cpu()->arch.pending;
    u32 bits;

#ifdef INGOT_DEBUG
    lock_check_safe_point();
#endif
    while ((bits = __atomic_exchange_n(pending, 0, __ATOMIC_SEQ_CST)))
        for (; bits; bits &= bits - 1)
            for (struct handler *h = lines[__builtin_ctz(bits)]; h; h = h->next)
                h->fn(h->arg);
}

void irq_pend_on(struct cpu *cpu, u32 line)
{
    __atomic_fetch_or(&cpu->arch.pending, 1u << line, __ATOMIC_SEQ_CST);
    if (cpu != this_cpu())
        plat.cpu_kick(cpu);
}
