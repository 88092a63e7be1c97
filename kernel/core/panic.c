#include "core/panic.h"

#include <stdarg.h>

#include "arch/atomic.h"
#include "arch/frame.h"
#include "arch/uaccess.h"
#include "core/log.h"
#include "core/percpu.h"
#include "core/report.h"
#include "lib/format.h"
#include "plat/plat.h"

enum {
    MAX_HOOKS = 8,
    MAX_FRAMES = 24,
    MESSAGE_SIZE = 256,
    MAX_STACK = 64 * 1024,
    LONGEST_CALL = 7,        /* bytes */
    LARGEST_FUNCTION = 4096, /* but for a few, whose callers look doubtful */
};

static void (*hooks[MAX_HOOKS])(void);
static u32 nr_hooks;
static bool ends_badly; /* [A] */
static u32 panicking;   /* [A] number of the CPU that does, plus one */

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

bool vm_ends_badly(void)
{
    return ends_badly;
}

_Noreturn void vm_end(enum vm_end_kind kind, int value)
{
    ends_badly = kind != VM_EXIT || value;
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

static void print_frame_line(u32 n, u64 rip, const char *doubt)
{
    if (in_image(rip))
        log_raw("#%u kernel+%#lx%s", n, rip - (u64)(uintptr_t)kernel_start, doubt);
    else
        log_raw("#%u %#lx", n, rip);
}

/* Where the call that returns to @addr goes: E8 and four bytes; 0: through a register or memory,
 * which is FF /2 of two to seven bytes.  False: there is no call before @addr. */
static bool follows_call(u64 addr, u64 *target)
{
    const u8 *code = (const u8 *)(uintptr_t)addr;

    if (!in_image(addr - LONGEST_CALL) || !in_image(addr))
        return false;
    if (code[-5] == 0xe8) {
        s32 offset;
        __builtin_memcpy(&offset, code - sizeof(offset), sizeof(offset));
        *target = addr + (u64)(s64)offset;
        if (in_image(*target))
            return true;
    }
    *target = 0;
    for (int len = 2; len <= LONGEST_CALL; len++)
        if (code[-len] == 0xff && (code[1 - len] >> 3 & 7) == 2)
            return true;
    return false;
}

/* There are no frame pointers: of what lies on the stack, the addresses behind a call are printed.
 * One whose call leads somewhere else than into the function below it is doubtful ("?"): of a call
 * that is over, or of one whose callee jumped on.  The stack is read as one reads a program's
 * memory, since what broke may be the stack. */
static void print_backtrace(u64 rip, u64 rsp)
{
    u64 word, target, inside = rip;

    print_frame_line(0, rip, "");
    if (rsp < arch_kernel_base)
        return;
    rsp = ALIGN_UP(rsp, sizeof(word));
    for (u32 n = 1, i = 0; n < MAX_FRAMES && i < MAX_STACK / sizeof(word); i++) {
        if (arch_copy_user(&word, (const void *)(uintptr_t)(rsp + i * sizeof(word)), sizeof(word)))
            return;
        if (!follows_call(word, &target))
            continue;
        bool sure = !target || inside - target < LARGEST_FUNCTION;
        print_frame_line(n++, word, sure ? "" : " ?");
        if (sure)
            inside = word;
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
    print_backtrace(frame->rip, frame->rsp);
}

/* Who operates the machine looks at its memory (abi/report.h), and ends it then: he finds us here,
 * and not in a function that a debugger would have to leave first. */
static void wait_for_host(void)
{
    enum { PATIENCE_SECONDS = 60 };
    u64 end = rdtsc() + boot_info.tsc_khz * 1000 * PATIENCE_SECONDS;

    while (rdtsc() < end)
        cpu_relax();
}

static _Noreturn void end_in_panic(const char *text, const struct trap_frame *frame, u64 rip,
                                   u64 rsp)
{
#ifdef INGOT_DEBUG
    lock_check_off();
#endif
    claim_panic();
    print_last_log();
    log_raw("panic: %s", text);
    if (frame)
        print_registers(frame);
    print_backtrace(rip, rsp);
    log_raw("kernel+0 is at %#lx", (u64)(uintptr_t)kernel_start);
    bool wanted = report_wanted();
    log_raw("ingot: panic: %s", text);
    if (wanted)
        wait_for_host();
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
    const u64 *frame = __builtin_frame_address(0);
    end_in_panic(text, NULL, frame[1], (u64)(uintptr_t)&frame[2]);
}

_Noreturn void panic_frame(const struct trap_frame *frame, const char *fmt, ...)
{
    char text[MESSAGE_SIZE];
    va_list ap;

    va_start(ap, fmt);
    format_va(text, sizeof(text), fmt, ap);
    va_end(ap);
    end_in_panic(text, frame, frame->rip, frame->rsp);
}

_Noreturn void assert_failed(const char *what, const char *file, int line)
{
    panic("assertion failed: %s (%s:%d)", what, file, line);
}
