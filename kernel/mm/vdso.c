/* The vDSO in an address space: one page of data, then the image, both out of the kernel's own.
 * The data is the gate's page, so where there is a gate the image lies behind it: that saves an
 * area, and page tables of its own. */
#include "core/vdso.h"

#include "abi/errno.h"
#include "abi/patch.h"
#include "core/random.h"
#include "mm/mm_priv.h"

static void vdso_get(struct vm_backing *backing)
{
    (void)backing;
}

static void vdso_put(struct vm_backing *backing)
{
    (void)backing;
}

static u64 image_len(void)
{
    return (u64)(vdso_image_end - vdso_image_start);
}

/* Page 0 is the data and the gate, the image follows.  These frames have no struct page. */
static int vdso_page_at(struct vm_backing *backing, u64 index, bool write, paddr_t *pa)
{
    (void)backing, (void)write;
    if (index > image_len() >> PAGE_SHIFT)
        return -EFAULT;
    *pa = index ? image_to_phys(vdso_image_start) + ((index - 1) << PAGE_SHIFT)
                : image_to_phys(&vdso_page);
    return 0;
}

static u32 vdso_cached(struct vm_backing *backing, u64 index, u32 n, paddr_t *pa)
{
    u64 pages = image_len() >> PAGE_SHIFT;

    if (vdso_page_at(backing, index, false, pa))
        return 0;
    return index ? min(n, (u32)(pages - index + 1)) : 1;
}

static size_t vdso_name(struct vm_backing *backing, char *buf, size_t size, u64 *dev, u64 *ino)
{
    (void)backing, (void)buf, (void)size;
    *dev = *ino = 0;
    return 0;
}

static const struct vm_backing_ops vdso_ops = {
    .get = vdso_get,
    .put = vdso_put,
    .page = vdso_page_at,
    .cached = vdso_cached,
    .name = vdso_name,
};
static struct vm_backing vdso_backing = {&vdso_ops};

static int map_behind_gate(struct mm *mm, u64 *out)
{
    return mm_map(mm, ALIGN_DOWN(GATE_ADDR, PAGE_SIZE) + PAGE_SIZE, image_len(),
                  PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED_NOREPLACE, &vdso_backing,
                  PAGE_SIZE, "[vdso]", out);
}

int mm_map_vdso(struct mm *mm, u64 *out)
{
    u64 len = image_len(), data, image;

    if (!len)
        return -ENOENT;
    if (mm_has_gate(mm) && !map_behind_gate(mm, out))
        return 0;
    int err = mm_map(mm, 0, len, PROT_READ | PROT_EXEC, MAP_PRIVATE, &vdso_backing, PAGE_SIZE,
                     "[vdso]", &image);
    if (err)
        return err;
    /* Addresses are given from the top down, so the page below is free. */
    err = mm_map(mm, image - PAGE_SIZE, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE,
                 &vdso_backing, 0, "[vvar]", &data);
    if (err) {
        (void)mm_unmap(mm, image, len); /* a whole area: it cannot fail */
        return err;
    }
    *out = image;
    return 0;
}

/* The gate's page is there at once, in children too: each call of a patched program reads it. */
static void touch_gate(struct mm *mm, u64 at)
{
    mm_lock(&mm->lock);
    struct vma *vma = area_find(mm, at);
    if (!plat.map_page(&mm->as, at, image_to_phys(&vdso_page), PLAT_READ | PLAT_STATIC)) {
        area_note_page(vma, at);
        vma->copied = true;
        mm->resident_pages++;
    }
    mm_unlock(&mm->lock);
}

int mm_map_gate(struct mm *mm)
{
    u64 at;

    int err = mm_map(mm, ALIGN_DOWN(GATE_ADDR, PAGE_SIZE), PAGE_SIZE, PROT_READ,
                     MAP_PRIVATE | MAP_FIXED_NOREPLACE, &vdso_backing, 0, "[gate]", &at);
    if (!err)
        touch_gate(mm, at);
    return err;
}

bool mm_has_gate(struct mm *mm)
{
    u64 start;
    struct vm_backing *backing = mm_backing_at(mm, GATE_ADDR, &start);

    if (backing)
        backing->ops->put(backing);
    return backing == &vdso_backing;
}
