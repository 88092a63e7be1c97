#include "core/log.h"

#include "core/spinlock.h"
#include "core/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

enum {
    RING_SIZE = 16384, /* a power of two */
    LINE_SIZE = 512,
    LONG_WAIT = 1000000, /* looks at the lock */
    SHORT_WAIT = 1000,
};

u32 loglevel = 4;

static struct spinlock lock;
static char ring[RING_SIZE]; /* [lock] */
static u64 ring_end;         /* [lock] bytes ever written; read without */

static void ring_put(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ring[(ring_end + i) % RING_SIZE] = text[i];
    __atomic_store_n(&ring_end, ring_end + len, __ATOMIC_RELAXED);
}

/* A panic or the watchdog may have interrupted a holder of the lock, which never comes back or is
 * the thing to be told of: after a while others go on without, and wait less the next time. */
static bool try_hard_to_lock(void)
{
    static u32 patience = LONG_WAIT; /* [A] */
    u32 tries = 0, most = __atomic_load_n(&patience, __ATOMIC_RELAXED);
    bool locked;

    while (!(locked = spin_trylock(&lock)) && tries++ < most)
        cpu_relax();
    __atomic_store_n(&patience, locked ? LONG_WAIT : SHORT_WAIT, __ATOMIC_RELAXED);
    return locked;
}

static void emit(const char *text, size_t len, bool console)
{
    bool locked = try_hard_to_lock();

    ring_put(text, len);
    if (console)
        plat.console_write(text, len);
    if (locked)
        spin_unlock(&lock);
}

/* Ends @line, whose text would take @len bytes, with a newline; returns the length. */
static size_t finish_line(char *line, int len)
{
    size_t n = min((size_t)len, (size_t)LINE_SIZE - 2);

    if (!n || line[n - 1] != '\n')
        line[n++] = '\n';
    return n;
}

void log_vprint(enum log_level level, const char *fmt, va_list ap)
{
    char line[LINE_SIZE];
    u64 us = time_ns() / NSEC_PER_USEC;

    int len = format(line, sizeof(line), "[%5lu.%06lu] ", us / 1000000, us % 1000000);
    len += format_va(line + len, sizeof(line) - (size_t)len, fmt, ap);
    emit(line, finish_line(line, len), level <= loglevel);
}

void log_print(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_vprint(level, fmt, ap);
    va_end(ap);
}

void log_raw(const char *fmt, ...)
{
    char line[LINE_SIZE];
    va_list ap;

    va_start(ap, fmt);
    int len = format_va(line, sizeof(line), fmt, ap);
    va_end(ap);
    emit(line, finish_line(line, len), true);
}

void log_bytes(const void *a, size_t na, const void *b, size_t nb)
{
    bool locked = try_hard_to_lock();

    plat.console_write(a, na);
    plat.console_write(b, nb);
    if (locked)
        spin_unlock(&lock);
}

size_t log_read(u64 *pos, char *buf, size_t size)
{
    bool locked = try_hard_to_lock();
    u64 oldest = ring_end > RING_SIZE ? ring_end - RING_SIZE : 0;
    u64 from = *pos < oldest ? oldest : *pos;
    size_t n = from < ring_end ? min(ring_end - from, size) : 0;
    for (size_t i = 0; i < n; i++)
        buf[i] = ring[(from + i) % RING_SIZE];
    *pos = from + n;
    if (locked)
        spin_unlock(&lock);
    return n;
}

u64 log_end(void)
{
    return __atomic_load_n(&ring_end, __ATOMIC_RELAXED);
}
