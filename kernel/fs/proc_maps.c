/* /proc/PID/maps, smaps_rollup. */
#include "abi/errno.h"
#include "abi/mman.h"
#include "fs/proc.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "sched/thread.h"

enum { NAME_COLUMN = 73, PATH_BYTES = 512 };

static int add_area(struct vma *vma, void *arg)
{
    struct text *out = arg;
    char name[PATH_BYTES] = "";
    u64 dev = 0, ino = 0;
    size_t begin = out->len;

    if (vma->name) {
        str_copy(name, vma->name, sizeof(name));
    } else if (vma->backing && vma->backing->ops->name) {
        size_t len = vma->backing->ops->name(vma->backing, name, sizeof(name), &dev, &ino);
        name[min(len, sizeof(name) - 1)] = 0;
    }
    text_add(out, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)vma->start,
             (unsigned long)vma->end, vma->prot & PROT_READ ? 'r' : '-',
             vma->prot & PROT_WRITE ? 'w' : '-', vma->prot & PROT_EXEC ? 'x' : '-',
             vma->flags & MAP_SHARED ? 's' : 'p', (unsigned long)(vma->backing ? vma->offset : 0),
             dev_major(dev), dev_minor(dev), (unsigned long)ino);
    if (!name[0]) {
        text_add(out, "\n");
        return 0;
    }
    int pad = NAME_COLUMN - (int)(out->len - begin);
    text_add(out, "%*s%s\n", pad > 0 ? pad : 0, "", name);
    return 0;
}

int proc_show_maps(struct text *out, const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);

    if (!process)
        return -ESRCH;
    struct mm *mm = process_mm(process);
    process_put(process);
    if (!mm)
        return 0;
    mm_for_each_vma(mm, add_area, out);
    mm_put(mm);
    return 0;
}

int proc_show_smaps_rollup(struct text *out, const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);
    struct mm_usage usage = {0};

    if (!process)
        return -ESRCH;
    struct mm *mm = process_mm(process);
    process_put(process);
    if (mm) {
        mm_get_usage(mm, &usage);
        mm_put(mm);
    }
    unsigned long rss = usage.resident_pages * 4, shared = usage.shared_pages * 4;
    unsigned long anonymous = rss - min(shared, rss);
    text_add(out, "00010000-7ffffffff000 ---p 00000000 00:00 0                      [rollup]\n");
    text_add(out,
             "Rss:            %8lu kB\nPss:            %8lu kB\nPss_Anon:       %8lu kB\n"
             "Pss_File:       %8lu kB\nPss_Shmem:             0 kB\n",
             rss, rss, anonymous, shared);
    text_add(out,
             "Shared_Clean:   %8lu kB\nShared_Dirty:          0 kB\nPrivate_Clean:         0 kB\n"
             "Private_Dirty:  %8lu kB\nReferenced:     %8lu kB\nAnonymous:      %8lu kB\n",
             shared, anonymous, rss, anonymous);
    text_add(out, "AnonHugePages:         0 kB\nSwap:                  0 kB\n"
                  "SwapPss:               0 kB\nLocked:                0 kB\n");
    return 0;
}
