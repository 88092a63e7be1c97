/* See abi/absolute.h.  Runs before the rest of the image's code can, so it is not in the range, and
 * neither is what the EFI stub calls (kernel.lds).  Blocks are taken from the last to the first, and
 * the bytes of one are looked at before any of them changes: nothing that was made relative is taken
 * for a marker. */

    .text
    .code64
    .globl absolute_undo
absolute_undo:                  /* RDI = base, RSI = struct absolute_form */
    movl (%rsi), %ecx
    movl 4(%rsi), %eax
    cmpl %ecx, %eax
    jbe 5f
    movzbl 8(%rsi), %edx
    imull $0x01010101, %edx, %r8d
    movd %r8d, %xmm0
    pshufd $0, %xmm0, %xmm0
    shll $24, %edx
    movzbl 9(%rsi), %r8d
    shll $16, %r8d
    orl %edx, %r8d              /* marker and first, as they stand in the highest bytes */
    movzbl 10(%rsi), %r9d
    shll $16, %r9d
    leaq (%rdi,%rcx), %r10
    leaq (%rdi,%rax), %rsi
    subl $4, %edi

1:  subq $64, %rsi              /* RAX: a bit for each byte of the block that is a marker */
    movdqu (%rsi), %xmm1
    pcmpeqb %xmm0, %xmm1
    pmovmskb %xmm1, %eax
    movdqu 16(%rsi), %xmm1
    pcmpeqb %xmm0, %xmm1
    pmovmskb %xmm1, %edx
    shll $16, %edx
    orl %edx, %eax
    movdqu 32(%rsi), %xmm1
    pcmpeqb %xmm0, %xmm1
    pmovmskb %xmm1, %ecx
    movdqu 48(%rsi), %xmm1
    pcmpeqb %xmm0, %xmm1
    pmovmskb %xmm1, %edx
    shll $16, %edx
    orl %edx, %ecx
    shlq $32, %rcx
    orq %rcx, %rax
    jz 4f
    movl %esi, %r11d
    subl %edi, %r11d            /* where an operand at the block's first byte would end */
2:  bsfq %rax, %rcx
    movl (%rsi,%rcx), %edx
    bswapl %edx
    subl %r8d, %edx
    cmpl %r9d, %edx
    jae 3f
    subl %ecx, %edx
    subl %r11d, %edx
    movl %edx, (%rsi,%rcx)
3:  leaq -1(%rax), %rdx
    andq %rdx, %rax
    jnz 2b
4:  cmpq %r10, %rsi
    ja 1b
5:  ret

    .section .note.GNU-stack, "", @progbits
