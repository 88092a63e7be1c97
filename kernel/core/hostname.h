/* The machine's name: uname, /proc/sys/kernel/hostname, /etc/hostname. */
#pragma once

#include "lib/types.h"

enum { HOSTNAME_MAX = 64 };

extern char hostname[HOSTNAME_MAX + 1];
