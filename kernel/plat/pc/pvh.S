/* The PVH entry (Xen docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, paging off,
 * EBX = physical address of struct hvm_start_info.  Goes to long mode on a first set of identity
 * tables, lets pc_boot_early() build the final ones and relocate the image, and jumps up there. */
#include "arch/frame.h"

#define BOOT_STACK_SIZE 16384

    .section .text.entry, "ax", @progbits
    .code32
    .globl pvh_entry
pvh_entry:
    cld
    cli
    lea 8(%ebx), %esp           /* any writable word will do for one call: start_info.version... */
    movl 4(%ebx), %esi          /* ...which is put back at once */
    call 1f
1:  pop %ebp
    movl %esi, 4(%ebx)
    lea boot_stack_top - 1b(%ebp), %esp

    /* identity map of the first GiB by 2 MiB pages */
    lea boot_pdpt - 1b(%ebp), %eax
    orl $3, %eax
    movl %eax, boot_pml4 - 1b(%ebp)
    lea boot_pd - 1b(%ebp), %edi
    movl %edi, %eax
    orl $3, %eax
    movl %eax, boot_pdpt - 1b(%ebp)
    movl $0x83, %eax
2:  movl %eax, (%edi)
    addl $8, %edi
    addl $0x200000, %eax
    cmpl $0x40000083, %eax
    jne 2b

    movl $0x20, %eax            /* CR4.PAE */
    movl %eax, %cr4
    lea boot_pml4 - 1b(%ebp), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx      /* EFER: SCE, LME, NXE */
    rdmsr
    orl $0x901, %eax
    wrmsr
    movl $0x80010033, %eax      /* PG WP NE ET MP PE */
    movl %eax, %cr0

    lea boot_gdt - 1b(%ebp), %eax
    movl %eax, boot_gdtr + 2 - 1b(%ebp)
    lgdt boot_gdtr - 1b(%ebp)
    lea 3f - 1b(%ebp), %eax
    pushl $SEL_CODE
    pushl %eax
    lret

    .code64
3:  movl $SEL_DATA, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl %ebx, %edi
    xorl %ebp, %ebp
    call pc_boot_early          /* returns how far up the image goes; loads the final tables */
    addq %rax, %rsp
    lea 4f(%rip), %rcx
    addq %rax, %rcx
    jmp *%rcx
4:  call pc_boot_high
    ud2

    .section .data.boot_gdt, "aw", @progbits
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    /* 64-bit code */
    .quad 0x00cf93000000ffff    /* data */
boot_gdtr:
    .word . - boot_gdt - 1
    .quad 0

    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .skip BOOT_STACK_SIZE
    .globl boot_stack_top
boot_stack_top:

    .section .bss.boot_tables, "aw", @nobits
    .balign 4096
    .globl boot_pml4, boot_pdpt, boot_pd
boot_pml4:
    .skip 4096
boot_pdpt:
    .skip 4096
boot_pd:
    .skip 4096

    .section .note.GNU-stack, "", @progbits
