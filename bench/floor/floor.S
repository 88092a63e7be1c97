/* The least a PVH guest can do: print one letter on the serial port and end the machine.
 * What it takes is QEMU's own, the floor that no kernel gets below. */
    .section .note.pvh, "a", @note
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long _start

    .text
    .code32
    .globl _start
_start:
    mov $0x3f8, %dx
    mov $'F', %al
    out %al, %dx
    mov $0x501, %dx /* isa-debug-exit */
    xor %eax, %eax
    out %ax, %dx
1:  hlt
    jmp 1b
