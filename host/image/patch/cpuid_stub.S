/* See cpuid_stub.h, and abi/patch.h for the table.  It runs in the program: what interrupts it
 * interrupts the program, and its stack is the program's, below the red zone. */
#include "abi/patch.h"

#define RED_ZONE 128

    .section .rodata
    .globl cpuid_stub, cpuid_stub_end
cpuid_stub:
    lea -RED_ZONE(%rsp), %rsp
    push %rdx
    pushfq
    movl CPUID_TABLE_ADDR, %edx         /* the count */
    movl $(CPUID_TABLE_ADDR + 8), %ebx
1:  subl $1, %edx
    jb 4f
    cmpl (%rbx), %eax
    jne 2f
    cmpl $CPUID_ANY_SUBLEAF, 4(%rbx)
    je 3f
    cmpl 4(%rbx), %ecx
    je 3f
2:  addq $CPUID_ENTRY_SIZE, %rbx
    jmp 1b
3:  movl 8(%rbx), %eax
    movl 16(%rbx), %ecx
    movl 20(%rbx), %edx
    movl 12(%rbx), %ebx
    popfq
    ret $RED_ZONE
4:  cpuid
    popfq
    ret $RED_ZONE
cpuid_stub_end:

/* Leaves 0 to 2 of an Intel CPU with the features that x86-64 is made of, 32 KiB of L1 and 2 MiB of
 * L2 (SDM 2A, CPUID); zeros for all others.  The caches matter: a C library that hears of none takes
 * every copy for one that does not fit. */
#define PLAIN_FEATURES    0x078bfbff /* FPU to PSE36, CLFLUSH, MMX, FXSR, SSE, SSE2 */
#define PLAIN_FAMILY_15   0x00000f4a
#define PLAIN_LINE        0x00000800 /* 8 * 8 bytes */
#define PLAIN_DESCRIPTORS 0x002c307d /* L2 2 MiB, L1i 32 KiB, L1d 32 KiB */
    .globl cpuid_plain, cpuid_plain_end
cpuid_plain:
    lea -RED_ZONE(%rsp), %rsp
    push %rdx
    pushfq
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    subl $1, %eax
    jb 2f
    je 3f
    subl $1, %eax
    movl $0, %eax
    jne 1f
    movl $1, %eax
    movl $PLAIN_DESCRIPTORS, %edx
1:  popfq
    ret $RED_ZONE
2:  movl $2, %eax
    movl $0x756e6547, %ebx /* Genu */
    movl $0x49656e69, %edx /* ineI */
    movl $0x6c65746e, %ecx /* ntel */
    jmp 1b
3:  movl $PLAIN_FAMILY_15, %eax
    movl $PLAIN_LINE, %ebx
    movl $PLAIN_FEATURES, %edx
    jmp 1b
cpuid_plain_end:

    .section .note.GNU-stack, "", @progbits
