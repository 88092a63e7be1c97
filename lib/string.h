/* Memory and string functions.  On the host these are the C library's own. */
#pragma once

#include "lib/types.h"

#ifndef __INGOT_KERNEL__
#include <string.h>
#else
void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *needle);
/* A freestanding compiler does not know these by name: so that it copies a few bytes itself. */
#define memcpy(...)  __builtin_memcpy(__VA_ARGS__)
#define memmove(...) __builtin_memmove(__VA_ARGS__)
#define memset(...)  __builtin_memset(__VA_ARGS__)
#define memcmp(...)  __builtin_memcmp(__VA_ARGS__)
#endif

/** Copy at most @size - 1 bytes and always a NUL; returns strlen(@src).  @size may be 0. */
size_t str_copy(char *dst, const char *src, size_t size);

/** True if @s begins with @prefix. */
bool str_starts(const char *s, const char *prefix);

/**
 * Parse the whole of @s as an unsigned number: decimal, 0x hex or 0 octal.
 * 0, -EINVAL (empty, or something else follows) or -ERANGE.
 */
int str_to_u64(const char *s, u64 *value);

/** Decimal digits of @value and a NUL into @buf, of 21 bytes at least; returns the length. */
size_t str_from_u64(char *buf, u64 value);
