/* How another CPU comes up: a start-up interrupt lets it begin in real mode at the page AP_PAGE, where
 * ap.c has put a copy of what stands between ap_page and ap_page_end (SDM 3A 9.4).  From there to long
 * mode in one step, on the boot's identity tables, which ap.c has given the kernel's half as well. */
#include "arch/cpu.h"
#include "arch/frame.h"
#include "plat/pc/ap.h"

    .section .rodata.ap_page, "a", @progbits
    .balign 16
    .globl ap_page, ap_page_end, ap_page_root, ap_page_entry
    .code16
ap_page:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl ap_gdtr - ap_page
    movl $0x20, %eax            /* CR4.PAE */
    movl %eax, %cr4
    movl ap_page_root - ap_page, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx      /* EFER: SCE, LME, NXE */
    rdmsr
    orl $0x901, %eax
    wrmsr
    movl $0x80010033, %eax      /* PG WP NE ET MP PE */
    movl %eax, %cr0
    ljmpl $SEL_CODE, $(AP_PAGE + ap_long - ap_page)

    .code64
ap_long:
    movl $SEL_DATA, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movq ap_page_entry(%rip), %rax
    jmp *%rax

    .balign 8
ap_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    /* 64-bit code */
    .quad 0x00cf93000000ffff    /* data */
ap_gdtr:
    .word . - ap_gdt - 1
    .long AP_PAGE + ap_gdt - ap_page
    .balign 8
ap_page_entry:
    .quad 0                     /* ap_entry, where the kernel is mapped */
ap_page_root:
    .long 0                     /* physical address of boot_pml4 */
ap_page_end:

/* Several come here at once.  Each finds itself by its APIC id in ap_slots and takes the stack that
 * waits for it there; one that nobody has asked for stops. */
    .text
    .balign 16
    .globl ap_entry
ap_entry:
    xorl %eax, %eax
    cpuid
    cmpl $0xb, %eax
    jb 1f
    movl $0xb, %eax             /* the whole id, where the leaf is there */
    xorl %ecx, %ecx
    cpuid
    testl %ebx, %ebx
    jne 2f
1:  movl $1, %eax
    cpuid
    movl %ebx, %edx
    shrl $24, %edx
2:  lea ap_slots(%rip), %rsi
    movl $AP_SLOTS, %ecx
3:  movq 8(%rsi), %rdi
    testq %rdi, %rdi
    je 4f
    cmpl %edx, (%rsi)
    je 5f
4:  addq $16, %rsi
    decl %ecx
    jne 3b
    cli
    hlt
5:  movq CPU_KSTACK(%rdi), %rsp
    xorl %ebp, %ebp
    call pc_ap_main
    ud2

    .section .note.GNU-stack, "", @progbits
