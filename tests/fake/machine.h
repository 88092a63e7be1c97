/* A machine for kernel rooms compiled for the host: one CPU whose GS base is set, RAM that is a
 * mapping of this process, page tables that are a hash, random numbers that repeat.  Program
 * addresses are numbers below FAKE_USER_END; the copies of arch/uaccess.h translate them through
 * mm_fault() as the hardware would. */
#pragma once

#include "plat/plat.h"

#define FAKE_USER_END 0x70000000ull /* host pointers lie above it */

/**
 * Start mm on @nr_regions regions; addresses count from 0, all inside 256 MiB.  Once a test.
 * Returns what page_init() returned.
 */
int machine_create(const struct mem_region *regions, u32 nr_regions);
/** What the next machine_create() hands page_init(). */
extern u32 machine_before_array;
/** Number of mapped 4 KiB leaves (a 2 MiB leaf counts 512) of all address spaces. */
u64 machine_mapped(void);
/** The host pointer behind a program address, made present for reading or writing; NULL: a fault.
 */
void *machine_touch(u64 va, bool write);
/** A repeatable random number. */
u64 machine_random(void);
