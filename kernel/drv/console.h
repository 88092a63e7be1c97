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
