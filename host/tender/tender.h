/* What the files of the tender share.  The tender is a program without a C library that becomes the
 * sandbox: it maps what the kernel needs, gives up everything else, and jumps.
 *
 *   ingot-tender COMMAND-LINE BYTES-OF-MEMORY LAYERS WORDS...
 *
 * Descriptors: 0 to 2 the program's streams, 3 the log, 4 the kernel file, 5 a struct hosted_facts
 * or nothing, 6 and up the layers, lowest first.  WORDS: "tty" (streams 0 and 1 are a terminal);
 * "cpus=N"; "devices=N" (there is a device process: behind the layers come the memory with its
 * window, the pipe of interrupts and N doorbells); "late" (that starts with the first doorbell);
 * "operator" (a socket behind the place of that pipe: the operator's line). */
#pragma once

#include "abi/hosted.h"
#include "abi/window.h"

#include <stddef.h>

enum {
    FD_LOG = 3,
    FD_KERNEL = 4,
    FD_FACTS = 5,
    FD_LAYERS = 6,
    MAX_LAYERS = 16,
};

/** A call to the host: its result. */
static inline long sys6(long nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    register u64 r10 __asm__("r10") = d;
    register u64 r8 __asm__("r8") = e;
    register u64 r9 __asm__("r9") = f;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
static inline long sys3(long nr, u64 a, u64 b, u64 c)
{
    return sys6(nr, a, b, c, 0, 0, 0);
}
static inline u64 ptr(const void *p)
{
    return (u64)(uintptr_t)p;
}

/** Say on the log why there is no guest, in the kernel's form, and leave. */
_Noreturn void tender_fail(const char *why, long error);

/** The kernel's note, as addresses. */
struct tender_kernel {
    u64 base;
    u64 entry, stub_start, stub_end, on_signal, restorer, signal_stack, signal_stack_size;
    u64 cpu_entry;
};

/** Look at the kernel file's header: how many bytes of addresses it takes, a number of pages, and
 * its @place if its addresses are true there only, else 0. */
u64 tender_open_kernel(u64 *place);

/** Have the host make whole pages that are written to anyway at once: a fault less for each.  Older
 * hosts cannot, and wait for the fault. */
void tender_touch(u64 at, u64 len);

/** Map the kernel file at boot->kernel_base and find its note; fills @boot's part of it.  Private
 * memory goes on behind the kernel's data up to address @private_end, if that is behind it.  After
 * tender_open_kernel(). */
void tender_map_kernel(struct hosted_boot *boot, u64 private_end, struct tender_kernel *kernel);

/** The threads for the other CPUs, which wait in the kernel's stub when this returns. */
void tender_make_cpus(struct hosted_boot *boot, const struct tender_kernel *kernel);

/**
 * From here on only the kernel's stub makes calls, and only those it needs.
 * @max_fd: the greatest descriptor that may be mapped; what @boot says of devices and of its timer
 * is let through
 */
void tender_install_filter(const struct tender_kernel *kernel, u32 max_fd,
                           const struct hosted_boot *boot);
