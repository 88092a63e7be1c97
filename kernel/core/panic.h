/* How the VM ends.  The last log line is machine-readable (docs/architecture.md, "end"). */
#pragma once

#include "core/lock_check.h"
#include "lib/types.h"

struct trap_frame;

enum vm_end_kind {
    VM_EXIT = 0,   /* value: the program's exit status */
    VM_SIGNAL = 1, /* value: the signal that killed it */
    VM_PANIC = 2,
    VM_ERROR = 3,
};

/** End the VM with VM_EXIT or VM_SIGNAL and @value: flushes the log and powers off. */
_Noreturn void vm_end(enum vm_end_kind kind, int value);

/** The program could not be started: print `ingot: error: ...` and end the VM. */
_Noreturn void fatal_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Our own bug: say what, where from, the registers, the last log lines; end the VM. */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** As panic, with the registers and the backtrace of @frame. */
_Noreturn void panic_frame(const struct trap_frame *frame, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** What a CPU does that plat.cpu_stop() interrupted at @frame: end, if another panics; else tell
 * where it was. */
void cpu_stopped(const struct trap_frame *frame);

/** Does the program end by a signal or with a status other than 0?  For hooks. */
bool vm_ends_badly(void);

/** What runs before power off (flush of consoles and disks); each at most once, last added first.
 */
void vm_end_hook(void (*fn)(void));

/** What assert() calls: panics with the condition and its place. */
_Noreturn void assert_failed(const char *what, const char *file, int line);

/** What only our own bug can break; kept in release builds, free of side effects. */
#define assert(x) (likely(x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__))

#ifdef INGOT_DEBUG
#define debug_assert(x) assert(x)
/** The caller may sleep; the debug kernel ends here if it must not. */
#define may_sleep() lock_check_may_sleep()
/** The caller may make caches give memory back. */
#define may_reclaim() lock_check_may_reclaim()
#else
#define debug_assert(x) ((void)sizeof(x))
#define may_sleep()     ((void)0)
#define may_reclaim()   ((void)0)
#endif
