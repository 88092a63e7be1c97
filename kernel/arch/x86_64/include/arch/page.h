/* Whole pages at a time, in the way this CPU does it best without vector registers. */
#pragma once

#include "lib/types.h"

/** Zero @len bytes at @page; both multiples of 8. */
static inline void clear_pages(void *page, size_t len)
{
    size_t words = len / 8;
    __asm__ volatile("rep stosq" : "+D"(page), "+c"(words) : "a"(0ul) : "memory");
}

/** Copy one page of 4096 bytes. */
static inline void copy_page(void *dst, const void *src)
{
    size_t words = 4096 / 8;
    __asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
}
