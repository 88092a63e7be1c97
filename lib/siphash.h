/* SipHash-2-4: a short keyed hash that cannot be predicted without the key (Aumasson, Bernstein).
 */
#pragma once

#include "lib/types.h"

struct siphash_key {
    u64 k[2];
};

/** The hash of @n words, least significant byte first. */
u64 siphash(const struct siphash_key *key, const u64 *words, u32 n);
