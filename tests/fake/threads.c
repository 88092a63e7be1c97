#include "fake/threads.h"

#include <stdio.h>
#include <stdlib.h>

#include "abi/errno.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "arch/sigframe.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/time.h"
#include "fake/fault.h"
#include "fake/fiber.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/lock.h"
#include "mm/uaccess.h"
#include "sched/sched_priv.h"

static struct cpu cpu0;
static u64 now_ns = NSEC_PER_SEC, armed_ns = TIME_NEVER;
static uaddr_t alias_a, alias_b;

struct cpu *cpus[MAX_CPUS] = {&cpu0};
bool programs_stopped;
u32 cpu_count = 1;
u64 cpus_online = 1;
int machine_ended = -1;
int machine_delivered[16], machine_nr_delivered;

/* ---- plat and core ---- */

static void pass_time(u64 to)
{
    now_ns = max(now_ns, to);
    if (armed_ns <= now_ns) {
        armed_ns = TIME_NEVER;
        irq_pend(PEND_TIMER);
    }
}

static void fake_timer_arm(u64 deadline_ns)
{
    armed_ns = deadline_ns;
    pass_time(now_ns);
}

static void fake_cpu_idle(void)
{
    if (armed_ns == TIME_NEVER) {
        fprintf(stderr, "all threads sleep for ever\n");
        abort();
    }
    pass_time(armed_ns);
}

struct boot_info boot_info = {.ram_bytes = 64 << 20};
struct plat_ops plat = {.timer_arm = fake_timer_arm, .cpu_idle = fake_cpu_idle};

u64 time_ns(void)
{
    now_ns += 50; /* reading it takes time */
    return now_ns;
}

u64 time_real_ns(void)
{
    return time_ns() + 1000 * NSEC_PER_SEC;
}

void log_raw(const char *fmt, ...)
{
    (void)fmt;
}

void log_print(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

void spin_lock_slow(struct spinlock *l)
{
    (void)l;
    fprintf(stderr, "deadlock: a spinlock is taken twice\n");
    abort();
}

void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
    abort();
}

void panic(const char *fmt, ...)
{
    fprintf(stderr, "panic: %s\n", fmt);
    abort();
}

void vm_end(enum vm_end_kind kind, int value)
{
    machine_ended = (int)kind << 8 | value;
    sched_exit(false);
}

/* ---- memory ---- */

void *kmalloc(size_t size)
{
    return fault_point(-ENOMEM, "kmalloc") ? NULL : malloc(size);
}

void *kzalloc(size_t size)
{
    return fault_point(-ENOMEM, "kzalloc") ? NULL : calloc(1, size);
}

void *kcalloc(size_t n, size_t size)
{
    return fault_point(-ENOMEM, "kcalloc") ? NULL : calloc(n, size);
}

void kfree(const void *ptr)
{
    free((void *)(uintptr_t)ptr);
}

void *kstack_alloc(void)
{
    return fault_point(-ENOMEM, "kstack_alloc") ? NULL : aligned_alloc(64, KSTACK_SIZE);
}

void kstack_free(void *stack)
{
    free(stack);
}

void mm_set_lock_hooks(const struct mm_lock_hooks *hooks)
{
    (void)hooks;
}

void mm_switch(struct mm *mm)
{
    cpu0.mm = mm;
}

void mm_get(struct mm *mm)
{
    (void)mm;
}

u32 mm_users(const struct mm *mm)
{
    (void)mm;
    return 1;
}

u64 mm_peak_pages(const struct mm *mm)
{
    (void)mm;
    return 0;
}

void mm_put(struct mm *mm)
{
    (void)mm;
}

u64 mm_shown_pc(struct mm *mm, u64 pc)
{
    (void)mm;
    return pc;
}

bool mm_shared_page(struct mm *mm, u64 addr, paddr_t *pa)
{
    (void)mm;
    if (addr != alias_a && addr != alias_b)
        return false;
    *pa = 0x1000;
    return true;
}

void machine_alias(const void *a, const void *b)
{
    alias_a = (uaddr_t)(uintptr_t)a;
    alias_b = (uaddr_t)(uintptr_t)b;
}

static bool readable(uaddr_t addr)
{
    return addr >= 4096;
}

int copy_from_user(void *dst, uaddr_t src, size_t n)
{
    if (!readable(src))
        return -EFAULT;
    memcpy(dst, (void *)(uintptr_t)src, n);
    return 0;
}

int copy_to_user(uaddr_t dst, const void *src, size_t n)
{
    if (!readable(dst))
        return -EFAULT;
    memcpy((void *)(uintptr_t)dst, src, n);
    return 0;
}

int user_load32(uaddr_t addr, u32 *out)
{
    return copy_from_user(out, addr, sizeof(*out));
}

int user_cmpxchg32(uaddr_t addr, u32 expected, u32 desired, u32 *seen)
{
    u32 *word = (u32 *)(uintptr_t)addr;
    if (!readable(addr))
        return -EFAULT;
    *seen = *word;
    if (*word == expected)
        *word = desired;
    return 0;
}

/* ---- arch: threads are fibers ---- */

void arch_thread_init(struct arch_thread *t, void *stack_top, void (*entry)(void *), void *arg)
{
    static struct { /* a recycled thread has its stack again: its old fiber can go */
        void *stack_top;
        struct fiber *fiber;
    } used[64];
    size_t i = 0;
    while (used[i].stack_top && used[i].stack_top != stack_top)
        i++;
    if (used[i].fiber)
        fiber_destroy(used[i].fiber);
    used[i].stack_top = stack_top;
    used[i].fiber = fiber_create(entry, arg);
    t->rsp = (u64)(uintptr_t)used[i].fiber;
}

static struct fiber *fiber_of(struct arch_thread *t)
{
    if (!t->rsp)
        t->rsp = (u64)(uintptr_t)fiber_main();
    return (struct fiber *)(uintptr_t)t->rsp;
}

void arch_switch(struct arch_thread *prev, struct arch_thread *next)
{
    fiber_switch(fiber_of(prev), fiber_of(next));
}

void arch_enter_program(struct trap_frame *frame)
{
    program_exit_work(frame);
    ((void (*)(void))(uintptr_t)frame->rip)();
    thread_exit();
}

size_t arch_vector_size(void)
{
    return 64;
}

void arch_vector_init(void *area)
{
    memset(area, 0, 64);
}

void arch_vector_copy_current(void *area)
{
    memset(area, 0, 64);
}

u64 arch_get_fs(void)
{
    return 0;
}

int arch_sigframe_push(struct trap_frame *frame, const struct sigframe_args *args)
{
    (void)frame;
    if (args->action->handler == SIG_IGN + 1)
        return -EFAULT; /* a handler that cannot be run */
    machine_delivered[machine_nr_delivered++ % 16] = args->sig;
    return 0;
}

int arch_sigframe_pop(struct trap_frame *frame, sigset64_t *mask, struct sigaltstack64 *stack)
{
    (void)frame, (void)mask, (void)stack;
    return -EFAULT;
}

bool profiling;

void profile_take(const struct trap_frame *frame)
{
    (void)frame;
}

bool core_dump(int sig, const struct siginfo64 *info, const struct trap_frame *frame)
{
    (void)sig, (void)info, (void)frame;
    return false;
}

void crash_report(int sig, const struct siginfo64 *info, const struct trap_frame *frame)
{
    (void)sig, (void)info, (void)frame;
}

/* ---- the machine ---- */

void machine_start(void)
{
    fiber_set_gs(&cpu0);
    cpu0.arch.self = &cpu0.arch;
    cpu0.timer_armed_ns = TIME_NEVER;
    timers_init();
    sched_init();
    struct process *p = process_create();
    if (!p)
        abort();
    current->process = p;
    current->tid = 1000;
}

struct thread *machine_thread(void (*fn)(void))
{
    struct trap_frame frame = {.rip = (u64)(uintptr_t)fn, .orig_rax = (u64)-1};
    struct thread *t;
    if (thread_create(current->process, &frame, &t))
        return NULL;
    thread_start(t);
    return t;
}

void machine_advance(u64 ns)
{
    pass_time(now_ns + ns);
    sched_point();
}

void machine_settle(void)
{
    while (cpu0.rq->nr_queued)
        thread_yield();
}
