/* The root image of an exported disk, unfolded (abi/fold.h). */
#pragma once

#include "lib/types.h"

struct boot_info;

/**
 * How large the image at @data is when it is unfolded; 0 for what is not folded, or says what
 * cannot be.
 */
u64 unfold_size(const u8 *data, u64 len);

/** Unfold @data into @out, which has unfold_size() bytes.  False if it is damaged. */
bool unfold(u8 *data, u64 len, u8 *out);

/**
 * Put the unfolded image in the place of a folded initrd, whose memory is RAM again.  If that
 * cannot be, boot_info.initrd_fault says why.  At the final address, before memory is handed out.
 */
void unfold_initrd(struct boot_info *bi);
