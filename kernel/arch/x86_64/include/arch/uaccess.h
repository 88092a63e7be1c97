/* Copies that survive a fault: one side is program memory.  The range check is the caller's
 * (mm/uaccess.h); these only promise to come back.  Thread context; may sleep in the fault. */
#pragma once

#include "lib/types.h"

/** Copy @n bytes, either way; returns the number of bytes NOT copied (0: all). */
size_t arch_copy_user(void *dst, const void *src, size_t n);
/** Likewise for many bytes: by more instructions where those are quicker than few (TCG). */
size_t arch_copy_user_bulk(void *dst, const void *src, size_t n);

/* One word between a variable and program memory; where that faults, on at @fault. */
#define ARCH_USER_FAULT ".pushsection __ex_table, \"a\"\n .long 1b - ., %l[fault] - .\n .popsection"
#define arch_user_get(to, from, fault)                                                             \
    __asm__ goto("1: mov %1, %0\n" ARCH_USER_FAULT : "=r"(to) : "m"(*(from)) : : fault)
#define arch_user_put(to, value, fault)                                                            \
    __asm__ goto("1: mov %1, %0\n" ARCH_USER_FAULT : : "m"(*(to)), "r"(value) : "memory" : fault)

/** Zero @n bytes; returns the number not zeroed. */
size_t arch_clear_user(void *dst, size_t n);

/**
 * Copy a string of at most @n bytes with its NUL.  Returns its length without the NUL,
 * @n if there was no NUL within @n bytes, or -EFAULT.
 */
ssize_t arch_strncpy_user(char *dst, const char *src, size_t n);

/** Length of the string without the NUL, @n if there is none within @n bytes, or -EFAULT. */
ssize_t arch_strnlen_user(const char *src, size_t n);

/** Load an aligned word atomically.  0 or -EFAULT; *@value is untouched on failure. */
int arch_user_load32(const u32 *addr, u32 *value);

/** Store @new if *@addr is *@old, else put what was found into *@old.  0, -EAGAIN (differed) or
 * -EFAULT. */
int arch_user_cmpxchg32(u32 *addr, u32 *old, u32 new);
