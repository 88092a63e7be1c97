#include "core/panic.h"

#include <stdarg.h>

#include "arch/atomic.h"
#include "arch/frame.h"
#include "arch/uaccess.h"
#include "core/log.h"
#include "core/percpu.h"
#include "lib/format.h"
#include "plat/plat.h"

enum {
    MAX_HOOKS = 8,
    MAX_FRAMES = 24,
    MESSAGE_SIZE = 256,
    MAX_STACK = 64 * 1024,
};

static void (*hooks[MAX_HOOKS])(void);
static u32 nr_hooks;
static u32 panicking; /* [A] number of the CPU that does, plus one */

static _Noreturn void halt_for_ever(void)
{
    for (;;)
        cpu_relax();
}

void vm_end_hook(void (*fn)(void))
{
    assert(nr_hooks < MAX_HOOKS);
    hooks[nr_hooks++] = fn;
}

/* One CPU ends the machine; another that wants to as well waits for that. */
static void run_hooks(void)
{
    static u32 ending; /* [A] number of the CPU that does, plus one */
    u32 own = cpu_id() + 1, first = 0;

    if (!__atomic_compare_exchange_n(&ending, &first, own, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED) &&
        first != own)
        halt_for_ever();
    while (nr_hooks)
        hooks[--nr_hooks]();
}

_Noreturn void vm_end(enum vm_end_kind kind, int value)
{
    run_hooks();
    log_raw("ingot: %s %d", kind == VM_SIGNAL ? "signal" : "exit", value);
    plat.power_off(kind);
    __builtin_unreachable();
}

_Noreturn void fatal_error(const char *fmt, ...)
{
    char text[MESSAGE_SIZE];
    va_list ap;

    va_start(ap, fmt);
    format_va(text, sizeof(text), fmt, ap);
    va_end(ap);
    run_hooks();
    log_raw("ingot: error: %s", text);
    plat.power_off(VM_ERROR);
    __builtin_unreachable();
}

static bool in_image(u64 addr)
{
    return addr - (u64)(uintptr_t)kernel_start < (u64)(kernel_text_end - kernel_start);
}

static void print_frame_line(u32 n, u64 rip)
{
    if (in_image(rip))
        log_raw("#%u kernel+%#lx", n, rip - (u64)(uintptr_t)kernel_start);
    else
        log_raw("#%u %#lx", n, rip);
}

/* Frame pointers lead up the kernel stack that we are on.  They are read as one reads a program's
 * memory, since what broke may be the stack. */
static void print_backtrace(u64 rip, u64 rbp)
{
    u64 frame[2]; /* the caller's frame pointer, and where it goes on */

    print_frame_line(0, rip);
    for (u32 n = 1; n < MAX_FRAMES; n++) {
        if (rbp < arch_kernel_base ||
            arch_copy_user(frame, (const void *)(uintptr_t)rbp, sizeof(frame)) ||
            !in_image(frame[1]))
            return;
        print_frame_line(n, frame[1]);
        if (frame[0] <= rbp || frame[0] - rbp > MAX_STACK)
            return;
        rbp = frame[0];
    }
}

static void print_registers(const struct trap_frame *f)
{
    log_raw("rip %016lx rsp %016lx rflags %08lx error %x", f->rip, f->rsp, f->rflags, f->error);
    log_raw("rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_raw("rsi %016lx rdi %016lx rbp %016lx r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
    log_raw("r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->r9, f->r10, f->r11, f->r12);
    log_raw("r13 %016lx r14 %016lx r15 %016lx", f->r13, f->r14, f->r15);
}

/* Lines that loglevel kept from the console but that may tell what led here. */
static void print_last_log(void)
{
    static char tail[1024];
    u64 end = 0, pos;
    size_t n;

    do
        n = log_read(&end, tail, sizeof(tail));
    while (n);
    pos = end > sizeof(tail) ? end - sizeof(tail) : 0;
    n = log_read(&pos, tail, sizeof(tail));
    plat.console_write("last log lines:\n", 16);
    plat.console_write(tail, n);
}

/* One CPU panics.  The others stop, wherever they are, so that what it tells is what was. */
static void claim_panic(void)
{
    u32 own = cpu_id() + 1, first = 0;
    struct cpu *cpu;

    if (!__atomic_compare_exchange_n(&panicking, &first, own, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED)) {
        if (first == own) /* a fault on the way: say the least and stop */
            plat.power_off(VM_PANIC);
        halt_for_ever();
    }
    cpu_for_each(cpu, i) {
        if (plat.cpu_stop && i != cpu_id() && cpu_is_online(i))
            plat.cpu_stop(cpu);
    }
}

void cpu_stopped(const struct trap_frame *frame)
{
    if (__atomic_load_n(&panicking, __ATOMIC_ACQUIRE))
        halt_for_ever();
    log_raw("cpu %u is at:", cpu_id());
    print_backtrace(frame->rip, frame->rbp);
}

static _Noreturn void end_in_panic(const char *text, const struct trap_frame *frame, u64 rip,
                                   u64 rbp)
{
#ifdef INGOT_DEBUG
    lock_check_off();
#endif
    claim_panic();
    print_last_log();
    log_raw("panic: %s", text);
    if (frame)
        print_registers(frame);
    print_backtrace(rip, rbp);
    log_raw("ingot: panic: %s", text);
    plat.power_off(VM_PANIC);
    __builtin_unreachable();
}

_Noreturn void panic(const char *fmt, ...)
{
    char text[MESSAGE_SIZE];
    va_list ap;

    va_start(ap, fmt);
    format_va(text, sizeof(text), fmt, ap);
    va_end(ap);
    const u64 *fp = __builtin_frame_address(0);
    end_in_panic(text, NULL, fp[1], fp[0]);
}

_Noreturn void panic_frame(const struct trap_frame *frame, const char *fmt, ...)
{
    char text[MESSAGE_SIZE];
    va_list ap;

    va_start(ap, fmt);
    format_va(text, sizeof(text), fmt, ap);
    va_end(ap);
    end_in_panic(text, frame, frame->rip, frame->rbp);
}

_Noreturn void assert_failed(const char *what, const char *file, int line)
{
    panic("assertion failed: %s (%s:%d)", what, file, line);
}
