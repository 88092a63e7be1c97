/* See cpuid.h, and image/patch/start.h for what the two sections are. */
    .section cpuid_asked, "ax", @progbits
    .globl host_cpuid
    .type host_cpuid, @function
host_cpuid:
    .cfi_startproc
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    movl %edi, %eax
    movl %esi, %ecx
    movq %rdx, %rdi
    cpuid
    movl %eax, (%rdi)
    movl %ebx, 4(%rdi)
    movl %ecx, 8(%rdi)
    movl %edx, 12(%rdi)
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    ret
    .cfi_endproc
    .size host_cpuid, . - host_cpuid

    .section cpuid_room, "ax", @progbits
    .skip 4096, 0xcc

    .section .note.GNU-stack, "", @progbits
