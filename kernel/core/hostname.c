#include "core/hostname.h"

char hostname[HOSTNAME_MAX + 1] = "ingot";
