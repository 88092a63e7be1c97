/* `--trace`: one line a system call.  Tracing swaps the table that the entry code uses, so it costs
 * nothing when it is off. */
#include "sys/dispatch.h"

#include "arch/frame.h"
#include "arch/full_frame.h"
#include "core/log.h"
#include "lib/format.h"
#include "mm/uaccess.h"
#include "sched/thread.h"

enum { LINE_SIZE = 480 };

enum { NR_RT_SIGRETURN = 15, NR_EXIT = 60, NR_EXIT_GROUP = 231 };

/** The line up to the result: the strings are read before the call, which may change them. */
static size_t begin_line(char *line, u64 nr, const u64 args[6])
{
    size_t len = (size_t)format(line, LINE_SIZE, "trace: [%d] ", current->tid);
    int more = trace_format_call(line + len, LINE_SIZE - len, nr, args, strncpy_from_user);
    return min(len + (size_t)more, (size_t)LINE_SIZE - 1);
}

long traced_call(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
ARCH_FULL_FRAME(traced_call);

long traced_call(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    u64 nr = current_frame()->orig_rax;
    const u64 args[6] = {a, b, c, d, e, f};
    syscall_fn call = syscall_handlers[min(nr, (u64)SYSCALL_SLOTS - 1)];
    char line[LINE_SIZE];
    size_t len = begin_line(line, nr, args);
    if (nr == NR_RT_SIGRETURN || nr == NR_EXIT || nr == NR_EXIT_GROUP) {
        log_raw("%s = ?", line); /* it does not come back here */
        return call(a, b, c, d, e, f);
    }
    long result = call(a, b, c, d, e, f);
    trace_format_result(line + len, LINE_SIZE - len, nr, result);
    log_raw("%s", line);
    return result;
}

void trace_enable(bool on)
{
    static syscall_fn traced_table[SYSCALL_SLOTS];
    for (u32 i = 0; i < SYSCALL_SLOTS; i++)
        traced_table[i] = (syscall_fn)(void (*)(void))traced_call_full;
    syscall_active = on ? traced_table : syscall_handlers;
}
