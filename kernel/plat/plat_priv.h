/* What the grounds share below struct plat_ops: x86's faults, its tables, relocation. */
#pragma once

#include "lib/types.h"

struct trap_frame;

/** An exception other than NMI, #DF and #MC: resolve it, make it a signal, or panic.  @addr: what a
 * page fault touched.  Thread context; may sleep. */
void plat_take_trap(struct trap_frame *frame, u64 addr);

/**
 * Add @delta to every word of the image that holds an address.  @here: where the image is now, less
 * its link address.  Needs nothing relocated itself.
 */
void plat_relocate(u64 here, u64 delta);
