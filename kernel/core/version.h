/* What we say we are, to uname(2) and /proc: the release of the Linux whose ABI we speak. */
#pragma once

#define VERSION_SYSNAME "Linux"
#define VERSION_RELEASE "6.6.0-ingot"
#define VERSION_BUILD   "#1 SMP Ingot"
#define VERSION_MACHINE "x86_64"
