/* A growing string of bytes.  Zero-initialise it, append, free it with buf_free.
 * Running out of memory ends the process: a host tool has nothing better to do. */
#pragma once

#include "lib/string.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* owned; NUL-terminated after the first append, NULL before */
    size_t len; /* bytes, without the NUL */
    size_t cap;
};

/** Append @len bytes, which may contain NULs. */
void buf_add(struct buf *buf, const void *bytes, size_t len);

/** Append a C string. */
void buf_puts(struct buf *buf, const char *string);

/** Append formatted text. */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Append @len bytes of unspecified content and return where they start. */
char *buf_grow(struct buf *buf, size_t len);

/** The text so far; "" when nothing was appended.  Borrowed, until the next append. */
const char *buf_text(const struct buf *buf);

/** Free the content and leave an empty buffer; fit for CLEANUP. */
void buf_free(struct buf *buf);

/** Hand the string to the caller, who frees it; never NULL.  Leaves an empty buffer. */
char *buf_take(struct buf *buf);

/** printf into a new heap string, owned by the caller; never NULL. */
char *str_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** strdup that never fails; NULL stays NULL. */
char *str_dup(const char *string);

/** malloc-ed, zeroed memory; never NULL. */
void *mem_new(size_t size);

/** realloc for @count elements of @size; never NULL, overflow-safe. */
void *mem_resize(void *old, size_t count, size_t size);

/** A growing list of heap strings.  Zero-initialise it, free it with strs_free. */
struct strs {
    char **at; /* owned, each string too; at[len] is NULL after the first append */
    size_t len, cap;
};

/** Append a copy of @string. */
void strs_add(struct strs *list, const char *string);

/** Append @string itself; the list owns it from here on. */
void strs_take(struct strs *list, char *string);

/** Does the list hold @string? */
bool strs_has(const struct strs *list, const char *string);

/** Append copies of all of @from. */
void strs_add_all(struct strs *list, const struct strs *from);

/** Free all and leave an empty list; fit for CLEANUP. */
void strs_free(struct strs *list);

/** Does @string end with @suffix?  (str_starts() is in lib/string.h.) */
bool str_ends(const char *string, const char *suffix);

/**
 * The one of @count candidates that a misspelt @word most likely meant, or NULL if none is near
 * (more than a third of its letters differ, and
 * none begins with it).  Borrowed from @candidates.
 */
const char *str_nearest(const char *word, const char *const *candidates, size_t count);
