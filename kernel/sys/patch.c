#include "sys/patch.h"

#include "abi/errno.h"
#include "abi/mman.h"
#include "abi/patch.h"
#include "core/log.h"
#include "lib/patch.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"

/* One mapped object.  Fields: [A], [I] once patch_place() was called. */
struct patch {
    ref_t refs;               /* [A] one an area, and the maker's */
    struct vm_backing text;   /* [I] the file, with the patched pages in place of its own */
    struct vm_backing stubs;  /* [I] */
    struct file *file;        /* [I] owns */
    struct inode *blob;       /* [I] owns: the patch's file */
    u64 bias;                 /* [I] */
    struct patch_header head; /* [I] checked */
    u32 index[];              /* [I] .head.nr_pages numbers of pages, rising */
};

static struct patch *of_text(struct vm_backing *backing)
{
    return container_of(backing, struct patch, text);
}

static struct patch *of_stubs(struct vm_backing *backing)
{
    return container_of(backing, struct patch, stubs);
}

void patch_put(struct patch *patch)
{
    if (!patch || !ref_put(&patch->refs))
        return;
    file_put(patch->file);
    inode_put(patch->blob);
    kfree(patch);
}

static u64 stubs_at(const struct patch *p)
{
    return p->bias + p->head.low + p->head.span;
}

static int read_inode(struct inode *inode, void *buf, size_t len, u64 pos)
{
    struct iov_iter to;
    struct iovec iov;

    iter_init_kernel(&to, &iov, buf, len);
    ssize_t n = inode_read(inode, &to, pos);
    return n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
}

/* ---- the two backings ---- */

static void text_get(struct vm_backing *backing)
{
    ref_get(&of_text(backing)->refs);
}

static void text_put(struct vm_backing *backing)
{
    patch_put(of_text(backing));
}

/* The first of our pages that is page @page of the file or one behind it.  The numbers rise, mostly
 * one by one, so it cannot lie far from where it would be if they all did. */
static u32 find_page(const struct patch *p, u64 page)
{
    u32 low = 0, high = p->head.nr_pages, last = high - 1;

    if (page < p->index[0])
        return 0;
    if (page > p->index[last])
        return high;
    high = (u32)min((u64)high, page - p->index[0]);
    if (last > p->index[last] - page)
        low = last - (u32)(p->index[last] - page);
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (p->index[middle] < page)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static u64 blob_page(const struct patch *p, u32 i)
{
    return (p->head.pages_at >> PAGE_SHIFT) + i;
}

/* A file that was changed is its own again. */
static bool is_pristine(const struct patch *p)
{
    return p->file->inode->ops->origin(p->file->inode);
}

static int text_page(struct vm_backing *backing, u64 index, bool write, paddr_t *pa)
{
    struct patch *p = of_text(backing);
    u32 i = find_page(p, index);

    if (i < p->head.nr_pages && p->index[i] == index && is_pristine(p))
        return inode_map_page(p->blob, blob_page(p, i), false, pa);
    return p->file->backing.ops->page(&p->file->backing, index, write, pa);
}

/* Runs end where our pages begin, or stop being neighbours. */
static u32 text_cached(struct vm_backing *backing, u64 index, u32 n, paddr_t *pa)
{
    struct patch *p = of_text(backing);
    u32 i = find_page(p, index);

    if (i == p->head.nr_pages || !is_pristine(p))
        return p->file->backing.ops->cached(&p->file->backing, index, n, pa);
    if (p->index[i] != index) {
        n = (u32)min((u64)n, p->index[i] - index);
        return p->file->backing.ops->cached(&p->file->backing, index, n, pa);
    }
    u32 run = min(n, p->head.nr_pages - i);
    while (p->index[i + run - 1] != index + run - 1)
        run--;
    return inode_cached_run(p->blob, blob_page(p, i), run, pa);
}

/* A library goes together with its stubs, of which the dynamic linker knows nothing. */
static u64 text_unmap_end(struct vm_backing *backing, u64 start, u64 end)
{
    const struct patch *p = of_text(backing);

    return start == p->bias + p->head.low && end == stubs_at(p) ? end + p->head.stubs_len : end;
}

static size_t text_name(struct vm_backing *backing, char *buf, size_t size, u64 *dev, u64 *ino)
{
    struct vm_backing *file = &of_text(backing)->file->backing;

    return file->ops->name(file, buf, size, dev, ino);
}

/* ---- which code stands for which ---- */

/* The last of @count entries at @at whose key (the stub, or the site) is not above @key. */
static bool find_pc(const struct patch *p, u32 at, u32 count, bool by_site, u64 key,
                    struct patch_pc *out)
{
    struct patch_pc pc;
    bool found = false;

    for (u32 low = 0, high = count; low < high;) {
        u32 middle = low + (high - low) / 2;
        if (read_inode(p->blob, &pc, sizeof(pc), at + (u64)middle * sizeof(pc)))
            return false;
        if ((by_site ? pc.site : pc.stub) > key) {
            high = middle;
            continue;
        }
        low = middle + 1;
        *out = pc;
        found = true;
    }
    return found;
}

static u64 stubs_shown_pc(struct vm_backing *backing, u64 pc)
{
    const struct patch *p = of_stubs(backing);
    struct patch_pc entry;

    if (!find_pc(p, p->head.pcs_at, p->head.nr_pcs, false, pc - stubs_at(p), &entry))
        return pc;
    return p->bias + p->head.low + entry.site;
}

/* Instructions that a jump lies over exist in their stub only. */
static u64 text_real_pc(struct vm_backing *backing, u64 pc)
{
    const struct patch *p = of_text(backing);
    u64 site = pc - p->bias - p->head.low;
    struct patch_pc entry;

    if (!find_pc(p, p->head.backs_at, p->head.nr_backs, true, site, &entry) || entry.site != site)
        return pc;
    return stubs_at(p) + entry.stub;
}

static void stubs_get(struct vm_backing *backing)
{
    ref_get(&of_stubs(backing)->refs);
}

static void stubs_put(struct vm_backing *backing)
{
    patch_put(of_stubs(backing));
}

static int stubs_page(struct vm_backing *backing, u64 index, bool write, paddr_t *pa)
{
    const struct patch *p = of_stubs(backing);

    (void)write;
    if (index >= p->head.stubs_len >> PAGE_SHIFT)
        return -EFAULT;
    return inode_map_page(p->blob, (p->head.stubs_at >> PAGE_SHIFT) + index, false, pa);
}

static u32 stubs_cached(struct vm_backing *backing, u64 index, u32 n, paddr_t *pa)
{
    const struct patch *p = of_stubs(backing);
    u64 pages = p->head.stubs_len >> PAGE_SHIFT;

    if (index >= pages)
        return 0;
    n = (u32)min((u64)n, pages - index);
    return inode_cached_run(p->blob, (p->head.stubs_at >> PAGE_SHIFT) + index, n, pa);
}

static size_t stubs_name(struct vm_backing *backing, char *buf, size_t size, u64 *dev, u64 *ino)
{
    (void)backing, (void)buf, (void)size;
    *dev = *ino = 0;
    return 0;
}

static u64 same_pc(struct vm_backing *backing, u64 pc)
{
    (void)backing;
    return pc;
}

static const struct vm_backing_ops text_ops = {
    .get = text_get,
    .put = text_put,
    .page = text_page,
    .cached = text_cached,
    .shown_pc = same_pc,
    .real_pc = text_real_pc,
    .unmap_end = text_unmap_end,
    .name = text_name,
};
static const struct vm_backing_ops stubs_ops = {
    .get = stubs_get,
    .put = stubs_put,
    .page = stubs_page,
    .cached = stubs_cached,
    .shown_pc = stubs_shown_pc,
    .real_pc = same_pc,
    .name = stubs_name,
};

/* ---- finding it ---- */

/* The patch's file beside @origin in its layer, with a reference; NULL: none. */
static struct inode *find_blob(struct inode *origin, const char *name, size_t len)
{
    const struct {
        const char *name;
        size_t len;
    } path[] = {{".ingot", 6}, {PATCH_DIR, sizeof(PATCH_DIR) - 1}, {name, len}};
    struct inode *at = origin->sb->root->inode, *next;

    inode_get(at);
    for (u32 i = 0; i < ARRAY_LEN(path); i++) {
        int err = at->ops->lookup ? at->ops->lookup(at, path[i].name, path[i].len, &next) : -ENOENT;
        inode_put(at);
        if (err)
            return NULL;
        at = next;
    }
    if (S_ISREG(at->mode) && at->size)
        return at;
    inode_put(at);
    return NULL;
}

static bool identify(struct inode *origin, struct patch_id *id)
{
    u64 len = 0;
    const u8 *head = origin->ops->direct ? origin->ops->direct(origin, 0, &len) : NULL;
    u8 *copy = NULL;
    bool known;

    if (!head) {
        len = min(origin->size, (u64)PAGE_SIZE);
        head = copy = kmalloc(PAGE_SIZE);
        if (!copy || read_inode(origin, copy, len, 0)) {
            kfree(copy);
            return false;
        }
    }
    known = patch_id_of(head, len, origin->size, id);
    kfree(copy);
    return known;
}

/* What keeps the patch @h from being that of @origin, or NULL. */
static const char *mismatch(const struct patch_header *h, const struct inode *blob,
                            const struct inode *origin, const struct patch_id *id)
{
    const char *why = patch_header_fault(h, blob->size);

    if (why)
        return why;
    if (h->id_len != id->len || memcmp(h->id, id->bytes, sizeof(h->id)) ||
        h->file_size != origin->size)
        return "it is for another build";
    return NULL;
}

static bool index_rises(const struct patch *p)
{
    const u32 *last = p->index + p->head.nr_pages - 1;

    for (const u32 *i = p->index; i < last; i++)
        if (i[0] >= i[1])
            return false;
    return *last < DIV_UP(p->head.file_size, PAGE_SIZE);
}

/* @blob: a reference is taken over on success. */
static struct patch *make_patch(struct file *file, struct inode *blob, const struct patch_header *h)
{
    size_t index_len = h->nr_pages * sizeof(u32);
    struct patch *p = kmalloc(sizeof(*p) + index_len);

    if (!p)
        return NULL;
    *p = (struct patch){
        .text = {&text_ops},
        .stubs = {&stubs_ops},
        .file = file,
        .blob = blob,
        .head = *h,
    };
    ref_init(&p->refs);
    if (read_inode(blob, p->index, index_len, h->index_at) || !index_rises(p)) {
        kfree(p);
        return NULL;
    }
    file_get(file);
    return p;
}

static struct patch *load(struct file *file, struct inode *origin, const struct patch_id *id)
{
    char name[PATCH_NAME_SIZE];
    struct patch_header head;
    struct patch *p = NULL;

    struct inode *blob = find_blob(origin, name, patch_id_name(id, name));
    if (!blob)
        return NULL;
    const char *why = "it cannot be read";
    if (!read_inode(blob, &head, min((u64)sizeof(head), blob->size), 0))
        why = mismatch(&head, blob, origin, id);
    if (!why) {
        p = head.nr_pages ? make_patch(file, blob, &head) : NULL;
        why = p || !head.nr_pages ? NULL : "it cannot be used";
    }
    if (why)
        log_warn_once("/.ingot/" PATCH_DIR "/%s is ignored: %s", name, why);
    if (!p)
        inode_put(blob);
    return p;
}

static struct patch *find_patch(struct mm *mm, struct file *file)
{
    struct inode *inode = file->inode, *origin;
    struct patch_id id;

    if (!inode || !S_ISREG(inode->mode) || !inode->ops->origin || !file->backing.ops)
        return NULL;
    origin = inode->ops->origin(inode);
    if (!origin || !identify(origin, &id) || !mm_has_gate(mm))
        return NULL;
    return load(file, origin, &id);
}

struct patch *patch_open(struct mm *mm, struct file *file, u64 low, u64 span)
{
    struct patch *p = find_patch(mm, file);

    if (p && p->head.low == low && p->head.span == span)
        return p;
    patch_put(p);
    return NULL;
}

/* ---- mapping it ---- */

u64 patch_stubs_len(const struct patch *patch)
{
    return patch->head.stubs_len;
}

void patch_place(struct patch *patch, u64 bias)
{
    patch->bias = bias;
}

struct vm_backing *patch_text(struct patch *patch)
{
    return &patch->text;
}

int patch_map_stubs(struct patch *patch, struct mm *mm)
{
    u64 at;

    return mm_map(mm, stubs_at(patch), patch->head.stubs_len, PROT_READ | PROT_EXEC,
                  MAP_PRIVATE | MAP_FIXED, &patch->stubs, 0, "[patch]", &at);
}

/* Is code from @offset of the file on going to be where the jumps expect it? */
static bool is_in_place(const struct patch *p, u64 addr, u64 offset)
{
    for (u32 i = 0; i < p->head.nr_areas; i++) {
        const struct patch_area *a = &p->head.areas[i];
        if (offset >= a->offset && offset - a->offset < a->len)
            return addr == p->bias + a->vaddr + (offset - a->offset);
    }
    return false;
}

/* A segment of a library whose whole span was mapped before. */
static int map_segment(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags, struct file *file,
                       u64 offset, u64 *out)
{
    u64 start;
    int result = 1;
    struct vm_backing *backing = mm_backing_at(mm, addr, &start);

    if (!backing)
        return 1;
    if (backing->ops == &text_ops) {
        const struct patch *p = of_text(backing);
        if (p->file->inode == file->inode && (!(prot & PROT_EXEC) || is_in_place(p, addr, offset)))
            result = mm_map(mm, addr, len, prot, flags, backing, offset, NULL, out);
    }
    backing->ops->put(backing);
    return result;
}

static int map_library(struct mm *mm, struct patch *p, u64 addr, u64 len, u32 prot, u32 flags,
                       u64 *out)
{
    if (ALIGN_UP(len, PAGE_SIZE) != p->head.span)
        return 1;
    int err =
        mm_map(mm, addr, p->head.span + p->head.stubs_len, prot, flags, &p->text, 0, NULL, out);
    if (err)
        return 1;
    patch_place(p, *out - p->head.low);
    err = patch_map_stubs(p, mm);
    if (err)
        (void)mm_unmap(mm, *out, p->head.span + p->head.stubs_len);
    return err ? 1 : 0;
}

int patch_mmap(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags, struct file *file, u64 offset,
               u64 *out)
{
    if ((flags & MAP_TYPE) != MAP_PRIVATE || !file->inode || !file->inode->ops->origin || !len ||
        len > GIB(2))
        return 1;
    if (flags & MAP_FIXED)
        return map_segment(mm, addr, len, prot, flags, file, offset, out);
    if (offset || (prot & PROT_WRITE) || (flags & (MAP_FIXED_NOREPLACE | MAP_32BIT)))
        return 1;
    struct patch *p = find_patch(mm, file);
    if (!p)
        return 1;
    int result = map_library(mm, p, addr, len, prot, flags, out);
    patch_put(p);
    return result;
}
