/* The machine's name: uname, /proc/sys/kernel/hostname, /etc/hostname. */
#pragma once

#include "lib/types.h"

enum { HOSTNAME_MAX = 64 };

/** Ends in a zero. Set before the program starts and by sethostname(2); a reader may see half of
 * each. */
extern char hostname[HOSTNAME_MAX + 1];
