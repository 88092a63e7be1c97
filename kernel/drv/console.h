/* The program's standard input, output and error: console ports as files. */
#pragma once

#include "lib/types.h"

/** Register the terminal devices and those of memdev.h. After the drivers. */
void console_init(void);

/**
 * Install descriptors 0, 1 and 2 of the current process: the ports ingot.stdin, ingot.stdout and
 * ingot.stderr as pipes where there is any of them, else a terminal on ingot.tty, the port that
 * console= names, or ttyS0. A stream without a port is /dev/null.
 * 0, -ENOMEM or -EMFILE.
 */
int stdio_open(void);

/**
 * One line to where standard error went at the start, whatever the program has done to its own. It
 * is dropped where nobody listens.
 * @line: @n bytes, and room for two more, which is written to
 * @wait: for room, until a signal comes, which cuts the line short
 * 0, or -EAGAIN: there is no room. Thread context; may sleep with @wait.
 */
int stdio_say(char *line, size_t n, bool wait);
