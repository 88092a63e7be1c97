/* Root images folded for exported disks (include/abi/fold.h). */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

/** Fold @len bytes, at most FOLD_LIMIT and of whole pages, into @out (appended). */
void fold(const u8 *data, size_t len, struct buf *out);
