/* The boot sector of an exported disk, or the boot file of an ISO: a loader of one boot file
 * (abi/linux_boot.h) whose place and sizes host/export/disk.c writes into the fields at the end.
 * Reads it by the BIOS's extended calls (EDD 3.0, function 42h) in pieces of 32 KiB, copies each up
 * with 4 GiB segment limits, and enters the setup code by Linux's 16-bit protocol.
 * docs/decisions/0018-boot-files.md says why it is our own. */

#define LOAD    0x7c00
#define SETUP   0x90000
#define KERNEL  0x100000
#define ROOT    0x400000        /* behind the kernel's 2 MiB */
#define BOUNCE  0x10000
#define PIECE   0x8000

    .section .rodata.export_mbr, "a", @progbits
    .code16
    .balign 16
    .globl export_mbr, export_mbr_end
export_mbr:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $LOAD, %sp
    sti
    cld
    ljmp $0, $LOAD + (1f - export_mbr)
1:  movb %dl, LOAD + (drive - export_mbr)
    movw $0x2401, %ax           /* A20 */
    int $0x15

    movl $SETUP, %edi
    movl $0x1000, %ecx
    call load
    movl $KERNEL, %edi
    movl LOAD + (kernel_bytes - export_mbr), %ecx
    call load
    movl $ROOT, %edi
    movl LOAD + (root_bytes - export_mbr), %ecx
    movl %ecx, %ebp
    call load

    cli
    movw $SETUP >> 4, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movl $0x8000, %esp
    movb $0xff, 0x210           /* type_of_loader: none of the known */
    orb $0x80, 0x211            /* there is a heap... */
    movw $0x7e00, 0x224         /* ...up to here, less 0x200 */
    movl %ebp, 0x21c
    movl $ROOT, 0x218
    sti
    ljmp $(SETUP >> 4) + 0x20, $0

/* ECX bytes, of whole pages, from where the last call ended to EDI. */
load:
    testl %ecx, %ecx
    jz 9f
    movl $PIECE, %eax
    cmpl %eax, %ecx
    jae 2f
    movl %ecx, %eax
2:  subl %eax, %ecx
    pushl %ecx
    pushl %eax
    pushl %edi
    movb LOAD + (shift - export_mbr), %cl
    shrl %cl, %eax
    movw %ax, LOAD + (count - export_mbr)
    pushl %eax
    movb LOAD + (drive - export_mbr), %dl
    movw $LOAD + (packet - export_mbr), %si
    movb $0x42, %ah
    int $0x13
    jc failed
    popl %eax
    addl %eax, LOAD + (lba - export_mbr)
    popl %edi
    popl %ecx
    cli                         /* the BIOS has made the limits 64 KiB again */
    lgdtl LOAD + (gdt_pointer - export_mbr)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    jmp 3f
3:  movw $8, %bx
    movw %bx, %ds
    movw %bx, %es
    andb $0xfe, %al
    movl %eax, %cr0
    jmp 4f
4:  xorw %bx, %bx
    movw %bx, %ds
    movw %bx, %es
    shrl $2, %ecx
    movl $BOUNCE, %esi
    .byte 0x67                  /* addr32, which clang wants so */
    rep movsl
    sti
    popl %ecx
    jmp load
9:  ret

failed:
    movw $LOAD + (message - export_mbr), %si
5:  lodsb
    testb %al, %al
    jz 6f
    movb $0x0e, %ah
    movw $7, %bx
    int $0x10
    jmp 5b
6:  hlt
    jmp 6b

message:
    .asciz "ingot: cannot read the disk\r\n"
drive:
    .byte 0
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long LOAD + (gdt - export_mbr)
    .org 0x198                  /* EDD's packet; its LBA is the first of our fields */
packet:
    .byte 16, 0
count:
    .word 0
    .word 0, BOUNCE >> 4
lba:                            /* from here on: struct mbr_fields (host/export/disk.c) */
    .quad 0
kernel_bytes:
    .long 0
root_bytes:
    .long 0
shift:
    .byte 9
    .org 0x1b8                  /* the disk's signature and partitions follow */
export_mbr_end:

    .section .note.GNU-stack, "", @progbits
