/* SHA-256's compression function (FIPS 180-4, 6.2), by the CPU's own instructions where it has
 * them.
 */
#pragma once

#include "lib/types.h"

enum { SHA256_BLOCK = 64 };

/** Has this CPU instructions for it?  Takes microseconds to find out. */
bool sha256_has_instructions(void);

/** Take in @n blocks of 64 bytes.  @by_instruction: sha256_has_instructions() has said yes. */
void sha256_blocks(u32 state[8], const u8 *bytes, size_t n, bool by_instruction);
