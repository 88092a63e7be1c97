/* The ways into the kernel and back.
 *
 * System calls arrive by SYSCALL on the program's stack and go to the thread's kernel stack at once.
 * Exceptions and interrupts arrive on an IST stack, because ring 0 does not switch stacks by itself
 * and the program's red zone must survive; their frame moves to the kernel stack (from program code) or
 * below the interrupted stack pointer (from kernel code).  See docs/architecture.md, "Calls".
 *
 * An interrupt of kernel code only sets its pending bit.  The one place where that could be missed is the
 * end of a system call, between the look at the pending word and the jump to the program; the
 * interrupt therefore restarts that sequence (syscall_exit_check), which only loads registers. */
#include "arch/cpu.h"
#include "arch/frame.h"
#include "arch/hooks.h"

#define F_R15     0
#define F_R14     8
#define F_R13     16
#define F_R12     24
#define F_RBP     32
#define F_RBX     40
#define F_R11     48
#define F_R10     56
#define F_R9      64
#define F_R8      72
#define F_RAX     80
#define F_RCX     88
#define F_RDX     96
#define F_RSI     104
#define F_RDI     112
#define F_VECTOR  120
#define F_RIP     136
#define F_RFLAGS  152
#define F_RSP     160
#define F_CS      144
#define F_SS      168

/* Selectors of a process of Linux. */
#define LINUX_CS  0x33
#define LINUX_SS  0x2b

/* What a saved image on the IST stack looks like after rax and rcx were pushed. */
#define I_RCX     0
#define I_RAX     8
#define I_VECTOR  16
#define I_ERROR   24
#define I_RIP     32
#define I_CS      40
#define I_RFLAGS  48
#define I_RSP     56
#define I_SS      64

#define FLAGS_ODD (RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC)

    .section .text.hot, "ax", @progbits

.macro PUSH_GENERAL
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
.endm

.macro POP_GENERAL
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
.endm

/* Both ways in leave a frame that lacks what the C ABI keeps anyway: rbx, rbp and r12 to r15 stay in
 * their registers, and are put into the frame where somebody asks (arch/full_frame.h, and exit work).
 * SYSCALL has saved the flags in r11 and cleared those that would harm us; the gate of patched
 * programs (abi/patch.h), which is a mere jump, has done neither.  A call with one of these flags set
 * goes the long way. */
    .balign 16
    .globl syscall_entry
    .type syscall_entry, @function
syscall_entry:
    testl $FLAGS_ODD, %r11d
    jne syscall_odd
    movq %rsp, %gs:CPU_USER_RSP
    movq %gs:CPU_KSTACK, %rsp
    push $SEL_DATA
    push %gs:CPU_USER_RSP
    push %r11
    jmp syscall_frame
    .size syscall_entry, . - syscall_entry

    .balign 16
    .globl syscall_gate_entry
    .type syscall_gate_entry, @function
syscall_gate_entry:
    movq %rsp, %gs:CPU_USER_RSP
    movq %gs:CPU_KSTACK, %rsp
    push $SEL_DATA
    push %gs:CPU_USER_RSP
    pushfq
    testl $FLAGS_ODD, (%rsp)
    jne gate_odd
syscall_frame:
    push $SEL_CODE
    push %rcx
    push %rax
    push $FRAME_PARTIAL
    push %rdi
    push %rsi
    push %rdx
    subq $(F_RDX - F_R8 - 8), %rsp      /* rcx and rax */
    push %r8
    push %r9
    push %r10
    subq $F_R10, %rsp
    cmpq $(SYSCALL_SLOTS - 1), %rax
    ja 2f
1:  movq syscall_active(%rip), %r11
    movq %r10, %rcx
    call *(%r11, %rax, 8)
    .globl syscall_exit_check, syscall_exit_jump
syscall_exit_check:
    cmpl $0, %gs:CPU_PENDING
    jne syscall_exit_work
    movq F_RFLAGS(%rsp), %r11
    movq F_R10(%rsp), %r10
    movq F_R9(%rsp), %r9
    movq F_R8(%rsp), %r8
    movq F_RDX(%rsp), %rdx
    movq F_RSI(%rsp), %rsi
    movq F_RDI(%rsp), %rdi
    movq F_RIP(%rsp), %rcx
    movq F_RSP(%rsp), %rsp
syscall_exit_jump:
    jmp *%rcx
2:  movl $(SYSCALL_SLOTS - 1), %eax
    jmp 1b
    .size syscall_gate_entry, . - syscall_gate_entry

/* Something waits: all registers into the frame. */
syscall_exit_work:
    movq F_RIP(%rsp), %rcx
    movq F_RFLAGS(%rsp), %r11
    movq %rcx, F_RCX(%rsp)
    movq %r11, F_R11(%rsp)
    movq %rax, F_RAX(%rsp)
    movl $FRAME_SYSCALL, F_VECTOR(%rsp)
    movq %rbx, F_RBX(%rsp)
    movq %rbp, F_RBP(%rsp)
    movq %r12, F_R12(%rsp)
    movq %r13, F_R13(%rsp)
    movq %r14, F_R14(%rsp)
    movq %r15, F_R15(%rsp)
    movq %rsp, %rdi
    call program_exit_work
    jmp exit_program

/* As SYSCALL would have left things. */
gate_odd:
    pop %r11
    push $(RFLAGS_FIXED | RFLAGS_IF)
    popfq
    movq %gs:CPU_USER_RSP, %rsp
syscall_odd:
    movq %rsp, %gs:CPU_USER_RSP
    movq %gs:CPU_KSTACK, %rsp
    push $SEL_DATA
    push %gs:CPU_USER_RSP
    push %r11
    push $SEL_CODE
    push %rcx
    push %rax
    push $FRAME_SYSCALL
    PUSH_GENERAL
    .globl syscall_call
syscall_call:                           /* RSP: a whole frame; all registers as in it */
    cmpq $(SYSCALL_SLOTS - 1), %rax
    jbe 1f
    movl $(SYSCALL_SLOTS - 1), %eax
1:  movq syscall_active(%rip), %r11
    movq %r10, %rcx
    call *(%r11, %rax, 8)
    movq %rax, F_RAX(%rsp)
    jmp exit_program

/* Back to program code by the long way: RSP is the frame at the top of the kernel stack. */
    .balign 16
    .globl exit_program
exit_program:
    cmpb $0, arch_in_process(%rip)
    jne exit_process
    cli
    cmpl $0, %gs:CPU_PENDING
    jne 1f
    POP_GENERAL
    addq $16, %rsp
    iretq
1:  sti
    movq %rsp, %rdi
    call program_exit_work
    jmp exit_program

/* The same in a host process: who interrupts us between the look and the jump puts us back
 * to the look (plat/hosted/signal.c). */
exit_process:
    movq $LINUX_CS, F_CS(%rsp)
    movq $LINUX_SS, F_SS(%rsp)
    .globl exit_process_check, exit_process_jump
exit_process_check:
    cmpl $0, %gs:CPU_PENDING
    jne 1f
    POP_GENERAL
    addq $16, %rsp
exit_process_jump:
    iretq
1:  movq %rsp, %rdi
    call program_exit_work
    jmp exit_process

    .globl arch_enter_program
    .type arch_enter_program, @function
arch_enter_program:
    movq %rdi, %rsp
    jmp exit_program
    .size arch_enter_program, . - arch_enter_program

/* The change of stacks has left SS empty.  That harms nothing, but an emulator has the size of the
 * stack in the key of what it translates, and would translate each function again that both an
 * exception and a system call lead to, and of the program what a thread goes on with that waited in
 * a system call while another one's fault ended. */
.macro LOAD_SS
    movl $SEL_DATA, %eax
    movl %eax, %ss
.endm

/* Exceptions.  On an IST stack: vector, error, rip, cs, rflags, rsp, ss. */
    .balign 16
trap_common:
    push %rax
    push %rcx
    movq %rsp, %rcx
    LOAD_SS
    cmpq $0, I_RIP(%rcx)
    jl trap_from_kernel
trap_from_program:
    cld
    movq %gs:CPU_KSTACK, %rsp
    call trap_move
    call trap_dispatch
    jmp exit_program

trap_from_kernel:
    cld
    cmpq $0, I_RSP(%rcx)
    jge 2f                      /* the first or last instruction of a system call */
    lea trap_common(%rip), %rax
    subq I_RIP(%rcx), %rax
    negq %rax
    cmpq $(trap_move_end - trap_common), %rax
    jb trap_while_moving
    movq I_RSP(%rcx), %rsp
    andq $-16, %rsp
1:  call trap_move
    call trap_dispatch
    cli
    POP_GENERAL
    addq $16, %rsp
    iretq
2:  lea kernel_start(%rip), %rax
    cmpq I_RIP(%rcx), %rax
    ja 3f
    lea kernel_text_end(%rip), %rax
    cmpq %rax, I_RIP(%rcx)
    jae 3f
    movq %gs:CPU_KSTACK, %rsp
    jmp 1b
3:  movq $0, I_RIP(%rcx)        /* the program has jumped out of its half: as if to nowhere */
    jmp trap_from_program

/* Make a struct trap_frame below RSP out of the IST image at RCX and the registers; returns with
 * RDI = RSP = the frame. */
trap_move:
    pop %rax
    push I_SS(%rcx)
    push I_RSP(%rcx)
    push I_RFLAGS(%rcx)
    push I_CS(%rcx)
    push I_RIP(%rcx)
    push $-1
    push %rdi                   /* a place for vector and error, filled below */
    push %rdi
    push %rsi
    push %rdx
    push I_RCX(%rcx)
    push I_RAX(%rcx)
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    movl I_VECTOR(%rcx), %edx
    movl %edx, F_VECTOR(%rsp)
    movl I_ERROR(%rcx), %edx
    movl %edx, F_VECTOR + 4(%rsp)
    movq %rsp, %rdi
    jmp *%rax
trap_move_end:

/* A fault while a frame was being moved: the kernel stack has run over. */
trap_while_moving:
    movq %gs:CPU_PANIC, %rsp
    call trap_move
    call trap_stack_overflow
    ud2

/* Exceptions with a stack of their own (NMI, #DF, #MC) stay on it. */
    .balign 16
trap_own_stack:
    push %rax
    push %rcx
    movq %rsp, %rcx
    cld
    andq $-16, %rsp
    call trap_move
    call trap_dispatch
    POP_GENERAL
    addq $16, %rsp
    iretq

/* Hardware interrupts: note the line, acknowledge, and go on in kernel code, or to the
 * safe point that leaving program code is. */
    .balign 16
irq_common:
    push %rax
    push %rcx
    movl I_VECTOR(%rsp), %eax
    subl $VECTOR_LINES, %eax
    lock btsl %eax, %gs:CPU_PENDING
    movq arch_eoi_register(%rip), %rcx
    testq %rcx, %rcx
    je 3f
    movl $0, (%rcx)
1:  movq I_RIP(%rsp), %rax
    testq %rax, %rax
    jns 4f
    lea syscall_exit_check(%rip), %rcx
    subq %rcx, %rax
    cmpq $(syscall_exit_jump - syscall_exit_check), %rax
    ja 2f
    je 5f
    movq %rcx, I_RIP(%rsp)
2:  pop %rcx
    pop %rax
    addq $16, %rsp
    iretq
3:  push %rdx
    movl $0x80b, %ecx           /* x2APIC EOI */
    xorl %eax, %eax
    xorl %edx, %edx
    wrmsr
    pop %rdx
    jmp 1b
4:  movq %rsp, %rcx
    cld
    LOAD_SS
    movq %gs:CPU_KSTACK, %rsp
    call trap_move
    jmp exit_program
5:  movq I_RCX(%rsp), %rax      /* all registers are the program's already */
    movq %rax, I_RIP(%rsp)
    jmp 4b

    .globl irq_spurious
irq_spurious:
    iretq

/* The one interrupt that is answered where it comes: who sent it waits, perhaps with a lock held that
 * what we interrupted waits for.  It touches nothing but the TLB and its own CPU's words. */
    .globl irq_tlb
irq_tlb:
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    cld
    call tlb_interrupt
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    iretq

/* One stub a vector, 16 bytes each. */
    .text
    .balign 16
    .globl trap_stubs
trap_stubs:
    .set v, 0
    .rept 256
    .balign 16
    .if !((v == 8) || (v >= 10 && v <= 14) || (v == 17) || (v == 21))
    push $0
    .endif
    push $v
    .if (v == 2) || (v == 8) || (v == 18)
    jmp trap_own_stack
    .elseif (v >= VECTOR_LINES) && (v < VECTOR_LINES + 32)
    jmp irq_common
    .else
    jmp trap_common
    .endif
    .set v, v + 1
    .endr

/* Where a new thread begins: arch_thread_init() left argument and entry on its stack. */
    .section .text.hot, "ax", @progbits
    .balign 16
    .globl arch_thread_begin
arch_thread_begin:
    xorl %ebp, %ebp
    pop %rdi
    pop %rax
    call *%rax
    ud2

    .section .note.GNU-stack, "", @progbits
