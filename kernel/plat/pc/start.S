/* The ways into the kernel on a PC:
 *   start32    Linux's boot protocol, 32 bits: ESI = the zero page; flat segments, paging off
 *   start64    the same, 64 bits: RSI = the zero page, which with the image is identity-mapped
 *   pvh_entry  Xen docs/misc/pvh.pandoc: as start32, but EBX = struct hvm_start_info
 *   efi_start  from UEFI, by the PE header of the boot file; comes back as start64 (efi.c)
 * All go to long mode on a first set of identity tables, let pc_boot_early() build the final ones
 * and relocate the image, and jump up there.  Linux's loaders do not clear our zeroed end.
 * start32, start64 and efi_start stand where abi/linux_boot.h says. */
#include "arch/frame.h"

#define BOOT_ENTRY_64  0x200
#define BOOT_ENTRY_EFI 0x300
#define BOOT_ABSOLUTE  0x320

#define BOOT_STACK_SIZE 16384

    .section .text.entry, "ax", @progbits
    .code32
here:                           /* kernel_start; EBP holds where it is */
    .globl start32
start32:
    cld
    cli
    lea 0x1e8(%esi), %esp       /* boot_params.scratch is for this one call */
    call 1f
1:  pop %ebp
    subl $(1b - here), %ebp
    movl %esi, %ebx
    lea kernel_bss - here(%ebp), %edi
    lea kernel_end - here(%ebp), %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl
    jmp enter_long_mode

    .globl pvh_entry
pvh_entry:
    cld
    cli
    lea 8(%ebx), %esp           /* any writable word will do for one call: start_info.version... */
    movl 4(%ebx), %esi          /* ...which is put back at once */
    call 1f
1:  pop %ebp
    movl %esi, 4(%ebx)
    subl $(1b - here), %ebp

enter_long_mode:
    lea boot_stack_top - here(%ebp), %esp

    /* identity map of the first GiB by 2 MiB pages */
    lea boot_pdpt - here(%ebp), %eax
    orl $3, %eax
    movl %eax, boot_pml4 - here(%ebp)
    lea boot_pd - here(%ebp), %edi
    movl %edi, %eax
    orl $3, %eax
    movl %eax, boot_pdpt - here(%ebp)
    movl $0x83, %eax
2:  movl %eax, (%edi)
    addl $8, %edi
    addl $0x200000, %eax
    cmpl $0x40000083, %eax
    jne 2b

    movl $0x220, %eax           /* CR4: PAE, OSFXSR */
    movl %eax, %cr4
    lea boot_pml4 - here(%ebp), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx      /* EFER: SCE, LME, NXE */
    rdmsr
    orl $0x901, %eax
    wrmsr
    movl $0x80010033, %eax      /* PG WP NE ET MP PE */
    movl %eax, %cr0

    lea boot_gdt - here(%ebp), %eax
    movl %eax, boot_gdtr + 2 - here(%ebp)
    lgdt boot_gdtr - here(%ebp)
    lea in_long_mode - here(%ebp), %eax
    pushl $SEL_CODE
    pushl %eax
    lret

    .code64
    .org BOOT_ENTRY_64
    .globl start64
start64:
    cld
    cli
    movq %rsi, %rbx
    lea kernel_bss(%rip), %rdi
    lea kernel_end(%rip), %rcx
    subq %rdi, %rcx
    shrq $3, %rcx
    xorl %eax, %eax
    rep stosq
    lea boot_stack_top(%rip), %rsp

    lea boot_pdpt(%rip), %rax   /* the loader's tables may lie anywhere */
    orq $3, %rax
    movq %rax, boot_pml4(%rip)
    lea boot_pd(%rip), %rdi
    lea 3(%rdi), %rax
    movq %rax, boot_pdpt(%rip)
    movl $0x83, %eax
2:  movq %rax, (%rdi)
    addq $8, %rdi
    addq $0x200000, %rax
    cmpq $0x40000083, %rax
    jne 2b

    movl $0xc0000080, %ecx      /* EFER: SCE, NXE */
    rdmsr
    orl $0x801, %eax
    wrmsr
    movl $0x220, %eax           /* CR4: PAE, OSFXSR; no PGE, so that nothing of the loader's stays */
    movq %rax, %cr4
    lea boot_pml4(%rip), %rax
    movq %rax, %cr3
    movl $0x80010033, %eax
    movq %rax, %cr0
    lea boot_gdt(%rip), %rax
    movq %rax, boot_gdtr + 2(%rip)
    lgdt boot_gdtr(%rip)
    pushq $SEL_CODE
    lea in_long_mode(%rip), %rax
    pushq %rax
    lretq

    .org BOOT_ENTRY_EFI
    .globl efi_start
efi_start:                      /* RCX = image handle, RDX = system table */
    pushq %rbp                  /* 16-byte alignment, and a way back */
    movq %rcx, %rdi
    movq %rdx, %rsi
    lea here(%rip), %rdx
    call efi_main               /* comes back only if it could not start us */
    popq %rbp
    ret

    .org BOOT_ABSOLUTE
absolute:                       /* abi/absolute.h: of the image; `ingot export` sets the rest */
    .long kernel_code - here, kernel_code_end - here
    .byte 0, 0, 0, 0

in_long_mode:
    movl $SEL_DATA, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    cmpb $0, absolute+10(%rip)
    je 3f
    lea here(%rip), %rdi
    lea absolute(%rip), %rsi
    call absolute_undo
3:  movl %ebx, %edi
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
