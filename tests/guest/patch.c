/* System calls that the image builder may have turned into jumps: nobody can tell. */
#define _GNU_SOURCE
#include "t.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

/* Each is a site of one kind: with a number right before, and with the number in a register, so
 * that the jump must lie over what follows. */
__asm__(
    ".pushsection .text\n"
    ".macro FUNCTION name\n"
    ".globl \\name\n.type \\name, @function\n\\name: .cfi_startproc\n"
    ".endm\n"
    ".macro END name\n"
    ".cfi_endproc\n.size \\name, . - \\name\n.globl \\name\\()_end\n\\name\\()_end:\n"
    ".endm\n"
    "FUNCTION read_before\n" /* long (int fd, void *buf, size_t len) */
    "movl $0, %eax\n syscall\n .globl read_before_back\nread_before_back:\n ret\n"
    "END read_before\n"
    "FUNCTION call_after\n" /* long (long nr, a, b, c) */
    "movq %rdi, %rax\n movq %rsi, %rdi\n movq %rdx, %rsi\n movq %rcx, %rdx\n"
    "syscall\n .globl call_after_back\ncall_after_back:\n cmpq $-4095, %rax\n sbbq %rcx, "
    "%rcx\n ret\n"
    "END call_after\n"
    "FUNCTION survive\n" /* int (void): 0 if all is as it was */
    "pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    ".irp r, rbx, rbp, rdi, rsi, rdx, r8, r9, r10, r12, r13, r14, r15\n"
    "movq $0x5a5a1234, %\\r\n .endr\n"
    "movq %rbx, %xmm0\n movq %rbx, %xmm15\n movq %rbx, -8(%rsp)\n movq %rbx, -128(%rsp)\n"
    "movl $39, %eax\n syscall\n"
    "movq %rbx, %rax\n"
    ".irp r, rbp, rdi, rsi, rdx, r8, r9, r10, r12, r13, r14, r15\n"
    "cmpq %\\r, %rax\n jne 1f\n .endr\n"
    "movq %xmm0, %rcx\n cmpq %rcx, %rax\n jne 1f\n"
    "movq %xmm15, %rcx\n cmpq %rcx, %rax\n jne 1f\n"
    "cmpq -8(%rsp), %rax\n jne 1f\n cmpq -128(%rsp), %rax\n jne 1f\n"
    "subq $0x5a5a1234, %rax\n"
    "1: popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n ret\n"
    "END survive\n"
    "FUNCTION backwards\n" /* long (long *flags): getpid with the direction flag set */
    "std\n movl $39, %eax\n syscall\n pushfq\n cld\n popq %rcx\n andl $0x400, %ecx\n"
    "movq %rcx, (%rdi)\n pushq $0x202\n popfq\n ret\n"
    "END backwards\n"
    "FUNCTION stepping\n" /* long (void): getpid, one instruction after the other */
    "pushfq\n orl $0x100, (%rsp)\n popfq\n nop\n movl $39, %eax\n syscall\n nop\n"
    "pushfq\n andl $-0x101, (%rsp)\n popfq\n ret\n"
    "END stepping\n"
    "FUNCTION ask_cpu\n" /* void (u64 regs[4], the same after it, u64 *flags): red zone in use */
    "pushq %rbx\n movq %rdx, %r8\n movq %rsi, %r9\n"
    "movq $0x5a5a1234, -8(%rsp)\n movq $0x5a5a1234, -128(%rsp)\n"
    "movq 8(%rdi), %rbx\n movq 16(%rdi), %rcx\n movq 24(%rdi), %rdx\n"
    "movq %rsp, %r10\n stc\n movq (%rdi), %rax\n"
    "cpuid\n"
    "movq %rax, (%r9)\n movq %rbx, 8(%r9)\n movq %rcx, 16(%r9)\n movq %rdx, 24(%r9)\n"
    "sbbq %rax, %rax\n cmpq %rsp, %r10\n jne 1f\n"
    "cmpq $0x5a5a1234, -8(%rsp)\n jne 1f\n cmpq $0x5a5a1234, -128(%rsp)\n jne 1f\n"
    "incq %rax\n"
    "1: movq %rax, (%r8)\n popq %rbx\n ret\n"
    "END ask_cpu\n"
    "FUNCTION own_pid\n" /* long (void), wherever its code is */
    "movl $39, %eax\n syscall\n ret\n"
    "END own_pid\n"
    ".popsection");

long read_before(int fd, void *buf, size_t len);
long call_after(long nr, long a, void *b, size_t c);
int survive(void);
long backwards(long *flags);
long stepping(void);
long own_pid(void);
void ask_cpu(const unsigned long in[4], unsigned long out[4], unsigned long *wrong);
extern char read_before_back[], call_after_back[], stepping_end[];

static volatile uintptr_t seen_rip;
static volatile int seen_count, seen_outside;
static int ends[2];

static uintptr_t rip_of(void *context)
{
    return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

static void on_alarm(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    seen_rip = rip_of(context);
    seen_count++;
    if (write(ends[1], "x", 1) != 1)
        seen_count = -1000;
}

/* A signal comes while a read of an empty pipe waits; the handler writes to it. */
static void alarm_soon(int flags)
{
    struct sigaction sa = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | flags};
    const struct itimerval soon = {.it_value.tv_usec = 20000};
    NEED(pipe(ends) == 0);
    seen_count = 0;
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
}

static void close_both(void)
{
    close(ends[0]);
    close(ends[1]);
}

CASE(an_interrupted_call_is_where_the_program_has_it)
{
    char byte;
    alarm_soon(0);
    CHECK_EQ(read_before(ends[0], &byte, 1), -EINTR);
    CHECK_EQ(seen_rip, (uintptr_t)read_before_back);
    close_both();
    alarm_soon(0);
    CHECK_EQ(call_after(SYS_read, ends[0], &byte, 1), -EINTR);
    CHECK_EQ(seen_rip, (uintptr_t)call_after_back);
    close_both();
    CHECK_EQ(seen_count, 1);
}

CASE(a_call_that_starts_again_is_where_the_program_has_it)
{
    char byte = 0;
    alarm_soon(SA_RESTART);
    CHECK_EQ(read_before(ends[0], &byte, 1), 1);
    CHECK_EQ(seen_rip, (uintptr_t)read_before_back - 2);
    close_both();
    alarm_soon(SA_RESTART);
    CHECK_EQ(call_after(SYS_read, ends[0], &byte, 1), 1);
    CHECK_EQ(seen_rip, (uintptr_t)call_after_back - 2);
    close_both();
    CHECK_EQ(byte, 'x');
}

CASE(registers_vectors_and_the_red_zone_survive)
{
    CHECK_EQ(survive(), 0);
}

CASE(the_direction_flag_survives)
{
    long flags = 0;
    CHECK_EQ(backwards(&flags), getpid());
    CHECK_EQ(flags, 0x400);
}

static void on_step(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    uintptr_t rip = rip_of(context);
    seen_count++;
    if (rip < (uintptr_t)stepping || rip >= (uintptr_t)stepping_end)
        seen_outside++;
}

CASE(code_can_be_stepped_through)
{
    struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    seen_count = seen_outside = 0;
    sigaction(SIGTRAP, &sa, NULL);
    CHECK_EQ(stepping(), getpid());
    CHECK(seen_count >= 3);
    CHECK_EQ(seen_outside, 0);
}

static int count_maps(void)
{
    int lines = 0;
    for (const char *at = get_file("/proc/self/maps"); *at; at++)
        lines += *at == '\n';
    return lines;
}

/* As the dynamic linker maps a library: all of it first, then its code in its place. */
CASE(a_second_copy_of_the_code_makes_calls_and_goes_whole)
{
    static uint8_t head[4096];
    uintptr_t low = UINTPTR_MAX, high = 0;
    int fd = open("/proc/self/exe", O_RDONLY), before = count_maps();
    NEED(fd >= 0 && read(fd, head, sizeof(head)) == sizeof(head));
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)head;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(head + h->e_phoff), *code = NULL;
    for (int i = 0; i < h->e_phnum; i++) {
        if (p[i].p_type != PT_LOAD)
            continue;
        if (p[i].p_vaddr < low)
            low = p[i].p_vaddr & -4096ul;
        high = p[i].p_vaddr + p[i].p_memsz;
        if (p[i].p_flags & PF_X)
            code = &p[i];
    }
    NEED(code);
    for (int i = 0; i < 3; i++) {
        char *at = mmap(NULL, high - low, PROT_READ, MAP_PRIVATE, fd, 0);
        NEED(at != MAP_FAILED);
        size_t lead = code->p_vaddr & 4095;
        char *text = at + (code->p_vaddr - lead - low);
        CHECK(mmap(text, code->p_filesz + lead, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
                   (off_t)(code->p_offset - lead)) == text);
        NEED(h->e_type == ET_EXEC);
        long (*copy)(void) = (long (*)(void))(at + ((uintptr_t)own_pid - low));
        CHECK_EQ(copy(), getpid());
        CHECK_EQ(munmap(at, high - low), 0);
        CHECK_EQ(count_maps(), before);
    }
    close(fd);
}

static void *thread_body(void *arg)
{
    return (void *)(call_after(SYS_getpid, 0, arg, 0) == getpid() ? arg : NULL);
}

CASE(threads_start_and_end_through_patched_calls)
{
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result = NULL;
        NEED(pthread_create(&thread, NULL, thread_body, ends) == 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == ends);
    }
}

/* Code that is made at run time is nobody's to patch: the instruction itself. */
static void ask_by_instruction(const unsigned long in[4], unsigned long out[4])
{
    static const unsigned char code[] = {0x0f, 0xa2, 0xc3}; /* cpuid; ret */
    static void *page;
    unsigned long a = in[0], b = in[1], c = in[2], d = in[3];

    if (!page) {
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        NEED(page != MAP_FAILED);
        memcpy(page, code, sizeof(code));
        NEED(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    }
    __asm__ volatile("call *%4" : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : "r"(page) : "memory");
    out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

/* Numbers of the CPU that happens to run us differ from one asking to the next. */
static int is_of_the_machine(unsigned long leaf, int reg)
{
    leaf = (unsigned)leaf;
    if (leaf == 1)
        return reg != 1;
    if (leaf == 0x8000001e)
        return 0;
    return (leaf != 0xb && leaf != 0x1f) || reg != 3;
}

CASE(cpuid_says_what_the_instruction_says)
{
    static const unsigned leaves[] = {0,          1,          2,          4,          5,
                                      7,          0xb,        0xd,        0x14,       0x16,
                                      0x12345,    0x40000000, 0x80000000, 0x80000001, 0x80000002,
                                      0x80000008, 0x8000001d, 0x8fffffff};

    for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++)
        for (unsigned long sub = 0; sub < 12; sub++) {
            unsigned long in[4] = {0xabcd00000000 | leaves[i], ~0ul, 0x123400000000 | sub, ~0ul};
            unsigned long ours[4], real[4], wrong = 1;
            ask_cpu(in, ours, &wrong);
            ask_by_instruction(in, real);
            CHECK_EQ(wrong, 0);
            for (int reg = 0; reg < 4; reg++)
                if (is_of_the_machine(leaves[i], reg))
                    CHECK_EQ(ours[reg], real[reg]);
        }
}

static volatile unsigned long ticks;

static void on_tick(int sig)
{
    (void)sig;
    ticks++;
}

CASE(cpuid_is_interrupted_like_any_code)
{
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    unsigned long in[4] = {0, 0, 0, 0}, first[4], out[4], wrong;
    struct sigaction action = {.sa_handler = on_tick};

    sigaction(SIGALRM, &action, NULL);
    ask_cpu(in, first, &wrong);
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned long start = ticks; ticks < start + 50;) {
        ask_cpu(in, out, &wrong);
        CHECK_EQ(wrong, 0);
        CHECK(!memcmp(first, out, sizeof(out)));
    }
    setitimer(ITIMER_REAL, &never, NULL);
}
