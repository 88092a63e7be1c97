/* The seccomp filter.  A call from anywhere but the kernel's stub is the program's: it becomes
 * SIGSYS and never reaches the host.  From the stub a dozen calls pass, with their arguments looked
 * at, because the program shares the kernel's address space and may jump into the stub; anything
 * else there ends the process.  Source: seccomp(2), Documentation/userspace-api/seccomp_filter.rst.
 */
#include "tender/tender.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { MAX_CODE = 128, MAX_POLLFDS = 5 };

/* Where a jump leads: the distance in instructions, or one of the answers at the end. */
enum { ALLOWED = 0xf0, KILLED, TRAPPED };

struct filter {
    struct sock_filter code[MAX_CODE];
    u16 len;
};

static void put(struct filter *f, u16 code, u32 k, u8 yes, u8 no)
{
    f->code[f->len++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct filter *f, size_t offset)
{
    put(f, BPF_LD | BPF_W | BPF_ABS, (u32)offset, 0, 0);
}

static void if_equal(struct filter *f, u32 value, u8 yes, u8 no)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, value, yes, no);
}

static void if_at_least(struct filter *f, u32 value, u8 yes, u8 no)
{
    put(f, BPF_JMP | BPF_JGE | BPF_K, value, yes, no);
}

static void if_above(struct filter *f, u32 value, u8 yes, u8 no)
{
    put(f, BPF_JMP | BPF_JGT | BPF_K, value, yes, no);
}

static size_t arg(u32 n)
{
    return offsetof(struct seccomp_data, args) + n * sizeof(u64);
}

/* Calls from outside [start, end] of the stub are the program's. */
static void check_place(struct filter *f, const struct tender_kernel *kernel)
{
    size_t ip = offsetof(struct seccomp_data, instruction_pointer);

    load(f, ip + 4); /* first: the host tries for each call whether its number alone decides */
    if_equal(f, (u32)(kernel->stub_start >> 32), 0, TRAPPED);
    load(f, ip);
    if_at_least(f, (u32)kernel->stub_start, 0, TRAPPED);
    if_above(f, (u32)kernel->stub_end, TRAPPED, 0);
    load(f, offsetof(struct seccomp_data, arch));
    if_equal(f, AUDIT_ARCH_X86_64, 0, TRAPPED);
    load(f, offsetof(struct seccomp_data, nr));
}

static void allow(struct filter *f, u32 nr)
{
    if_equal(f, nr, ALLOWED, 0);
}

/* Allow @nr if the low half of argument @n is in [low, high]; what takes a descriptor looks at no
 * more.
 */
static void allow_between(struct filter *f, u32 nr, u32 n, u32 low, u32 high)
{
    if_equal(f, nr, 0, 3);
    load(f, arg(n));
    if_at_least(f, low, 0, KILLED);
    if_above(f, high, KILLED, ALLOWED);
}

/* A CPU interrupts another: a signal of its own for a thread of this process. */
static void allow_kicks(struct filter *f, s32 pid)
{
    if_equal(f, __NR_tgkill, 0, 5);
    load(f, arg(0));
    if_equal(f, (u32)pid, 0, KILLED);
    load(f, arg(2));
    if_at_least(f, HOSTED_SIG_KICK, 0, KILLED);
    if_above(f, HOSTED_SIG_HALT, KILLED, ALLOWED);
}

/* Memory without a file, or of the files that were handed to us. */
static void allow_mmap(struct filter *f, u32 max_fd)
{
    if_equal(f, __NR_mmap, 0, 4);
    load(f, arg(4));
    if_equal(f, (u32)-1, ALLOWED, 0);
    if_at_least(f, FD_KERNEL, 0, KILLED);
    if_above(f, max_fd, KILLED, ALLOWED);
}

/* Descriptors in [low, high], or in the @count behind @first. */
static void allow_descriptors(struct filter *f, u32 nr, u32 low, u32 high, u32 first, u32 count)
{
    if (!count) {
        allow_between(f, nr, 0, low, high);
        return;
    }
    if_equal(f, nr, 0, 5);
    load(f, arg(0));
    if_at_least(f, low, 0, KILLED);
    if_above(f, high, 0, ALLOWED);
    if_at_least(f, first, 0, KILLED);
    if_above(f, first + count - 1, KILLED, ALLOWED);
}

static u8 distance(u8 to, u16 from, u16 answers)
{
    return to < ALLOWED ? to : (u8)(answers + (to - ALLOWED) - from - 1);
}

/* Whoever came through all of it is killed.  Answers once, at the end, keep the code short: the
 * host compiles it at each start. */
static void end_with_answers(struct filter *f)
{
    static const u32 actions[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP};

    put(f, BPF_JMP | BPF_JA, KILLED - ALLOWED, 0, 0);
    u16 answers = f->len;
    for (u16 i = 0; i < answers - 1; i++) {
        struct sock_filter *at = &f->code[i];
        at->jt = distance(at->jt, i, answers);
        at->jf = distance(at->jf, i, answers);
    }
    for (u32 i = 0; i < 3; i++)
        put(f, BPF_RET | BPF_K, actions[i], 0, 0);
}

void tender_install_filter(const struct tender_kernel *kernel, u32 max_fd,
                           const struct hosted_boot *boot)
{
    enum { DONTNEED = 4, SET_GS = 0x1001, SET_FS = 0x1002 };
    struct filter f;

    f.len = 0;
    check_place(&f, kernel);
    allow_mmap(&f, max_fd);
    allow(&f, __NR_mprotect);
    allow(&f, __NR_munmap);
    allow(&f, __NR_mremap);
    allow_between(&f, __NR_madvise, 2, DONTNEED, DONTNEED);
    bool operator= boot->operator_fd, devices = boot->nr_devices;
    allow_descriptors(&f, __NR_read, 0, 0, (u32)(devices ? boot->irq_fd : boot->operator_fd),
                      (u32)devices + operator);
    allow_descriptors(&f, __NR_write, 1, FD_LOG,
                      (u32)(operator? boot->operator_fd : boot->doorbell_fd),
                      boot->nr_devices + operator);
    allow_between(&f, __NR_ppoll, 1, 0, MAX_POLLFDS);
    if (boot->nr_cpus > 1)
        allow_between(&f, __NR_timer_settime, 0, (u32)boot->timer_id,
                      (u32)boot->timer_id + boot->nr_cpus - 1);
    else
        allow_between(&f, __NR_setitimer, 0, ITIMER_REAL, ITIMER_REAL);
    allow_between(&f, __NR_getrusage, 0, RUSAGE_SELF, RUSAGE_SELF);
    allow(&f, __NR_rt_sigreturn);
    allow(&f, __NR_exit_group);
    if (!(boot->features & HOSTED_FSGSBASE))
        allow_between(&f, __NR_arch_prctl, 0, SET_GS, SET_FS);
    if (boot->nr_cpus > 1) {
        allow_kicks(&f, boot->cpus[0].tid);
        allow_between(&f, __NR_membarrier, 0, MEMBARRIER_CMD_PRIVATE_EXPEDITED,
                      MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    }
    end_with_answers(&f);

    /* SPEC_ALLOW: hosts before 5.16 would take memory disambiguation away, which slows all loads.
     * There is nothing in this process to hide from the program: both share its addresses. */
    struct sock_fprog program = {.len = f.len, .filter = f.code};
    long err = sys3(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0);
    if (!err)
        err = sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_SPEC_ALLOW |
                       (boot->nr_cpus > 1 ? SECCOMP_FILTER_FLAG_TSYNC : 0),
                   ptr(&program));
    if (err)
        tender_fail(
            "the host refuses the system-call filter (seccomp), without which nothing would "
            "hold the program",
            err);
}
