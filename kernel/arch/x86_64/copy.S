/* Copies with one side in program memory: every access that may fault has an entry in the exception
 * table.  A wide access that faults is done again byte by byte, what was copied before included
 * where that lies near, so the count returned is exact. */

    .text

.macro EX at, fix
    .pushsection __ex_table, "a"
    .long \at - ., \fix - .
    .popsection
.endm

/* size_t arch_copy_user(void *dst, const void *src, size_t n) */
    .balign 16
    .globl arch_copy_user
    .type arch_copy_user, @function
arch_copy_user:
    cmpq $1, %rdx
    jbe 10f
    cmpq $8, %rdx
    jb 13f
    cmpq $16, %rdx
    ja 5f
1:  movq (%rsi), %rax           /* two words that overlap */
2:  movq -8(%rsi, %rdx), %rcx
21: movq %rax, (%rdi)
22: movq %rcx, -8(%rdi, %rdx)
    xorl %eax, %eax
    ret
copy_user_bytes:
3:  testq %rdx, %rdx
    je 4f
31: movb (%rsi), %al
32: movb %al, (%rdi)
    incq %rsi
    incq %rdi
    decq %rdx
    jne 31b
4:  movq %rdx, %rax
    ret
5:  cmpq $32, %rdx
    ja 50f
41: movq (%rsi), %rax           /* four words, of which the middle ones may overlap */
42: movq 8(%rsi), %rcx
43: movq -16(%rsi, %rdx), %r8
44: movq -8(%rsi, %rdx), %r9
45: movq %rax, (%rdi)
46: movq %rcx, 8(%rdi)
47: movq %r8, -16(%rdi, %rdx)
48: movq %r9, -8(%rdi, %rdx)
    xorl %eax, %eax
    ret
50: cmpq $64, %rdx
    jae 60f
    xorl %ecx, %ecx
    leaq -8(%rdx), %r8
51: movq (%rsi, %rcx), %rax
52: movq %rax, (%rdi, %rcx)
    addq $8, %rcx
    cmpq %r8, %rcx
    jb 51b
53: movq (%rsi, %r8), %rax      /* the last word overlaps */
54: movq %rax, (%rdi, %r8)
    xorl %eax, %eax
    ret
60: movq %rdx, %rcx
    cmpb $0, copy_by_bytes(%rip)
    jne 7f
    shrq $3, %rcx
    andl $7, %edx
6:  rep movsq
    testl %edx, %edx
    je 4b
61: movq -8(%rsi, %rdx), %rax
62: movq %rax, -8(%rdi, %rdx)
    xorl %eax, %eax
    ret
7:  rep movsb
    xorl %eax, %eax
    ret
8:  leaq (%rdx, %rcx, 8), %rdx  /* words left and the tail */
    jmp 3b
9:  movq %rcx, %rax
    ret
10: jb 4b
11: movb (%rsi), %al
12: movb %al, (%rdi)
    xorl %eax, %eax
    ret
13: cmpq $4, %rdx
    jb 3b
14: movl (%rsi), %eax
15: movl -4(%rsi, %rdx), %ecx
16: movl %eax, (%rdi)
17: movl %ecx, -4(%rdi, %rdx)
    xorl %eax, %eax
    ret
    EX 1b, 3b
    EX 2b, 3b
    EX 21b, 3b
    EX 22b, 3b
    EX 31b, 4b
    EX 32b, 4b
    EX 41b, 3b
    EX 42b, 3b
    EX 43b, 3b
    EX 44b, 3b
    EX 45b, 3b
    EX 46b, 3b
    EX 47b, 3b
    EX 48b, 3b
    EX 51b, 3b
    EX 52b, 3b
    EX 53b, 3b
    EX 54b, 3b
    EX 6b, 8b
    EX 61b, 3b
    EX 62b, 3b
    EX 7b, 9b
    EX 11b, 4b
    EX 12b, 4b
    EX 14b, 3b
    EX 15b, 3b
    EX 16b, 3b
    EX 17b, 3b
    .size arch_copy_user, . - arch_copy_user

/* size_t arch_copy_user_bulk(void *dst, const void *src, size_t n): under TCG, where each turn of a rep
 * is a block of its own and so three times as slow, 64 bytes a turn by plain moves. */
    .balign 16
    .globl arch_copy_user_bulk
    .type arch_copy_user_bulk, @function
arch_copy_user_bulk:
    cmpb $0, copy_by_moves(%rip)
    je arch_copy_user
    jmp 30f
10: movq (%rsi), %rax
11: movq 8(%rsi), %rcx
12: movq 16(%rsi), %r8
13: movq 24(%rsi), %r9
14: movq %rax, (%rdi)
15: movq %rcx, 8(%rdi)
16: movq %r8, 16(%rdi)
17: movq %r9, 24(%rdi)
18: movq 32(%rsi), %rax
19: movq 40(%rsi), %rcx
20: movq 48(%rsi), %r8
21: movq 56(%rsi), %r9
22: movq %rax, 32(%rdi)
23: movq %rcx, 40(%rdi)
24: movq %r8, 48(%rdi)
25: movq %r9, 56(%rdi)
    addq $64, %rsi
    addq $64, %rdi
    subq $64, %rdx
30: cmpq $64, %rdx
    jae 10b
    jmp arch_copy_user          /* the rest; or byte by byte up to where it faults */
    .irp at, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25
    EX \at\()b, copy_user_bytes
    .endr
    .size arch_copy_user_bulk, . - arch_copy_user_bulk

/* size_t arch_clear_user(void *dst, size_t n) */
    .balign 16
    .globl arch_clear_user
    .type arch_clear_user, @function
arch_clear_user:
    movq %rsi, %rdx
    movq %rsi, %rcx
    xorl %eax, %eax
    shrq $3, %rcx
    andl $7, %edx
1:  rep stosq
2:  testq %rdx, %rdx
    je 4f
3:  movb $0, (%rdi)
    incq %rdi
    decq %rdx
    jne 3b
4:  movq %rdx, %rax
    ret
5:  leaq (%rdx, %rcx, 8), %rdx
    jmp 2b
    EX 1b, 5b
    EX 3b, 4b
    .size arch_clear_user, . - arch_clear_user

/* ssize_t arch_strncpy_user(char *dst, const char *src, size_t n) */
    .balign 16
    .globl arch_strncpy_user
    .type arch_strncpy_user, @function
arch_strncpy_user:
    xorl %eax, %eax
    movabsq $-0x0101010101010101, %r8
    movabsq $0x8080808080808080, %r9
    subq $8, %rdx               /* where the last whole word begins */
    jb 1f
2:  movq (%rsi, %rax), %rcx     /* eight at a time; what lies behind the NUL is copied too */
    movq %rcx, (%rdi, %rax)
    leaq (%rcx, %r8), %r11
    notq %rcx
    andq %r9, %r11
    andq %r11, %rcx             /* the top bit of each zero byte, the lowest one surely */
    jne 3f
    addq $8, %rax
    cmpq %rdx, %rax
    jbe 2b
1:  addq $8, %rdx
    jmp 5f
3:  bsfq %rcx, %rcx
    shrl $3, %ecx
    addq %rcx, %rax
    ret
4:  movq $-14, %rax             /* -EFAULT */
    ret
5:  cmpq %rdx, %rax             /* one at a time: near the end, or where a word would fault */
    je 7f
6:  movb (%rsi, %rax), %cl
    movb %cl, (%rdi, %rax)
    testb %cl, %cl
    je 7f
    incq %rax
    jmp 5b
7:  ret
    EX 2b, 1b
    EX 6b, 4b
    .size arch_strncpy_user, . - arch_strncpy_user

/* ssize_t arch_strnlen_user(const char *src, size_t n) */
    .balign 16
    .globl arch_strnlen_user
    .type arch_strnlen_user, @function
arch_strnlen_user:
    xorl %eax, %eax
1:  cmpq %rsi, %rax
    je 3f
2:  cmpb $0, (%rdi, %rax)
    je 3f
    incq %rax
    jmp 1b
3:  ret
4:  movq $-14, %rax
    ret
    EX 2b, 4b
    .size arch_strnlen_user, . - arch_strnlen_user

/* int arch_user_load32(const u32 *addr, u32 *value) */
    .balign 16
    .globl arch_user_load32
    .type arch_user_load32, @function
arch_user_load32:
1:  movl (%rdi), %eax
    movl %eax, (%rsi)
    xorl %eax, %eax
    ret
2:  movl $-14, %eax
    ret
    EX 1b, 2b
    .size arch_user_load32, . - arch_user_load32

/* int arch_user_cmpxchg32(u32 *addr, u32 *old, u32 new) */
    .balign 16
    .globl arch_user_cmpxchg32
    .type arch_user_cmpxchg32, @function
arch_user_cmpxchg32:
    movl (%rsi), %eax
1:  lock cmpxchgl %edx, (%rdi)
    jne 2f
    xorl %eax, %eax
    ret
2:  movl %eax, (%rsi)
    movl $-11, %eax             /* -EAGAIN */
    ret
3:  movl $-14, %eax
    ret
    EX 1b, 3b
    .size arch_user_cmpxchg32, . - arch_user_cmpxchg32

/* Kernel memory.  Small sizes by overlapping words, because starting a rep costs tens of cycles. */

/* void *memcpy(void *dst, const void *src, size_t n) */
    .balign 16
    .globl memcpy
    .type memcpy, @function
memcpy:
    movq %rdi, %rax
    cmpq $16, %rdx
    ja 4f
    cmpq $8, %rdx
    jae 3f
    cmpq $4, %rdx
    jae 2f
    testq %rdx, %rdx
    je 1f
    movzbl (%rsi), %ecx
    movzbl -1(%rsi, %rdx), %r8d
    cmpq $3, %rdx
    jne 11f
    movzbl 1(%rsi), %r9d
    movb %r9b, 1(%rdi)
11: movb %cl, (%rdi)
    movb %r8b, -1(%rdi, %rdx)
1:  ret
2:  movl (%rsi), %ecx
    movl -4(%rsi, %rdx), %r8d
    movl %ecx, (%rdi)
    movl %r8d, -4(%rdi, %rdx)
    ret
3:  movq (%rsi), %rcx
    movq -8(%rsi, %rdx), %r8
    movq %rcx, (%rdi)
    movq %r8, -8(%rdi, %rdx)
    ret
4:  movq -8(%rsi, %rdx), %r8    /* the tail overlaps the last whole word */
    leaq -8(%rdi, %rdx), %r9
    movq %rdx, %rcx
    cmpb $0, copy_by_bytes(%rip)
    jne 5f
    shrq $3, %rcx
    rep movsq
    movq %r8, (%r9)
    ret
5:  rep movsb
    ret
    .size memcpy, . - memcpy

/* void *memmove(void *dst, const void *src, size_t n) */
    .balign 16
    .globl memmove
    .type memmove, @function
memmove:
    movq %rdi, %rcx
    subq %rsi, %rcx
    cmpq %rdx, %rcx             /* unsigned: true only if dst lies inside [src, src + n) */
    jae memcpy                  /* which works forward, so dst may overlap from below */
    movq %rdi, %rax
    movq %rdx, %rcx
1:  cmpq $8, %rcx
    jb 3f
2:  movq -8(%rsi, %rcx), %r8
    movq %r8, -8(%rdi, %rcx)
    subq $8, %rcx
    jmp 1b
3:  testq %rcx, %rcx
    je 4f
    movb -1(%rsi, %rcx), %r8b
    movb %r8b, -1(%rdi, %rcx)
    decq %rcx
    jmp 3b
4:  ret
    .size memmove, . - memmove

/* void *memset(void *dst, int c, size_t n) */
    .balign 16
    .globl memset
    .type memset, @function
memset:
    movq %rdi, %r9
    movzbl %sil, %eax
    movabsq $0x0101010101010101, %rcx
    imulq %rcx, %rax
    cmpq $8, %rdx
    jb 1f
    movq %rax, -8(%rdi, %rdx)
    movq %rdx, %rcx
    shrq $3, %rcx
    rep stosq
    movq %r9, %rax
    ret
1:  testq %rdx, %rdx
    je 3f
2:  movb %al, -1(%rdi, %rdx)
    decq %rdx
    jne 2b
3:  movq %r9, %rax
    ret
    .size memset, . - memset

    .section .data.copy_by_bytes, "aw", @progbits
    .globl copy_by_bytes
copy_by_bytes:
    .byte 0
    .globl copy_by_moves
copy_by_moves:
    .byte 0

    .section .note.GNU-stack, "", @progbits
