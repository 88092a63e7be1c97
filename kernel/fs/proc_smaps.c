/* /proc/PID/smaps, smaps_rollup and numa_maps: what of each mapping is in memory.  proc(5). */
#include "abi/errno.h"
#include "abi/mman.h"
#include "fs/proc.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "sched/thread.h"

/* What is summed up over areas. */
struct rollup {
    struct text *out;
    struct area_usage sum;
    u64 start, end;
    u64 file_share, shmem_share; /* bytes */
};

static void add_kib(struct text *out, const char *name, u64 pages)
{
    text_add(out, "%s:%*s%8lu kB\n", name, 15 - (int)strlen(name), "",
             (unsigned long)(pages * (PAGE_SIZE / 1024)));
}

static void add_bytes(struct text *out, const char *name, u64 bytes)
{
    text_add(out, "%s:%*s%8lu kB\n", name, 15 - (int)strlen(name), "",
             (unsigned long)(bytes / 1024));
}

static void add_usage(struct text *out, const struct area_usage *u, const struct rollup *all)
{
    add_kib(out, "Rss", u->resident);
    add_bytes(out, "Pss", u->share);
    add_bytes(out, "Pss_Dirty", u->dirty_share);
    if (all) {
        add_bytes(out, "Pss_Anon", u->anonymous_share);
        add_bytes(out, "Pss_File", all->file_share);
        add_bytes(out, "Pss_Shmem", all->shmem_share);
    }
    const struct {
        const char *name;
        u64 pages;
    } lines[] = {
        {"Shared_Clean", u->shared_clean},
        {"Shared_Dirty", u->shared_dirty},
        {"Private_Clean", u->private_clean},
        {"Private_Dirty", u->private_dirty},
        {"Referenced", u->referenced},
        {"Anonymous", u->anonymous},
        {"KSM", 0},
        {"LazyFree", 0},
        {"AnonHugePages", u->huge},
        {"ShmemPmdMapped", 0},
        {"FilePmdMapped", 0},
        {"Shared_Hugetlb", 0},
        {"Private_Hugetlb", 0},
        {"Swap", 0},
        {"SwapPss", 0},
        {"Locked", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        add_kib(out, lines[i].name, lines[i].pages);
}

/* Two letters each: what it allows, then whose it is. */
static void add_flags(struct text *out, const struct vma *vma)
{
    text_add(out, "VmFlags:%s%s%s%s mr mw me%s%s%s%s%s\n", vma->prot & PROT_READ ? " rd" : "",
             vma->prot & PROT_WRITE ? " wr" : "", vma->prot & PROT_EXEC ? " ex" : "",
             vma->flags & MAP_SHARED ? " sh" : "", vma->flags & MAP_SHARED ? " ms" : "",
             vma->flags & MAP_GROWSDOWN ? " gd" : "", vma->marks & VMA_DONTFORK ? " dc" : "",
             vma->marks & VMA_HUGE ? " hg" : "", vma->marks & VMA_NOHUGE ? " nh" : "");
}

static int add_smap(struct vma *vma, void *arg)
{
    struct text *out = arg;
    struct area_usage usage = {0};

    mm_measure(vma, &usage);
    proc_add_area(out, vma);
    add_kib(out, "Size", (vma->end - vma->start) >> PAGE_SHIFT);
    text_add(out, "KernelPageSize:        4 kB\nMMUPageSize:           4 kB\n");
    add_usage(out, &usage, NULL);
    text_add(out, "THPeligible:           %d\n", !vma->backing && !(vma->marks & VMA_NOHUGE));
    add_flags(out, vma);
    return 0;
}

int proc_show_smaps(struct text *out, const struct pseudo_ref *ref)
{
    return proc_for_each_area(ref->pid, add_smap, out);
}

static int add_to_rollup(struct vma *vma, void *arg)
{
    struct rollup *all = arg;
    u64 before = all->sum.share - all->sum.anonymous_share;

    mm_measure(vma, &all->sum);
    u64 *others = vma->flags & MAP_ANONYMOUS ? &all->shmem_share : &all->file_share;
    *others += all->sum.share - all->sum.anonymous_share - before;
    all->start = all->end ? all->start : vma->start;
    all->end = vma->end;
    return 0;
}

int proc_show_smaps_rollup(struct text *out, const struct pseudo_ref *ref)
{
    struct rollup all = {.out = out};
    int err = proc_for_each_area(ref->pid, add_to_rollup, &all);

    if (err || !all.end)
        return err;
    text_add(out, "%08lx-%08lx ---p 00000000 00:00 0 %*s[rollup]\n", (unsigned long)all.start,
             (unsigned long)all.end, 23, "");
    add_usage(out, &all.sum, &all);
    return 0;
}

static int add_numa_map(struct vma *vma, void *arg)
{
    struct text *out = arg;
    struct area_usage u = {0};
    char name[PROC_NAME_BYTES];
    u64 dev, ino;

    mm_measure(vma, &u);
    text_add(out, "%08lx default", (unsigned long)vma->start);
    if (proc_area_name(vma, name, &dev, &ino) && name[0] == '/')
        text_add(out, " file=%s", name);
    else if (vma->flags & MAP_GROWSDOWN)
        text_add(out, " stack");
    if (u.anonymous)
        text_add(out, " anon=%lu dirty=%lu", (unsigned long)u.anonymous,
                 (unsigned long)(u.private_dirty + u.shared_dirty));
    if (u.resident > u.anonymous)
        text_add(out, " mapped=%lu", (unsigned long)(u.resident - u.anonymous));
    if (u.resident)
        text_add(out, " N0=%lu kernelpagesize_kB=4", (unsigned long)u.resident);
    text_add(out, "\n");
    return 0;
}

int proc_show_numa_maps(struct text *out, const struct pseudo_ref *ref)
{
    return proc_for_each_area(ref->pid, add_numa_map, out);
}
