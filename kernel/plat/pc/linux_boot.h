/* What a loader hands over by Linux's boot protocol: the zero page (abi/linux_boot.h). */
#pragma once

#include "lib/types.h"

struct boot_info;

/** Is there a zero page at @page?  Early: identity tables, nothing relocated. */
bool linux_boot_is_page(const u8 *page);

/** Read memory map, command line, initrd and RSDP from @page into @bi, taking nothing out of the
 * map yet.  Early. */
void linux_boot_read(struct boot_info *bi, const u8 *page);
