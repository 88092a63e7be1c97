/* Random numbers that repeat: the same in each run. */
#pragma once

#include "lib/types.h"

static inline u64 fake_random(void)
{
    static u64 state = 88172645463325252ull;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
