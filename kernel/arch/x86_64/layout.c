#include "arch/layout.h"

/* The two halves of a machine's address space; Linux too leaves a page free below the hole. */
u64 arch_program_end = 0x7ffffffff000;
u64 arch_kernel_base = 1ul << 63;
bool arch_in_process;
