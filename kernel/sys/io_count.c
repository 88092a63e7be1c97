/* What threads read and write, for /proc/PID/io.  Counting begins when somebody first asks, and
 * until then costs nothing: it puts counting handlers in the place of the calls that count, as the
 * trace does. */
#include "arch/frame.h"
#include "core/percpu.h"
#include "sched/thread.h"
#include "sys/dispatch.h"
#include "sys/sys_priv.h"

enum counted { READS = 1, WRITES = 2 };

/* Calls that count, by number. */
static const u8 counted_calls[SYSCALL_MAX] = {
    [0] = READS,            /* read */
    [1] = WRITES,           /* write */
    [17] = READS,           /* pread64 */
    [18] = WRITES,          /* pwrite64 */
    [19] = READS,           /* readv */
    [20] = WRITES,          /* writev */
    [40] = READS | WRITES,  /* sendfile */
    [295] = READS,          /* preadv */
    [296] = WRITES,         /* pwritev */
    [326] = READS | WRITES, /* copy_file_range */
    [327] = READS,          /* preadv2 */
    [328] = WRITES,         /* pwritev2 */
};

static const syscall_fn *uncounted; /* [I] once counting */

static long counted_call(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    u64 nr = current_frame()->orig_rax;
    struct io_counts *io = &current->io;
    long n = uncounted[nr](a, b, c, d, e, f);

    if (counted_calls[nr] & READS) {
        io->reads++;
        io->read_chars += n > 0 ? (u64)n : 0;
    }
    if (counted_calls[nr] & WRITES) {
        io->writes++;
        io->written_chars += n > 0 ? (u64)n : 0;
    }
    return n;
}

void io_count_calls(void)
{
    static syscall_fn counting[SYSCALL_SLOTS];

    for (u32 nr = 0; nr < SYSCALL_SLOTS; nr++)
        counting[nr] = nr < SYSCALL_MAX && counted_calls[nr] ? counted_call : syscall_handlers[nr];
    uncounted = syscall_handlers;
    bool active = syscall_active == syscall_handlers;
    __atomic_store_n(&syscall_handlers, counting, __ATOMIC_RELEASE);
    if (active) /* else the calls are traced, which goes through .syscall_handlers */
        __atomic_store_n(&syscall_active, counting, __ATOMIC_RELEASE);
}
