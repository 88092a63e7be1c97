/* Shared anonymous memory: pages in a radix tree by index, so that a large, sparse area costs only
 * what is touched.  The tree only grows; a hole is a NULL leaf. */
#include "abi/errno.h"
#include "core/spinlock.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "mm/mm_priv.h"

enum { FANOUT_SHIFT = 6, FANOUT = 1 << FANOUT_SHIFT };

struct shm_node {
    void *slots[FANOUT]; /* struct shm_node below, or struct page in the lowest level */
};

/* Fields: [I], [A], [L] under .lock. */
struct shm {
    struct vm_backing backing;
    u32 refs;             /* [A] areas and the creator */
    struct spinlock lock; /* a leaf but for the allocators' */
    u64 pages;            /* [I] */
    u32 height;           /* [I] levels of nodes above the pages; 0: one page, in .root itself */
    void *root;           /* [L] */
};

static struct shm *of_backing(struct vm_backing *backing)
{
    return container_of(backing, struct shm, backing);
}

static void shm_get(struct vm_backing *backing)
{
    __atomic_fetch_add(&of_backing(backing)->refs, 1, __ATOMIC_RELAXED);
}

static void free_tree(void *item, u32 height)
{
    struct shm_node *node = item;

    if (!item)
        return;
    if (!height) {
        page_put(item);
        return;
    }
    for (u32 i = 0; i < FANOUT; i++)
        free_tree(node->slots[i], height - 1);
    kfree(node);
}

static void shm_put(struct vm_backing *backing)
{
    struct shm *shm = of_backing(backing);

    if (__atomic_sub_fetch(&shm->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    free_tree(shm->root, shm->height);
    kfree(shm);
}

/* Where the page of @index hangs; NULL: not there, and @create is false or there is no memory. */
static void **shm_slot(struct shm *shm, u64 index, bool create)
{
    void **slot = &shm->root;

    for (u32 level = shm->height; level > 0; level--) {
        if (!*slot && create)
            *slot = kzalloc(sizeof(struct shm_node));
        struct shm_node *node = *slot;
        if (!node)
            return NULL;
        slot = &node->slots[(index >> ((level - 1) * FANOUT_SHIFT)) % FANOUT];
    }
    return slot;
}

static int shm_page(struct vm_backing *backing, u64 index, bool write, paddr_t *pa)
{
    struct shm *shm = of_backing(backing);

    (void)write;
    if (index >= shm->pages)
        return -EFAULT;
    struct page *fresh = page_alloc(0, PAGE_ZERO); /* before the lock; mostly it is needed */
    spin_lock(&shm->lock);
    void **slot = shm_slot(shm, index, fresh != NULL);
    struct page *page = slot ? *slot : NULL;
    if (slot && !page && fresh) {
        *slot = page = fresh;
        fresh = NULL;
    }
    if (page)
        page_get(page);
    spin_unlock(&shm->lock);
    if (fresh)
        page_put(fresh);
    if (!page)
        return -ENOMEM;
    *pa = page_to_phys(page);
    return 0;
}

static int shm_punch(struct vm_backing *backing, u64 index, u64 n)
{
    struct shm *shm = of_backing(backing);

    for (u64 end = min(index + n, shm->pages); index < end; index++) {
        spin_lock(&shm->lock);
        void **slot = shm_slot(shm, index, false);
        struct page *page = slot ? *slot : NULL;
        if (page)
            *slot = NULL;
        spin_unlock(&shm->lock);
        if (page)
            page_put(page);
    }
    return 0;
}

static size_t shm_name(struct vm_backing *backing, char *buf, size_t size, u64 *dev, u64 *ino)
{
    (void)backing;
    *dev = 1;
    *ino = 0;
    return min((size_t)format(buf, size, "/dev/zero (deleted)"), size ? size - 1 : 0);
}

static const struct vm_backing_ops shm_ops = {
    .get = shm_get,
    .put = shm_put,
    .page = shm_page,
    .punch = shm_punch,
    .name = shm_name,
};

struct vm_backing *shm_create(u64 len)
{
    struct shm *shm = kzalloc(sizeof(*shm));
    if (!shm)
        return NULL;
    shm->backing.ops = &shm_ops;
    shm->refs = 1;
    shm->pages = len >> PAGE_SHIFT;
    while (shm->pages - 1 >= 1UL << (shm->height * FANOUT_SHIFT))
        shm->height++;
    return &shm->backing;
}
