/* System calls that look at the program's registers, or hand them on.
 *
 * The entry of a system call saves only what the C ABI does not keep.  A handler that reads the
 * frame (clone) goes into the table as NAME_full, which saves the rest before any C code has run.
 */
#pragma once

#include "arch/cpu.h"
#include "arch/frame.h"

#define ARCH_TEXT(x)  #x
#define ARCH_TEXT2(x) ARCH_TEXT(x)

/** Define NAME_full: complete the frame, if it is not complete yet, and go on in NAME. */
#define ARCH_FULL_FRAME(name)                                                                      \
    long name##_full(void);                                                                        \
    __asm__(                                                                                       \
        ".pushsection .text." #name "_full, \"ax\", @progbits\n"                                   \
        ".globl " #name "_full\n"                                                                  \
        ".hidden " #name "_full\n"                                                                 \
        ".type " #name "_full, @function\n" #name "_full:\n"                                       \
        "movq %gs:" ARCH_TEXT2(                                                                    \
            CPU_KSTACK) ", %r11\n"                                                                 \
                        "subq $" ARCH_TEXT2(                                                       \
                            FRAME_SIZE) ", %r11\n"                                                 \
                                        "cmpl $" ARCH_TEXT2(                                       \
                                            FRAME_PARTIAL) ", 120(%r11)\n"                         \
                                                           "jne " #name "\n"                       \
                                                           "movl $" ARCH_TEXT2(                    \
                                                               FRAME_SYSCALL) ", 120(%r11)\n"      \
                                                                              "movq %r15, "        \
                                                                              "0(%r11)\n"          \
                                                                              "movq %r14, "        \
                                                                              "8(%r11)\n"          \
                                                                              "movq %r13, "        \
                                                                              "16(%r11)\n"         \
                                                                              "movq %r12, "        \
                                                                              "24(%r11)\n"         \
                                                                              "movq %rbp, "        \
                                                                              "32(%r11)\n"         \
                                                                              "movq %rbx, "        \
                                                                              "40(%r11)\n"         \
                                                                              "jmp " #name "\n"    \
                                                                              ".size " #name       \
                                                                              "_full, . - " #name  \
                                                                              "_full\n"            \
                                                                              ".popsection")

static_assert(offsetof(struct trap_frame, vector) == 120 && offsetof(struct trap_frame, rbx) == 40,
              "the text above knows them");
