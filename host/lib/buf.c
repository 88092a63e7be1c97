#include "lib/buf.h"

#include "lib/types.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void)
{
    fputs("ingot: out of memory\n", stderr);
    exit(1);
}

void *mem_new(size_t size)
{
    void *new = calloc(1, size ? size : 1);

    if (!new)
        out_of_memory();
    return new;
}

void *mem_resize(void *old, size_t count, size_t size)
{
    void *new = reallocarray(old, count ? count : 1, size);

    if (!new)
        out_of_memory();
    return new;
}

char *buf_grow(struct buf *buf, size_t len)
{
    size_t need;

    if (__builtin_add_overflow(buf->len, len, &need) || need == SIZE_MAX)
        out_of_memory();
    if (need + 1 > buf->cap) {
        buf->cap = max(need + 1, buf->cap * 2);
        buf->data = mem_resize(buf->data, buf->cap, 1);
    }
    char *start = buf->data + buf->len;
    buf->len = need;
    buf->data[need] = 0;
    return start;
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
    char *to = buf_grow(buf, len);

    if (len)
        memcpy(to, bytes, len);
}

void buf_puts(struct buf *buf, const char *string)
{
    buf_add(buf, string, strlen(string));
}

static char *str_vprintf(const char *format, va_list args)
{
    char *text = NULL;

    if (vasprintf(&text, format, args) < 0)
        out_of_memory();
    return text;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    buf_puts(buf, text);
    free(text);
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

char *buf_take(struct buf *buf)
{
    char *text = buf->data ? buf->data : str_dup("");

    *buf = (struct buf){0};
    return text;
}

char *str_printf(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    return text;
}

char *str_dup(const char *string)
{
    if (!string)
        return NULL;
    char *copy = strdup(string);
    if (!copy)
        out_of_memory();
    return copy;
}

void strs_take(struct strs *list, char *string)
{
    if (list->len + 2 > list->cap) {
        list->cap = list->cap ? list->cap * 2 : 8;
        list->at = mem_resize(list->at, list->cap, sizeof(*list->at));
    }
    list->at[list->len++] = string;
    list->at[list->len] = NULL;
}

void strs_add(struct strs *list, const char *string)
{
    strs_take(list, str_dup(string));
}

bool strs_has(const struct strs *list, const char *string)
{
    for (size_t i = 0; i < list->len; i++)
        if (strcmp(list->at[i], string) == 0)
            return true;
    return false;
}

void strs_add_all(struct strs *list, const struct strs *from)
{
    for (size_t i = 0; i < from->len; i++)
        strs_add(list, from->at[i]);
}

void strs_free(struct strs *list)
{
    for (size_t i = 0; i < list->len; i++)
        free(list->at[i]);
    free(list->at);
    *list = (struct strs){0};
}

bool str_ends(const char *string, const char *suffix)
{
    size_t length = strlen(string), tail = strlen(suffix);

    return length >= tail && strcmp(string + length - tail, suffix) == 0;
}

/* Damerau's distance by the usual three rows; words here are option names, so short. */
static size_t str_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t rows[3][LONGEST + 1], *before = rows[0], *last = rows[1], *row = rows[2];
    size_t la = strlen(a), lb = strlen(b);

    if (la > LONGEST || lb > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        last[j] = j;
    for (size_t i = 1; i <= la; i++) {
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = last[j - 1] + (a[i - 1] != b[j - 1]);
            size_t insert = min(last[j], row[j - 1]) + 1;
            row[j] = min(change, insert);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last, last = row, row = spare;
    }
    return last[lb];
}

const char *str_nearest(const char *word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2; /* one slip is forgiven even in a word of two letters */

    for (size_t i = 0; i < count; i++) {
        bool begun = strlen(word) > 2 && str_starts(candidates[i], word);
        size_t distance = begun ? 1 : str_distance(word, candidates[i]);
        if (distance < least) {
            least = distance;
            best = candidates[i];
        }
    }
    return best;
}
