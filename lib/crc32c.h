/* CRC-32C (Castagnoli, RFC 3720 B.4), as disks use it: no inversion at either end; give all ones
 * for the first piece and the result for each following one. */
#pragma once

#include "lib/types.h"

/** The CPU has SSE4.2, whose instruction does eight bytes at a time.  Whoever knows sets it. */
extern bool crc32c_by_instruction;
/** The instruction is emulated, bit by bit as TCG does: tables of 12 KiB are four times as quick
 * for what is long, and are made when that is wanted often.  Without SSE4.2 they do all. */
extern bool crc32c_by_table;

u32 crc32c(u32 crc, const void *data, size_t len);
