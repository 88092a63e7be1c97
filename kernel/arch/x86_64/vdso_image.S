/* The vDSO, as built beside the kernel, at page granularity: programs map these very pages. */
    .section .rodata.vdso, "a", @progbits
    .balign 4096
    .globl vdso_image_start, vdso_image_end
vdso_image_start:
    .incbin VDSO_PATH
    .balign 4096
vdso_image_end:

    .section .note.GNU-stack, "", @progbits
