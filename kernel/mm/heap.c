/* The kernel heap.  A slab is one page of equal objects.  Those at its end that were never handed
 * out are counted by page.spare, the other free ones are linked through their first word from
 * page.index. page.flags counts both, page.owner names the class, page.refs stays 1.  Each CPU
 * keeps a chain of free objects a class, so that most calls touch nothing shared.  Larger blocks
 * are whole pages. */
#include "mm/heap.h"

#include "core/panic.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/page_priv.h"

enum {
    NR_CLASSES = 14,
    CLASS_MAX = 2048,    /* bytes; above it: whole pages */
    CHAIN_BYTES = 4096,  /* what a CPU may keep of one class ... */
    CHAIN_MAX = 64,      /* ... and how many */
    LOOKUP_STEP = 16,    /* bytes */
    LOOKUP_SMALL = 1024, /* up to here the class comes from a table */
    BORROW_MAX = 16,     /* objects of larger classes ... */
    BORROW_FROM = 4,     /* ... of so many behind it, before a class has a page of its own */
};

struct object {
    struct object *next;
};

/* [I] after start, [L] under .lock. */
struct heap_class {
    struct spinlock lock;     /* a leaf but for the page allocator's */
    u16 size;                 /* [I] bytes */
    u16 per_slab;             /* [I] objects */
    u16 chain_max;            /* [I] objects a CPU keeps */
    u16 nr_empty;             /* [L] slabs of .partial that have no object out */
    u16 nr_borrowed;          /* [A] roughly: objects of larger classes that it took instead */
    struct list_head partial; /* [L] slabs that have free objects */
};

struct chain {
    struct object *first;
    u64 count;
};

/* [C] all. */
struct heap_cpu {
    struct chain chains[NR_CLASSES];
};

static const u16 class_sizes[NR_CLASSES] = {16,  32,  48,  64,  128,  192,  256,
                                            320, 384, 512, 768, 1024, 1344, 2048};
static struct heap_class classes[NR_CLASSES];
static u8 class_of_step[LOOKUP_SMALL / LOOKUP_STEP + 1]; /* [I] by size in steps, rounded up */
static char large_owner;                                 /* page.owner of whole-page blocks */
static struct heap_cpu boot_heap_cpu;

void heap_init(void)
{
    u32 step = 0;

    for (u32 i = 0; i < NR_CLASSES; i++) {
        struct heap_class *class = &classes[i];
        class->size = class_sizes[i];
        class->per_slab = (u16)min(PAGE_SIZE / class->size, (size_t)UINT8_MAX);
        class->chain_max = (u16)min(CHAIN_MAX, max(4, CHAIN_BYTES / class->size));
        list_init(&class->partial);
        for (; step * LOOKUP_STEP <= class->size && step < ARRAY_LEN(class_of_step); step++)
            class_of_step[step] = (u8)i;
    }
    this_cpu()->heap = &boot_heap_cpu;
}

size_t heap_cpu_size(void)
{
    return sizeof(struct heap_cpu);
}

static u32 class_index(size_t size)
{
    if (likely(size <= LOOKUP_SMALL))
        return class_of_step[DIV_UP(size, LOOKUP_STEP)];
    u32 i = NR_CLASSES - 1;
    while (class_sizes[i - 1] >= size)
        i--;
    return i;
}

static bool is_slab(const struct page *page)
{
    return (size_t)((char *)page->owner - (char *)classes) < sizeof(classes);
}

/* In the debug kernel what is free holds one byte all over but for its link, and what was handed
 * out another, until somebody writes to it. */
#ifdef INGOT_DEBUG

enum { POISON_FREE = 0xdb, POISON_NEW = 0xcd };

static void poison_free(void *at, size_t size)
{
    memset(at, POISON_FREE, size);
}

/* Of objects with room for it: who freed it, behind the poison. */
static u64 *freed_by(void *at, size_t size)
{
    return size >= 4 * sizeof(u64) ? (u64 *)at + size / sizeof(u64) - 1 : NULL;
}

/* The first byte that is not poison any more, or @size. */
static size_t first_written(const struct object *object, size_t size)
{
    const u8 *bytes = (const u8 *)object;
    size_t end = size >= 4 * sizeof(u64) ? size - sizeof(u64) : size;

    for (size_t i = sizeof(*object); i < end; i++)
        if (bytes[i] != POISON_FREE)
            return i;
    return size;
}

static void check_new(struct object *object, size_t size)
{
    size_t at = first_written(object, size);

    if (at < size) {
        const u64 *by = freed_by(object, size);
        panic("heap: %p, of %lu bytes, was written to (%#lx at %lu) after kernel+%#lx freed it",
              (void *)object, size, ((const u64 *)object)[at / sizeof(u64)], at,
              by ? *by - (u64)(uintptr_t)kernel_start : 0);
    }
    memset(object, POISON_NEW, size);
}

/* Poison may be what a program wrote, into a name for instance: is it ours? */
static bool is_free(const struct object *object, size_t size, const u64 *note)
{
    const struct object *each = note ? NULL : this_cpu()->heap->chains[class_index(size)].first;

    if (first_written(object, size) < size)
        return false;
    if (note)
        return *note - (u64)(uintptr_t)kernel_start <
               (u64)(uintptr_t)kernel_end - (u64)(uintptr_t)kernel_start;
    while (each && each != object)
        each = each->next;
    return each;
}

static void check_freed(struct object *object, size_t size, void *by)
{
    u64 *note = freed_by(object, size);

    if (is_free(object, size, note))
        panic("heap: %p, of %lu bytes, is freed twice", (void *)object, size);
    poison_free(object, size);
    if (note)
        *note = (u64)(uintptr_t)by;
}

#else

static void poison_free(void *at, size_t size)
{
    (void)at, (void)size;
}
static void check_new(struct object *object, size_t size)
{
    (void)object, (void)size;
}
static void check_freed(struct object *object, size_t size, void *by)
{
    (void)object, (void)size, (void)by;
}

#endif

/* An empty page of @class; NULL: no memory. */
static struct page *slab_create(struct heap_class *class)
{
    struct page *slab = page_alloc(0, 0);
    if (!slab)
        return NULL;
    poison_free(page_to_virt(slab), PAGE_SIZE);
    slab->owner = class;
    slab->index = 0;
    slab->flags = class->per_slab;
    slab->spare = (u8) class->per_slab;
    page_account(offsetof(struct page_stats, slab), 1);
    return slab;
}

/* One free object out of a slab that has any. */
static struct object *slab_pop(const struct heap_class *class, struct page *slab)
{
    struct object *object = (struct object *)(uintptr_t)slab->index;

    slab->flags--;
    if (object) {
        slab->index = (u64)(uintptr_t)object->next;
        return object;
    }
    char *fresh = (char *)page_to_virt(slab) + (class->per_slab - slab->spare) * class->size;
    slab->spare--;
    return (struct object *)(void *)fresh;
}

/* Move up to @want objects from a listed slab to @chain. */
static void slab_take(struct heap_class *class, struct page *slab, struct chain *chain, u32 want)
{
    assert(spin_held(&class->lock));
    if (slab->flags == class->per_slab)
        class->nr_empty--;
    for (; want > 0 && slab->flags; want--) {
        struct object *object = slab_pop(class, slab);
        object->next = chain->first;
        chain->first = object;
        chain->count++;
    }
    if (!slab->flags)
        list_remove(&slab->lru);
}

static __attribute__((noinline)) bool chain_refill(struct heap_class *class, struct chain *chain)
{
    u32 want = class->chain_max / 2;

    spin_lock(&class->lock);
    if (list_empty(&class->partial)) {
        /* Not under the lock: the page allocator may run shrinkers, which free objects. */
        spin_unlock(&class->lock);
        struct page *slab = slab_create(class);
        spin_lock(&class->lock);
        if (slab) {
            list_add(&class->partial, &slab->lru);
            class->nr_empty++;
        }
    }
    while (chain->count < want && !list_empty(&class->partial))
        slab_take(class, list_first(&class->partial, struct page, lru), chain,
                  want - (u32)chain->count);
    spin_unlock(&class->lock);
    return chain->count > 0;
}

/* Back into its slab; returns the slab if it should be given back as a whole. */
static struct page *slab_give(struct heap_class *class, struct object *object)
{
    assert(spin_held(&class->lock));
    struct page *slab = virt_to_page(object);

    object->next = (struct object *)(uintptr_t)slab->index;
    if (!slab->flags)
        list_add_tail(&class->partial, &slab->lru);
    slab->index = (u64)(uintptr_t)object;
    if (++slab->flags < class->per_slab)
        return NULL;
    if (class->nr_empty == 0) {
        class->nr_empty = 1;
        return NULL;
    }
    list_remove(&slab->lru);
    return slab;
}

static __attribute__((noinline)) void chain_drain(struct heap_class *class, struct chain *chain)
{
    spin_lock(&class->lock);
    while (chain->count > class->chain_max / 2) {
        struct object *object = chain->first;
        chain->first = object->next;
        chain->count--;
        struct page *slab = slab_give(class, object);
        if (slab) {
            page_account(offsetof(struct page_stats, slab), -1);
            slab->owner = NULL;
            slab->spare = 0;
            page_put(slab);
        }
    }
    spin_unlock(&class->lock);
}

static __attribute__((noinline)) void *large_alloc(size_t size)
{
    unsigned order = 0;

    while (order <= PAGE_MAX_ORDER && (PAGE_SIZE << order) < size)
        order++;
    struct page *page = page_alloc(order, 0); /* refuses orders that are too large */
    if (!page)
        return NULL;
    page->owner = &large_owner;
    page_account(offsetof(struct page_stats, slab), 1l << order);
    return page_to_virt(page);
}

static __attribute__((noinline)) void large_free(struct page *page)
{
    assert(page->owner == &large_owner);
    page->owner = NULL;
    page_account(offsetof(struct page_stats, slab), -(1l << page->order));
    page_put(page);
}

/* A page for a few objects would cost a small guest more than what they leave unused of larger
 * ones. To free one asks its page, and so goes back where it came from. */
static void *borrow(u32 i)
{
    struct heap_class *class = &classes[i];

    if (class->nr_borrowed >= BORROW_MAX)
        return NULL;
    for (u32 j = i + 1; j <= i + BORROW_FROM && j < NR_CLASSES; j++) {
        struct chain *chain = &this_cpu()->heap->chains[j];
        struct object *object = chain->first;
        if (!object)
            continue;
        __atomic_fetch_add(&class->nr_borrowed, 1, __ATOMIC_RELAXED);
        chain->first = object->next;
        chain->count--;
        check_new(object, classes[j].size);
        return object;
    }
    return NULL;
}

/* What is not in the CPU's chain; apart, so that what is needs no stack frame. */
static __attribute__((noinline)) void *alloc_slow(size_t size)
{
    if (size > CLASS_MAX)
        return large_alloc(size);
    u32 i = class_index(size);
    void *borrowed = borrow(i);
    if (borrowed)
        return borrowed;
    return chain_refill(&classes[i], &this_cpu()->heap->chains[i]) ? kmalloc(size) : NULL;
}

void *kmalloc(size_t size)
{
    may_reclaim();
    if (unlikely(size > CLASS_MAX))
        return alloc_slow(size);
    u32 i = class_index(size);
    struct chain *chain = &this_cpu()->heap->chains[i];
    struct object *object = chain->first;
    if (unlikely(!object))
        return alloc_slow(size);
    chain->first = object->next;
    chain->count--;
    check_new(object, classes[i].size);
    return object;
}

void kfree(const void *ptr)
{
    if (!ptr)
        return;
    struct page *page = virt_to_page(ptr);
    if (unlikely(!is_slab(page))) {
        large_free(page);
        return;
    }
    struct heap_class *class = page->owner;
    struct chain *chain = &this_cpu()->heap->chains[class - classes];
    struct object *object = (struct object *)(uintptr_t)ptr;
    check_freed(object, class->size, __builtin_return_address(0));
    object->next = chain->first;
    chain->first = object;
    if (unlikely(++chain->count > class->chain_max))
        chain_drain(class, chain);
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);

    if (p)
        memset(p, 0, size);
    return p;
}

void *kcalloc(size_t n, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(n, size, &bytes) ? NULL : kzalloc(bytes);
}

static size_t usable_size(const void *ptr)
{
    const struct page *page = virt_to_page(ptr);

    if (is_slab(page))
        return ((const struct heap_class *)page->owner)->size;
    return PAGE_SIZE << page->order;
}

void *krealloc(void *ptr, size_t size)
{
    if (!ptr)
        return kmalloc(size);
    size_t old = usable_size(ptr);
    if (size <= old && size > old / 4)
        return ptr;
    void *p = kmalloc(size);
    if (!p)
        return NULL;
    memcpy(p, ptr, min(old, size));
    kfree(ptr);
    return p;
}

char *kstrdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = kmalloc(size);

    return copy ? memcpy(copy, s, size) : NULL;
}
