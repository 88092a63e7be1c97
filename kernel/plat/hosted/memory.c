/* The program's memory by means of the host.
 *
 * Physical addresses are those of the tender's regions: our memory, which is one file of the host's
 * where others see it too, and files (layers, the kernel itself).  What is mapped page by page is
 * also in page tables, which no MMU reads: they answer query() and find the owners at unmap().
 * Private areas that the host pages (struct plat_areas) are not in them, or as pages of a file, of
 * which the host makes copies.
 */
#include "abi/errno.h"
#include "abi/mman.h"
#include "abi/patch.h"
#include "abi/window.h"
#include "core/panic.h"
#include "core/vdso.h"
#include "lib/string.h"
#include "plat/hosted/hosted.h"
#include "plat/pc/pc.h"

static u32 host_prot(u32 prot)
{
    u32 out = prot & PLAT_READ ? PROT_READ : PROT_NONE;

    if (prot & PLAT_WRITE)
        out |= PROT_WRITE;
    if (prot & PLAT_EXEC)
        out |= PROT_EXEC;
    return out;
}

static int call_mmap(u64 va, u64 len, u32 prot, u32 flags, s32 fd, u64 offset)
{
    long got = host_call(HOST_MMAP, va, len, host_prot(prot), flags | MAP_FIXED | MAP_NORESERVE,
                         (u64)(s64)fd, offset);

    return got == (long)va ? 0 : -ENOMEM;
}

/* The page of the image that programs read the time from and jump through.  They have copies of it,
 * since a page that is seen at two addresses would have to be a file's, which costs eight times as
 * much: at the gate, or for who has none of the gate where the vDSO is. */
static struct hosted_region vdso_region;
static u64 vdso_copies[2];

void hosted_memory_init(void)
{
    vdso_region =
        (struct hosted_region){.pa = image_to_phys(&vdso_page), .len = PAGE_SIZE, .shared = 1};
}

static int protect_copy(u64 va, u32 prot)
{
    return host_call(HOST_MPROTECT, va, PAGE_SIZE, prot, 0, 0, 0) ? -ENOMEM : 0;
}

static int copy_vdso_page(u64 va)
{
    int err = call_mmap(va, PAGE_SIZE, PLAT_READ | PLAT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (err)
        return err;
    memcpy((void *)(uintptr_t)va, &vdso_page, PAGE_SIZE);
    vdso_copies[va != ALIGN_DOWN(GATE_ADDR, PAGE_SIZE)] = va;
    return protect_copy(va, PROT_READ);
}

void hosted_vdso_changed(void)
{
    u64 pa;

    for (u32 i = 0; i < ARRAY_LEN(vdso_copies); i++) {
        u64 va = vdso_copies[i];
        if (!va || !pc_query(this_cpu()->as, va, &pa, NULL) || pa != vdso_region.pa ||
            protect_copy(va, PROT_READ | PROT_WRITE))
            continue;
        union vdso_page *copy = (union vdso_page *)(uintptr_t)va;
        __atomic_store_n(&copy->data.real_offset_ns, vdso_data.real_offset_ns, __ATOMIC_RELAXED);
        (void)protect_copy(va, PROT_READ); /* else the program could write it, at its own harm */
    }
}

enum { HOST_MREMAP_MOVE = 1 | 2 /* MAYMOVE, FIXED */ };

static bool head_is_shared, rest_is_mapped, window_is_mapped;

/* Of memory that has no file every byte may be at two addresses as well: call_remap(). */
static int map_shared(u64 va, u64 pa, u64 len)
{
    s32 fd = hosted_boot->regions[0].fd;

    return call_mmap(va, len, PLAT_READ | PLAT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd,
                     fd < 0 ? 0 : pa);
}

/* The tender has put private memory over the first of ours.  This CPU's pending word may be there,
 * and what a signal pends on the way must not stay behind. */
void hosted_share_head(void)
{
    u64 len = hosted_boot->head_len, spare = vmap_base; /* kernel stacks are at the other end */

    if (head_is_shared || !len)
        return;
    head_is_shared = true;
    int err = map_shared(spare, 0, len);
    if (!err) {
        __atomic_store_n(&hosted_signalled, 0, __ATOMIC_SEQ_CST);
        memcpy((void *)(uintptr_t)spare, (const void *)(uintptr_t)direct_map_base, len);
        err = host_call(HOST_MREMAP, spare, len, len, HOST_MREMAP_MOVE, direct_map_base, 0) !=
              (long)direct_map_base;
    }
    if (err)
        fatal_error("the host has no memory for us");
    __atomic_fetch_or(&this_cpu()->arch.pending, hosted_signalled, __ATOMIC_SEQ_CST);
}

static bool map_window(u64 addr)
{
    u64 start = hosted_boot->window, len = window_bytes(hosted_boot->nr_devices);

    if (!start || window_is_mapped || addr - start >= len)
        return false;
    window_is_mapped = true;
    if (map_shared(start, hosted_boot->ram_len, len))
        fatal_error("the host has no memory for the devices' window");
    return true;
}

bool hosted_map_rest(u64 addr)
{
    u64 pa = hosted_boot->rest_pa, len = hosted_boot->ram_len - pa, start = direct_map_base + pa;

    if (!pa || rest_is_mapped || addr - start >= len)
        return map_window(addr);
    rest_is_mapped = true;
    if (map_shared(start, pa, len))
        fatal_error("the host has no memory for us");
    return true;
}

static const struct hosted_region *region_of(u64 pa)
{
    if (pa - vdso_region.pa < PAGE_SIZE)
        return &vdso_region;
    for (u32 i = 0; i < hosted_boot->nr_regions; i++) {
        const struct hosted_region *r = &hosted_boot->regions[i];
        if (pa - r->pa < r->len)
            return r;
    }
    return NULL;
}

static void hide(u64 va, u64 len)
{
    host_call(HOST_MUNMAP, va, len, 0, 0, 0, 0);
}

/* Memory of ours without a file, at a second address: mremap(2) of nothing leaves the first. */
static int call_remap(u64 va, u64 pa, u64 len, u32 prot)
{
    u64 from = direct_map_base + pa;

    (void)hosted_map_rest(from);
    if (host_call(HOST_MREMAP, from, 0, len, HOST_MREMAP_MOVE, va, 0) != (long)va)
        return -ENOMEM;
    if (prot == (PLAT_READ | PLAT_WRITE) ||
        !host_call(HOST_MPROTECT, va, len, host_prot(prot), 0, 0, 0))
        return 0;
    hide(va, len); /* it could be written */
    return -ENOMEM;
}

/* The host maps [@pa, +@len) of @r at @va. */
static int show_of(const struct hosted_region *r, u64 va, u64 pa, u64 len, u32 prot)
{
    if (r == &vdso_region)
        return copy_vdso_page(va);
    if (pa < hosted_boot->head_len)
        hosted_share_head(); /* this page would be at two addresses */
    if (r->fd < 0)
        return call_remap(va, pa, len, prot);
    return call_mmap(va, len, prot, r->shared ? MAP_SHARED : MAP_PRIVATE, r->fd,
                     r->offset + (pa - r->pa));
}

static int show(u64 va, u64 pa, u64 len, u32 prot)
{
    while (len) {
        const struct hosted_region *r = region_of(pa);
        if (!r)
            return -ENOMEM;
        u64 n = min(len, r->pa + r->len - pa);
        int err = show_of(r, va, pa, n, prot);
        if (err)
            return err;
        va += n, pa += n, len -= n;
    }
    return 0;
}

int hosted_map(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot)
{
    int err = pc_map(as, va, pa, len, prot);

    return err ? err : show(va, pa, len, prot);
}

/* The host may be out of mappings: then the tables must not say that there is one. */
int hosted_map_page(struct plat_as *as, u64 va, u64 pa, u32 prot)
{
    int err = pc_map_page(as, va, pa, prot);

    if (err)
        return err;
    err = show(va, pa, PAGE_SIZE, prot);
    if (err)
        (void)pc_unmap(as, va, PAGE_SIZE, NULL, NULL); /* no 2 MiB page: it cannot fail */
    return err;
}

u32 hosted_map_around(struct plat_as *as, u64 va, u64 pa, u32 n, u32 prot)
{
    u32 mapped = pc_map_around(as, va, pa, n, prot), done = 0;

    for (u32 i = 0, run; i < n; i += run) {
        for (run = 0; i + run < n && (mapped & BIT(i + run)); run++)
            ;
        u64 at = i * PAGE_SIZE, len = run * PAGE_SIZE;
        if (run && show(va + at, pa + at, len, prot))
            (void)pc_unmap(as, va + at, len, NULL, NULL);
        else
            done |= (u32)((BIT(run) - 1) << i);
        run = max(run, 1u);
    }
    return done;
}

int hosted_replace(struct plat_as *as, u64 va, u64 pa, u32 prot)
{
    int err = pc_replace(as, va, pa, prot);

    return err ? err : show(va, pa, PAGE_SIZE, prot);
}

int hosted_unmap(struct plat_as *as, u64 va, u64 len, plat_gone_fn gone, void *arg)
{
    hide(va, len); /* before anybody can be told that nobody reaches it */
    return pc_unmap(as, va, len, gone, arg);
}

/* A run of pages that the host has in one way. */
struct run {
    u64 len;
    bool mapped, file;
};

static struct run run_at(struct plat_as *as, u64 va, u64 end)
{
    const struct hosted_region *first = NULL;
    struct run run = {0};
    u64 pa;

    for (; va + run.len < end; run.len += PAGE_SIZE) {
        const struct hosted_region *r =
            pc_query(as, va + run.len, &pa, NULL) ? region_of(pa) : NULL;
        if (run.len && (!r != !first || (r && r->shared != first->shared)))
            break;
        first = r;
    }
    run.mapped = first;
    run.file = first && !first->shared;
    return run;
}

int hosted_protect(struct plat_as *as, u64 va, u64 len, u32 prot)
{
    int err = pc_protect(as, va, len, prot);
    u64 end = va + len;

    while (va < end && !err) {
        struct run run = run_at(as, va, end);
        u32 own = prot;
        if (run.file && (prot & PLAT_COPY)) { /* the host copies, and the tables must say so: a late
                                                 fault would make a copy of the file's page */
            own |= PLAT_WRITE;
            err = pc_protect(as, va, run.len, own);
        }
        if (run.mapped && !err && host_call(HOST_MPROTECT, va, run.len, host_prot(own), 0, 0, 0))
            err = -ENOMEM;
        va += run.len;
    }
    return err;
}

static int move_host(u64 from, u64 to, u64 len)
{
    long got = host_call(HOST_MREMAP, from, len, len, HOST_MREMAP_MOVE, to, 0);

    return got == (long)to ? 0 : -EFAULT;
}

/* The host moves no more than one of its mappings in one call, and knows better than we what one
 * is: halve until it agrees. */
static int move_pieces(u64 from, u64 to, u64 len)
{
    while (len) {
        u64 n = len;
        while (move_host(from, to, n)) {
            if (n == PAGE_SIZE)
                return -ENOMEM;
            n = ALIGN_UP(n / 2, PAGE_SIZE);
        }
        from += n, to += n, len -= n;
    }
    return 0;
}

int hosted_move(struct plat_as *as, u64 from, u64 to, u64 len)
{
    int err = 0;

    for (u64 at = 0, step; at < len && !err; at += step) {
        struct run run = run_at(as, from + at, from + len);
        step = run.len;
        if (run.mapped)
            err = move_pieces(from + at, to + at, run.len);
    }
    return err ? err : pc_move(as, from, to, len);
}

/* ---- areas ---- */

static int area_map(struct plat_as *as, u64 va, u64 len, u32 prot)
{
    (void)as;
    return call_mmap(va, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int area_unmap(struct plat_as *as, u64 va, u64 len)
{
    (void)as;
    hide(va, len);
    return 0;
}

static int area_protect(struct plat_as *as, u64 va, u64 len, u32 prot)
{
    (void)as;
    return host_call(HOST_MPROTECT, va, len, host_prot(prot), 0, 0, 0) ? -ENOMEM : 0;
}

/* The first copy of the vDSO's page in [@va, @end), else @end. */
static u64 next_copy(struct plat_as *as, u64 va, u64 end)
{
    for (u32 i = 0; i < ARRAY_LEN(vdso_copies); i++) {
        u64 pa, copy = vdso_copies[i];
        if (copy >= va && copy < end && pc_query(as, copy, &pa, NULL) && pa == vdso_region.pa)
            end = copy;
    }
    return end;
}

/* But for what would not come back: the host knows no file of the vDSO's page. */
static int area_discard(struct plat_as *as, u64 va, u64 len)
{
    for (u64 end = va + len, stop; va < end; va = stop + PAGE_SIZE) {
        stop = next_copy(as, va, end);
        if (stop > va && host_call(HOST_MADVISE, va, stop - va, HOST_DONTNEED, 0, 0, 0))
            return -ENOMEM;
    }
    return 0;
}

static int area_move(struct plat_as *as, u64 from, u64 to, u64 len)
{
    (void)as;
    return move_pieces(from, to, len);
}

/* A page of our own may be shown too, as long as nobody writes it. */
static int area_map_file(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot)
{
    const struct hosted_region *r = region_of(pa);

    if (!r || (r->shared && (prot & PLAT_WRITE)))
        return -EINVAL;
    int err = hosted_map(as, va, pa, len, prot);
    if (err)
        (void)hosted_unmap(as, va, len, NULL, NULL);
    return err;
}

const struct plat_areas hosted_areas = {
    .map = area_map,
    .unmap = area_unmap,
    .protect = area_protect,
    .discard = area_discard,
    .move = area_move,
    .map_file = area_map_file,
    .peak = hosted_peak,
};

/* ---- the kernel's own ---- */

/* For kernel stacks, which nobody looks at in any other way: memory of their own, not that at @pa.
 */
int hosted_kernel_map(u64 va, u64 pa, u64 len, u32 prot)
{
    (void)pa;
    return call_mmap(va, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void hosted_kernel_unmap(const u64 *starts, u32 n, u64 len)
{
    for (u32 i = 0; i < n; i++)
        hide(starts[i], len);
}
