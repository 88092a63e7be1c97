#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int err_write(struct err *err, int code, const char *format, va_list args)
{
    if (err) {
        err->code = code;
        vsnprintf(err->text, sizeof(err->text), format, args);
    }
    return -code;
}

int err_set(struct err *err, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    err_write(err, code, format, args);
    va_end(args);
    return -code;
}

int err_errno(struct err *err, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    err_write(err, code, format, args);
    va_end(args);
    if (err) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(code));
    }
    return -code;
}

int err_prefix(struct err *err, const char *format, ...)
{
    char rest[sizeof(err->text)];
    va_list args;

    if (!err)
        return -EINVAL;
    memcpy(rest, err->text, sizeof(rest));
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof(err->text) - used, ": %s", rest);
    return -err->code;
}

void err_clear(struct err *err)
{
    if (!err)
        return;
    err->code = 0;
    err->text[0] = 0;
}
