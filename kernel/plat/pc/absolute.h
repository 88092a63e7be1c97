/* Operands of an exported disk's code made relative again (abi/absolute.h). */
#pragma once

#include "lib/types.h"

struct absolute_form;

/** Make the operands in @form's range of @base relative.  Uses XMM0 and XMM1, so it is for the
 * start, before a program has any; CR4.OSFXSR is on.  @form's range lies in what the caller may
 * write. */
void absolute_undo(u8 *base, const struct absolute_form *form);
