/* The other CPUs of a guest.  Each is a thread that is made here, before the filter forbids it, and
 * waits in the kernel's stub until the kernel has something for it (hosted_cpu_entry). */
#include "tender/tender.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* What a thread finds on its stack, last first: what its function is given, and the function. */
struct first_words {
    void *arg;
    void (*fn)(void *arg);
};

/* clone(2): the child pops its first words. */
long tender_clone(u64 flags, struct first_words *stack);
__asm__(".globl tender_clone\n"
        "tender_clone:\n"
        "    movl $56, %eax\n"
        "    xorl %edx, %edx\n"
        "    xorl %r10d, %r10d\n"
        "    xorl %r8d, %r8d\n"
        "    syscall\n"
        "    testq %rax, %rax\n"
        "    jne 1f\n"
        "    xorl %ebp, %ebp\n"
        "    popq %rdi\n"
        "    popq %rax\n"
        "    call *%rax\n"
        "    ud2\n"
        "1:  ret\n");

static u64 cpu_entry; /* [I] before the first thread */

static u64 stacks_of(const struct hosted_boot *boot, u32 cpu)
{
    return boot->cpu_stacks + (u64)(cpu - 1) * HOSTED_CPU_STACKS;
}

/* The stack for signals lies right below the one that we are on. */
static void be_cpu(void *arg)
{
    struct hosted_cpu *cpu = arg;
    u64 here = ALIGN_DOWN(ptr(__builtin_frame_address(0)), 4096ull);
    stack_t stack = {.ss_sp = (void *)(uintptr_t)(here - HOSTED_SIGNAL_STACK),
                     .ss_size = HOSTED_SIGNAL_STACK};

    sys3(__NR_sigaltstack, ptr(&stack), 0, 0);
    ((void (*)(struct hosted_cpu *))(uintptr_t)cpu_entry)(cpu);
    __builtin_unreachable();
}

static void make_cpu(struct hosted_boot *boot, u32 id)
{
    enum {
        FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
    };
    struct hosted_cpu *cpu = &boot->cpus[id];
    struct first_words *stack = (void *)(uintptr_t)(stacks_of(boot, id) + HOSTED_CPU_STACKS);

    *--stack = (struct first_words){cpu, be_cpu};
    long tid = tender_clone(FLAGS, stack);
    if (tid < 0)
        tender_fail("no thread for a CPU", tid);
    cpu->tid = (s32)tid;
    while (!__atomic_load_n(&cpu->waits, __ATOMIC_ACQUIRE))
        sys3(__NR_sched_yield, 0, 0, 0);
}

void tender_make_cpus(struct hosted_boot *boot, const struct tender_kernel *kernel)
{
    static_assert(HOSTED_MAX_CPUS * sizeof(struct hosted_cpu) <= 4096, "one page");
    u64 len = (u64)(boot->nr_cpus - 1) * HOSTED_CPU_STACKS;
    long at = sys6(__NR_mmap, 0, len + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   ~0ull, 0);

    if (at < 0)
        tender_fail("no memory for the stacks of CPUs", at);
    if (sys3(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
        tender_fail("the host has no membarrier, which --cpus needs", 0);
    boot->cpu_stacks = (u64)at;
    boot->cpus = (struct hosted_cpu *)(uintptr_t)((u64)at + len); /* a page, all zero */
    boot->cpus[0].tid = (s32)sys3(__NR_getpid, 0, 0, 0);
    cpu_entry = kernel->cpu_entry;
    for (u32 i = 1; i < boot->nr_cpus; i++)
        make_cpu(boot, i);
}
