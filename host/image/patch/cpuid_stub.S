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

    .section .note.GNU-stack, "", @progbits
