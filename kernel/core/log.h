/* The kernel log: lines "[    0.001234] text" to the early console and into a ring that panic and
 * /dev/kmsg read.  Any context, never sleeps, never allocates.  Lines up to loglevel (exclusive, as
 * in Linux: loglevel=4 shows warnings and worse) reach the console; all but
 * debug lines reach the ring. */
#pragma once

#include <stdarg.h>

#include "lib/types.h"

enum log_level {
    LOG_EMERG = 0,
    LOG_ERR = 3,
    LOG_WARN = 4,
    LOG_NOTICE = 5,
    LOG_INFO = 6,
    LOG_DEBUG = 7,
};

/** Lines below it reach the console; 0 to 8. [A] */
extern u32 loglevel;

/** One line, newline not needed.  Formats: see lib/format.h. */
void log_print(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_vprint(enum log_level level, const char *fmt, va_list ap);

#define log_emerg(...) log_print(LOG_EMERG, __VA_ARGS__)
#define log_err(...)   log_print(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_print(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_print(LOG_INFO, __VA_ARGS__)

/** Only made where the loglevel shows it: for what would cost time in a start that nobody watches.
 */
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (unlikely(loglevel >= LOG_DEBUG))                                                       \
            log_print(LOG_DEBUG, __VA_ARGS__);                                                     \
    } while (0)

/** As log_warn, but only the first time this line is reached: for what a program can repeat at
 * will. */
#define log_warn_once(...)                                                                         \
    do {                                                                                           \
        static bool said_;                                                                         \
        if (!said_) {                                                                              \
            said_ = true;                                                                          \
            log_warn(__VA_ARGS__);                                                                 \
        }                                                                                          \
    } while (0)

/** A line without time stamp that always reaches the console: the final line, trace and missing. */
void log_raw(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Two runs of bytes straight to the console, with no line between them; they are not kept. */
void log_bytes(const void *a, size_t na, const void *b, size_t nb);

/**
 * Copy kept log text from position *@pos (0: the oldest) into @buf; *@pos moves behind it.
 * Returns the number of bytes, 0 at the end.
 */
size_t log_read(u64 *pos, char *buf, size_t size);
/** The position behind the last line. */
u64 log_end(void);
