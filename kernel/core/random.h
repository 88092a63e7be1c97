/* Random numbers for the program and ourselves: ChaCha20 with fast key erasure, seeded when first
 * used from the CPU, the boot seed and clock jitter.  Never blocks.  Any thread context. */
#pragma once

#include "lib/types.h"

/** Fill @buf with @len random bytes. */
void random_bytes(void *buf, size_t len);

/** 64 random bits. */
u64 random_u64(void);

/** Below @limit, which is not 0. */
u64 random_below(u64 limit);

/** Mix @len bytes of unknown quality into the generator's key. */
void random_add_entropy(const void *buf, size_t len);
