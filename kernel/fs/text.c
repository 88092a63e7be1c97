/* Text that grows, for files made of code. */
#include "abi/errno.h"
#include "fs/pseudo.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { TEXT_FIRST = 1024 };
#define TEXT_MAX MIB(16)

/* Room for @n more bytes and a NUL. */
static bool text_reserve(struct text *text, size_t n)
{
    size_t need = text->len + n + 1, capacity = text->capacity ? text->capacity : TEXT_FIRST;

    if (text->failed || need <= text->capacity)
        return !text->failed;
    while (capacity < need && capacity < TEXT_MAX)
        capacity *= 2;
    char *buf = capacity >= need ? krealloc(text->buf, capacity) : NULL;
    if (!buf) {
        text->failed = true;
        return false;
    }
    text->buf = buf;
    text->capacity = capacity;
    return true;
}

void text_add_bytes(struct text *text, const void *bytes, size_t n)
{
    if (!text_reserve(text, n))
        return;
    memcpy(text->buf + text->len, bytes, n);
    text->len += n;
    text->buf[text->len] = 0;
}

void text_add(struct text *text, const char *fmt, ...)
{
    va_list ap;

    if (!text_reserve(text, 0))
        return;
    va_start(ap, fmt);
    size_t room = text->capacity - text->len;
    int n = format_va(text->buf + text->len, room, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n >= room) {
        if (!text_reserve(text, (size_t)n))
            return;
        va_start(ap, fmt);
        n = format_va(text->buf + text->len, text->capacity - text->len, fmt, ap);
        va_end(ap);
    }
    text->len += n > 0 ? (size_t)n : 0;
}

void text_free(struct text *text)
{
    kfree(text->buf);
    *text = (struct text){0};
}
