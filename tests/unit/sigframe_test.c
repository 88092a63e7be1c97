/* The frame under a signal handler: what Linux programs rely on, byte by byte. */
#include "unit/test.h"

#include "abi/ucontext.h"
#include "arch/frame.h"
#include "arch/sigframe.h"
#include "arch/thread.h"
#include "arch/uaccess.h"

static bool writable = true;
static int restored;

size_t arch_copy_user(void *dst, const void *src, size_t n)
{
    if (!writable)
        return n;
    memcpy(dst, src, n);
    return 0;
}

size_t arch_fpstate_size(void)
{
    return 836;
}

int arch_fpstate_save(void *fpstate)
{
    EXPECT_EQ((uintptr_t)fpstate % 64, 0, "XSAVE wants it so");
    memset(fpstate, 0x5a, 836);
    return 0;
}

int arch_fpstate_restore(const void *fpstate)
{
    restored++;
    return fpstate && *(const u8 *)fpstate != 0x5a ? -EINVAL : 0;
}

static _Alignas(64) u8 stack[8192];
static const struct siginfo64 info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .rt.value = 99};
static struct sigaction64 action;
static struct sigaltstack64 altstack;
static struct trap_frame frame;
static struct sigframe_args args;

static u64 top(void)
{
    return (u64)(uintptr_t)stack + 4096 + 8; /* as inside a function */
}

static void set_up(void)
{
    action = (struct sigaction64){.handler = 0x401000, .flags = SA_RESTORER, .restorer = 0x402000};
    altstack = (struct sigaltstack64){.flags = SS_DISABLE};
    frame = (struct trap_frame){.r8 = 8, .rax = 42, .rdi = 1, .rcx = 0x400100, .rip = 0x400100};
    frame.rsp = top();
    frame.rflags = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_DF | RFLAGS_CF;
    args = (struct sigframe_args){SIGUSR1, &info, &action, 0x123, &altstack, 14, 6, 0x10};
}

TEST(the_handler_gets_what_linux_gives_it)
{
    set_up();
    memset(stack, 0x77, sizeof(stack));
    EXPECT_EQ(arch_sigframe_push(&frame, &args), 0, NULL);
    const struct rt_sigframe64 *f = (void *)(uintptr_t)frame.rsp;
    EXPECT_EQ((frame.rsp + 8) % 16, 0, "aligned as after a call");
    EXPECT_EQ(f->pretcode, 0x402000, NULL);
    EXPECT_EQ(frame.rip, 0x401000, NULL);
    EXPECT_EQ(frame.rdi, SIGUSR1, NULL);
    EXPECT_EQ(frame.rsi, (u64)(uintptr_t)&f->info, NULL);
    EXPECT_EQ(frame.rdx, (u64)(uintptr_t)&f->uc, NULL);
    EXPECT_EQ(frame.rflags & RFLAGS_DF, 0, "the ABI wants it clear");
    EXPECT_EQ(f->info.rt.value, 99, NULL);
    EXPECT_EQ(f->uc.mcontext.rip, 0x400100, NULL);
    EXPECT_EQ(f->uc.mcontext.rsp, top(), NULL);
    EXPECT_EQ(f->uc.mcontext.cs, 0x33, "what a program of Linux sees");
    EXPECT_EQ(f->uc.mcontext.trapno, 14, NULL);
    EXPECT_EQ(f->uc.mcontext.cr2, 0x10, NULL);
    for (u64 at = top() - 128; at < top(); at++)
        EXPECT_EQ(*(u8 *)(uintptr_t)at, 0x77, "the red zone is the program's");
}

TEST(sigreturn_brings_everything_back)
{
    struct trap_frame before;
    sigset64_t mask = 0;
    struct sigaltstack64 old;
    set_up();
    before = frame;
    REQUIRE(!arch_sigframe_push(&frame, &args), NULL);
    struct trap_frame handler = {.rsp = frame.rsp + 8}; /* the return took .pretcode */
    EXPECT_EQ(arch_sigframe_pop(&handler, &mask, &old), 0, NULL);
    EXPECT_EQ(mask, 0x123, NULL);
    EXPECT_EQ(restored, 1, "vector registers too");
    EXPECT_EQ(handler.rsp, before.rsp, NULL);
    EXPECT_EQ(handler.rip, before.rip, NULL);
    EXPECT_EQ(handler.rcx, before.rcx, NULL);
    EXPECT_EQ(handler.rax, 42, NULL);
    EXPECT_EQ(handler.rflags, before.rflags, NULL);
}

TEST(sigreturn_survives_a_forged_frame)
{
    sigset64_t mask;
    struct sigaltstack64 old;
    set_up();
    REQUIRE(!arch_sigframe_push(&frame, &args), NULL);
    struct rt_sigframe64 *f = (void *)(uintptr_t)frame.rsp;
    struct trap_frame back = {.rsp = frame.rsp + 8};
    f->uc.mcontext.rflags = ~0ull;
    EXPECT_EQ(arch_sigframe_pop(&back, &mask, &old), 0, NULL);
    EXPECT_EQ(back.rflags & (RFLAGS_IOPL | RFLAGS_NT), 0, "not the program's to set");
    EXPECT_TRUE(back.rflags & RFLAGS_IF, NULL);
    back.rsp = frame.rsp + 8;
    f->uc.mcontext.rip = 0xffff800000000000;
    EXPECT_EQ(arch_sigframe_pop(&back, &mask, &old), -EFAULT, "into the kernel");
    f->uc.mcontext.rip = 0x400000;
    f->uc.mcontext.fpstate = 0xffff800000000000;
    EXPECT_EQ(arch_sigframe_pop(&back, &mask, &old), -EFAULT, "vector state of the kernel's");
    back.rsp = 0xffff800000000008;
    EXPECT_EQ(arch_sigframe_pop(&back, &mask, &old), -EFAULT, "a stack of the kernel's");
}

TEST(the_alternate_stack_is_used_when_asked_for)
{
    static _Alignas(16) u8 other[4096];
    set_up();
    altstack = (struct sigaltstack64){.sp = (u64)(uintptr_t)other, .size = sizeof(other)};
    EXPECT_EQ(arch_sigframe_push(&frame, &args), 0, NULL);
    EXPECT_FALSE(sigaltstack_contains(&altstack, frame.rsp), "no SA_ONSTACK");
    set_up();
    altstack = (struct sigaltstack64){.sp = (u64)(uintptr_t)other, .size = sizeof(other)};
    altstack.flags = (s32)SS_AUTODISARM;
    action.flags |= SA_ONSTACK;
    EXPECT_EQ(arch_sigframe_push(&frame, &args), 0, NULL);
    EXPECT_TRUE(frame.rsp > (u64)(uintptr_t)other && frame.rsp < (u64)(uintptr_t)other + 4096,
                NULL);
    EXPECT_EQ(altstack.flags, SS_DISABLE, "taken away until sigreturn");
}

TEST(no_room_for_the_frame_is_an_error_and_changes_nothing)
{
    static _Alignas(16) u8 other[4096];
    set_up();
    altstack = (struct sigaltstack64){.sp = (u64)(uintptr_t)other, .size = sizeof(other)};
    action.flags |= SA_ONSTACK;
    frame.rsp = altstack.sp + 512; /* on it already, deep down */
    u64 rsp = frame.rsp;
    EXPECT_EQ(arch_sigframe_push(&frame, &args), -EFAULT, "the alternate stack would overflow");
    EXPECT_EQ(frame.rsp, rsp, NULL);
    EXPECT_EQ(frame.rip, 0x400100, NULL);
    set_up();
    writable = false;
    EXPECT_EQ(arch_sigframe_push(&frame, &args), -EFAULT, "the stack is not there");
    writable = true;
    action.flags = 0;
    EXPECT_EQ(arch_sigframe_push(&frame, &args), -EFAULT, "no restorer, as Linux");
    action.flags = SA_RESTORER;
    action.handler = 0xffff800000000000;
    EXPECT_EQ(arch_sigframe_push(&frame, &args), -EFAULT, "a handler in the kernel");
    frame.rsp = 64;
    EXPECT_EQ(arch_sigframe_push(&frame, &args), -EFAULT, "below the first address");
}
