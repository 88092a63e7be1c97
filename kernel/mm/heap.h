/* The kernel heap: slabs of powers of two and a few sizes between, per-CPU magazines; larger blocks
 * come straight from the page allocator.  Freed memory is poisoned in debug builds. */
#pragma once

#include "lib/types.h"

/** Allocate @size bytes (1 and up), aligned to 16, or to a cache line from 64 up. NULL: no memory.
 */
void *kmalloc(size_t size);
/** As kmalloc, cleared. */
void *kzalloc(size_t size);
/** As kzalloc for @n objects of @size bytes; NULL also where the product overflows. */
void *kcalloc(size_t n, size_t size);
/** Resize; @ptr may be NULL. On failure NULL, and @ptr is untouched. */
void *krealloc(void *ptr, size_t size);
/** Free; NULL is ignored. */
void kfree(const void *ptr);
/** Copy of a string, owned by the caller, or NULL. */
char *kstrdup(const char *s);

/** A kernel stack of KSTACK_SIZE bytes with an unmapped guard below, from a pool. NULL: no memory.
 * The KSTACK_KEPT bytes at its top are the pool's. */
enum { KSTACK_SIZE = 16384, KSTACK_KEPT = 16 };
void *kstack_alloc(void);
/** Give back what kstack_alloc() returned. */
void kstack_free(void *stack);
