/* The edges of a kernel in a process: where the tender jumps to, the stub that alone may call the
 * host, and the ways from a signal into the kernel proper (see arch/x86_64/entry.S for what a frame
 * is and how the program is gone back to). */
#include "abi/hosted.h"
#include "arch/cpu.h"
#include "arch/frame.h"

    .text
    .balign 16
    .globl hosted_entry
hosted_entry:
    lea boot_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    call hosted_start
    ud2

/* long host_call(long nr, u64 a, b, c, d, e, f) */
    .balign 16
    .globl host_stub
host_stub:
    .globl host_call
    .type host_call, @function
host_call:
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    syscall
    ret
    .size host_call, . - host_call

/* long host_wait(struct host_pollfd *fds, u64 count, const void *timeout): a signal that comes between
 * the look and the call goes on at host_wait_skip */
    .globl host_wait, host_wait_check, host_wait_call, host_wait_skip
    .type host_wait, @function
host_wait:
    xorl %r10d, %r10d
    xorl %r8d, %r8d
    movl $271, %eax             /* ppoll */
host_wait_check:
    cmpl $0, %gs:CPU_PENDING
    jne host_wait_skip
host_wait_call:
    syscall
    ret
host_wait_skip:
    movq $-4, %rax              /* -EINTR */
    ret
    .size host_wait, . - host_wait

/* A CPU besides the first begins here, long before the kernel is ready for it: RDI is its struct
 * hosted_cpu, whose first word will be its struct cpu.  The signal that tells of it goes on at the
 * look, wherever it comes (plat/hosted/signal.c). */
    .globl hosted_cpu_entry, hosted_park_check, hosted_park_call
hosted_cpu_entry:
    movq %rdi, %rbx
    movl $1, 12(%rbx)           /* .waits: out of the tender, which may go */
hosted_park_check:
    movq (%rbx), %rax
    testq %rax, %rax
    jne 1f
    xorl %edi, %edi
    xorl %esi, %esi
    xorl %edx, %edx
    xorl %r10d, %r10d
    xorl %r8d, %r8d
    movl $271, %eax             /* ppoll of nothing */
hosted_park_call:
    syscall
    jmp hosted_park_check
1:  movq %rax, %rdi
    movq CPU_KSTACK(%rax), %rsp
    xorl %ebp, %ebp
    call hosted_cpu_main
    ud2

    .globl hosted_restorer
hosted_restorer:
    movl $15, %eax              /* rt_sigreturn */
    syscall
    ud2
    .globl host_stub_end
host_stub_end:

/* The signal's frame is given up, so what it saved of the vector registers is loaded here. */
.macro LOAD_VECTOR
    movq %rdx, %rcx
    movl process_vector_mask(%rip), %eax
    xorl %edx, %edx
    testl %eax, %eax
    je 8f
    xrstor64 (%rcx)
    jmp 9f
8:  fxrstor64 (%rcx)
9:
.endm

    .section .text.hot, "ax", @progbits
    .balign 16
    .globl hosted_enter_trap
hosted_enter_trap:
    LOAD_VECTOR
    movq %rdi, %rsp
    movq %rdi, %rbx
    call hosted_trap
    movq 136(%rbx), %rax        /* rip */
    cmpq arch_kernel_base(%rip), %rax
    jb exit_program
    movq %rbx, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    addq $16, %rsp
    iretq

    .globl hosted_enter_exit
hosted_enter_exit:
    LOAD_VECTOR
    movq %rdi, %rsp
    jmp exit_program

/* As the system-call entry leaves things: all registers the program's, RSP the frame. */
    .globl hosted_enter_call
hosted_enter_call:
    LOAD_VECTOR
    movq %rdi, %rsp
    movq 0(%rsp), %r15
    movq 8(%rsp), %r14
    movq 16(%rsp), %r13
    movq 24(%rsp), %r12
    movq 32(%rsp), %rbp
    movq 40(%rsp), %rbx
    movq 56(%rsp), %r10
    movq 64(%rsp), %r9
    movq 72(%rsp), %r8
    movq 80(%rsp), %rax
    movq 96(%rsp), %rdx
    movq 104(%rsp), %rsi
    movq 112(%rsp), %rdi
    jmp syscall_call

    .section .bss.hosted_signal_stack, "aw", @nobits
    .balign 64
    .globl hosted_signal_stack
hosted_signal_stack:
    .skip HOSTED_SIGNAL_STACK

    .bss
    .globl process_vector_mask
    .balign 4
process_vector_mask:
    .skip 4

    .section .note.GNU-stack, "", @progbits
