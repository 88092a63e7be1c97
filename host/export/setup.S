/* The real-mode part of the boot file (abi/linux_boot.h): the setup header, which
 * host/export/boot_file.c fills in, and the code that a BIOS loader enters at 0x200 with DS = SS =
 * where it put us.  Asks the BIOS for the memory map and the screen, writes the zero page one page
 * behind us, and enters the kernel in 32-bit mode.
 * Source: Linux Documentation/arch/x86/boot.rst; ACPI 6.5, 15.1 for E820. */

#define SETUP_SIZE   0x1000
#define ZERO_PAGE    0x1000     /* from DS; 0x8000 bytes are ours by the protocol */
#define STACK        0x7ff0
#define BUILT_IN     0x600      /* the command line of the file itself */
#define E820_ENTRIES 0x1e8
#define E820_TABLE   0x2d0
#define E820_SIZE    20
#define E820_MAX     128
#define SMAP         0x534d4150

    .section .rodata.export_setup, "a", @progbits
    .code16
    .balign 16
    .globl export_setup, export_setup_end
export_setup:
    .org 0x200
    .byte 0xeb, start - 1f      /* a short jump, which the header wants */
1:  .org 0x26c
start:
    cli
    cld
    movw %ds, %ax
    movw %ax, %es
    movw %ax, %ss
    movl $STACK, %esp
    sti

    movw $ZERO_PAGE, %di
    movw $2048, %cx
    xorw %ax, %ax
    rep stosw
    movw $0x1f1, %si            /* the header as the loader completed it */
    movw $ZERO_PAGE + 0x1f1, %di
    movw $0x26c - 0x1f1, %cx
    rep movsb

    movl ZERO_PAGE + 0x228, %eax /* none, or an empty command line: the built-in one */
    testl %eax, %eax
    jz 2f
    cmpl $0xfffff, %eax
    ja 3f
    movl %eax, %ebx
    shrl $4, %eax
    andw $15, %bx
    movw %ax, %fs
    cmpb $0, %fs:(%bx)
    jne 3f
2:  xorl %eax, %eax
    movw %ds, %ax
    shll $4, %eax
    addl $BUILT_IN, %eax
    movl %eax, ZERO_PAGE + 0x228
3:
    xorl %ebx, %ebx             /* the memory map */
    movw $ZERO_PAGE + E820_TABLE, %di
4:  movl $0xe820, %eax
    movl $E820_SIZE, %ecx
    movl $SMAP, %edx
    int $0x15
    jc 5f
    cmpl $SMAP, %eax
    jne 5f
    addw $E820_SIZE, %di
    incb ZERO_PAGE + E820_ENTRIES
    cmpb $E820_MAX, ZERO_PAGE + E820_ENTRIES
    jae 5f
    testl %ebx, %ebx
    jnz 4b
5:
    movb $0x0f, %ah             /* the screen: text of 80 columns, if there is one */
    int $0x10
    cmpb $3, %al
    je 6f
    movw $3, %ax
    int $0x10
    movb $0x0f, %ah
    int $0x10
    cmpb $3, %al
    jne 7f
6:  movb $3, %ah
    xorw %bx, %bx
    int $0x10
    movw %dx, ZERO_PAGE         /* column, row */
    movb $80, ZERO_PAGE + 7
    movb $25, ZERO_PAGE + 14
    movb $1, ZERO_PAGE + 15
7:
    movw $0x2401, %ax           /* A20; a BIOS without this call has it open */
    int $0x15
    cli
    xorl %ebx, %ebx
    movw %ds, %bx
    shll $4, %ebx
    leal ZERO_PAGE(%ebx), %esi
    addl %ebx, gdt_pointer - export_setup + 2
    addl %ebx, far_pointer - export_setup
    movl 0x214, %edx            /* code32_start */
    lgdtl gdt_pointer - export_setup
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl *(far_pointer - export_setup)

    .code32
in_protected_mode:
    movl $0x18, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    xorl %ebx, %ebx
    xorl %ebp, %ebp
    xorl %edi, %edi
    jmp *%edx

    .balign 8
gdt:
    .quad 0, 0
    .quad 0x00cf9b000000ffff    /* 0x10: code */
    .quad 0x00cf93000000ffff    /* 0x18: data */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt - export_setup
far_pointer:
    .long in_protected_mode - export_setup
    .word 0x10

    .org BUILT_IN
    .org SETUP_SIZE
export_setup_end:

    .section .note.GNU-stack, "", @progbits
