/* What we say we are, to uname(2) and /proc.  Programs take the release for what the kernel can do;
 * this is the ABI we follow. */
#pragma once

#define VERSION_SYSNAME "Linux"
#define VERSION_RELEASE "6.1.0-ingot"
#define VERSION_BUILD   "#1 Ingot"
#define VERSION_MACHINE "x86_64"
