#include "lib/string.h"

#include "abi/errno.h"

#ifdef __INGOT_KERNEL__
/* memcpy, memmove and memset are in arch, chosen by CPU. */
int(memcmp)(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n >= 8; n -= 8, x += 8, y += 8) {
        u64 p, q;
        __builtin_memcpy(&p, x, 8);
        __builtin_memcpy(&q, y, 8);
        if (p != q)
            break; /* the bytes below say which way */
    }
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    for (const u8 *p = s; n--; p++)
        if (*p == (u8)c)
            return (void *)(uintptr_t)p;
    return NULL;
}

size_t strlen(const char *s)
{
    const char *p = s;
    while (*p)
        p++;
    return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t n)
{
    size_t len = 0;
    while (len < n && s[len])
        len++;
    return len;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    while (n && *a && *a == *b)
        a++, b++, n--;
    return n ? (u8)*a - (u8)*b : 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (!*s)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;
    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)(uintptr_t)found;
    }
}

char *strstr(const char *s, const char *needle)
{
    size_t n = strlen(needle);
    for (; *s || !n; s++)
        if (!strncmp(s, needle, n))
            return (char *)(uintptr_t)s;
    return NULL;
}
#endif

size_t str_copy(char *dst, const char *src, size_t size)
{
    size_t len = strlen(src);

    if (size) {
        size_t n = min(len, size - 1);
        memcpy(dst, src, n);
        dst[n] = '\0';
    }
    return len;
}

bool str_starts(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return INT_MAX;
}

int str_to_u64(const char *s, u64 *value)
{
    u64 v = 0;
    int base = 10;

    if (s[0] == '0' && (s[1] | 32) == 'x') {
        base = 16;
        s += 2;
    } else if (s[0] == '0' && s[1]) {
        base = 8;
        s++;
    }
    if (!*s)
        return -EINVAL;
    for (; *s; s++) {
        int digit = digit_value(*s);
        if (digit >= base)
            return -EINVAL;
        if (__builtin_mul_overflow(v, (u64)base, &v) || __builtin_add_overflow(v, (u64)digit, &v))
            return -ERANGE;
    }
    *value = v;
    return 0;
}

size_t str_from_u64(char *buf, u64 value)
{
    size_t len = 1;

    for (u64 v = value / 10; v; v /= 10)
        len++;
    buf[len] = '\0';
    for (size_t i = len; i-- > 0; value /= 10)
        buf[i] = (char)('0' + value % 10);
    return len;
}
