/* The line discipline: what lies between the keys and a program (POSIX, General Terminal Interface;
 * termios(3)).  Pure: bytes in, bytes and signals out through two functions, no locks, no sleeping;
 * drv/tty.c adds those. */
#pragma once

#include "abi/termios.h"

enum { TTY_RING = 4096 };    /* the longest line, its end included */
enum { TTY_OUTPUT_MAX = 8 }; /* bytes that one byte of the program's may become: a tab */

/* Fields [L]: under the owner's lock. */
struct tty_line {
    struct termios_abi t; /* [L] */
    /** Send @n bytes to the terminal: an echo. May drop what does not fit. */
    void (*echo)(struct tty_line *line, const u8 *buf, size_t n);
    /** A signal character was typed. */
    void (*signal)(struct tty_line *line, int sig);
    u32 head, line_end, tail; /* [L] free running: typed up to, readable up to, read up to */
    u32 column;               /* [L] of the terminal's cursor, as far as we can tell */
    u32 canon_column;         /* [L] where the line being typed began */
    bool literal;             /* [L] the next character is taken as it is: after VLNEXT */
    bool stopped;             /* [L] ^S: output waits */
    u64 ends[TTY_RING / 64];  /* [L] bit for each ring place that ends a line */
    u8 ring[TTY_RING];        /* [L] */
};

/** Defaults of a fresh terminal, as Linux's. */
void tty_line_init(struct tty_line *line);
/** One byte from the terminal. */
void tty_line_input(struct tty_line *line, u8 c);
/** True if a read has something to give: a whole line, or with ICANON off any byte. */
bool tty_line_readable(const struct tty_line *line);
/** Bytes that FIONREAD reports. */
u32 tty_line_bytes(const struct tty_line *line);
/**
 * Move up to @n bytes to @buf: at most one line with ICANON.
 * Returns the count; *@end tells that a line's end was reached, which is the end of file if 0
 * bytes.
 */
size_t tty_line_read(struct tty_line *line, u8 *buf, size_t n, bool *end);
/**
 * Turn @n bytes of the program's into what goes to the terminal.
 * @out has @size bytes; stops before it overflows. *@made is the length there; returns bytes used.
 */
size_t tty_line_output(struct tty_line *line, const u8 *in, size_t n, u8 *out, size_t size,
                       size_t *made);
/** New settings; what was typed becomes readable when ICANON goes. */
void tty_line_set(struct tty_line *line, const struct termios_abi *t);
/** Forget what was typed. */
void tty_line_flush(struct tty_line *line);
