/* Names of system calls, made from the kernel's table. */
#pragma once

/** By number; NULL where there is none. */
extern const char *const syscall_names[512];
