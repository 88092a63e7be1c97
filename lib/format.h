/* A printf without allocation, locale or float, for both sides.
 * %d %i %u %x %X %o %c %s %p %%, flags '-' '0' '#' '+' ' ', width and precision (also *), lengths
 * hh h l ll z j t. Anything else is printed as it stands. */
#pragma once

#include <stdarg.h>

#include "lib/types.h"

/**
 * Write at most @size - 1 characters and a NUL into @buf (@size may be 0).
 * Returns the length the whole text has.
 */
int format_va(char *buf, size_t size, const char *fmt, va_list ap);

/** As snprintf, with the formats above. */
int format(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
