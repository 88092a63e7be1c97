/* The ChaCha20 block function (RFC 8439 2.3), for the random generator. */
#pragma once

#include "lib/types.h"

/** One 64-byte block of key stream.  @nonce: 12 bytes as three words. */
void chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3], u8 out[64]);
