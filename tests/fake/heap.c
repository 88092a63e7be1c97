/* The kernel heap over the C library's, so that ASan sees every misuse; each allocation can fail.
 */
#include "mm/heap.h"

#include "abi/errno.h"
#include "fake/fault.h"

#include <stdlib.h>
#include <string.h>

void *kmalloc(size_t size)
{
    return fault_point(-ENOMEM, "kmalloc") ? NULL : malloc(size);
}

void *kzalloc(size_t size)
{
    return fault_point(-ENOMEM, "kzalloc") ? NULL : calloc(1, size);
}

void *kcalloc(size_t n, size_t size)
{
    return fault_point(-ENOMEM, "kcalloc") ? NULL : calloc(n, size);
}

void *krealloc(void *ptr, size_t size)
{
    return fault_point(-ENOMEM, "krealloc") ? NULL : realloc(ptr, size);
}

void kfree(const void *ptr)
{
    free((void *)(uintptr_t)ptr);
}

char *kstrdup(const char *s)
{
    return fault_point(-ENOMEM, "kstrdup") ? NULL : strdup(s);
}
