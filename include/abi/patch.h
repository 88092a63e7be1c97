/* Where patched programs enter the kernel: a pointer at a fixed address, read-only in every address
 * space, reached by `jmp *GATE_ADDR` with the call's number in RAX and the address to go on at in
 * RCX.  RCX and R11 are lost, as with SYSCALL; all other registers but RAX survive. */
#pragma once

/** Of the pointer.  Its page lies above what Linux lets a process map (vm.mmap_min_addr). */
#define GATE_ADDR 0x10800
