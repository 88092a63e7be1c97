/* Where the program's addresses end and the kernel's begin; the ground decides, once, at start. */
#pragma once

#ifndef __ASSEMBLER__
#include "lib/types.h"

/** One past the last address a program may have.  [I] */
extern u64 arch_program_end;

/** Kernel code and data lie at this address and above; what runs below it is the program. [I] */
extern u64 arch_kernel_base;

/** We run in ring 3, as a process of a host. [I] */
extern bool arch_in_process;
#endif
