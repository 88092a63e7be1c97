/* CRC-32C (Castagnoli, RFC 3720 B.4), as disks use it: no inversion at either end; give all ones
 * for the first piece and the result for each following one. */
#pragma once

#include "lib/types.h"

u32 crc32c(u32 crc, const void *data, size_t len);
