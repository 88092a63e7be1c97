/* The code that patched `cpuid`s jump to, as bytes for the stubs of an object: it works wherever it
 * lies.  One asks the table of abi/patch.h; the other answers for a plain x86-64 (start.h).  EAX
 * and ECX are the instruction's, RDX is where to go on; all else, flags and red zone too, is as the
 * instruction leaves it. */
#pragma once

#include "lib/types.h"

/** Code that is copied into an image, from its first byte to the one behind its last. */
extern const u8 cpuid_stub[], cpuid_stub_end[];
extern const u8 cpuid_plain[], cpuid_plain_end[];
