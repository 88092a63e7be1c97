/* Code with absolute operands, which packs better (abi/absolute.h). */
#pragma once

#include "abi/absolute.h"

#include <stddef.h>

/**
 * Make the operands in @data[@begin, @end) absolute, where that looks like code.
 * @limit: bytes that may be referred to, from @data on; what it has more than ABSOLUTE_LIMIT is
 * left Fills @form; .count is 0 where nothing was done.
 */
void absolute_make(u8 *data, size_t begin, size_t end, size_t limit, struct absolute_form *form);
