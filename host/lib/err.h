/* What went wrong, in words for a user, handed up to main which alone prints.
 * The place that knows the fact writes it; callers add where with err_prefix(). */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

enum {
    ERR_USAGE = 1 << 16, /* the command line itself is wrong: exit status 2 */
};

struct err {
    int code;        /* an errno, or ERR_USAGE; 0 while nothing went wrong */
    char text[2048]; /* one line, or several where a tool's own output is passed on */
};

/**
 * Write down a failure: lower case, no full stop, the wrong name in quotes, "; " and what to do.
 * @err may be NULL (nobody wants the words); @code is a positive errno or ERR_USAGE.
 * Returns -@code, so that `return err_set(...)` is the whole of an error path.
 */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** As err_set(), with ": " and strerror(@code) behind the text. */
int err_errno(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Put "@format: " before what @err says.  Returns -code, for `return err_prefix(...)`. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Forget the failure: the caller found another way. */
void err_clear(struct err *err);
