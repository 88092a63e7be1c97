/* /proc/PID/maps, and what the files like it share. */
#include "abi/errno.h"
#include "abi/mman.h"
#include "fs/proc.h"
#include "lib/string.h"
#include "mm/mm.h"
#include "sched/thread.h"

enum { NAME_COLUMN = 73 };

bool proc_area_name(struct vma *vma, char name[PROC_NAME_BYTES], u64 *dev, u64 *ino)
{
    *name = 0;
    *dev = *ino = 0;
    if (vma->name) {
        str_copy(name, vma->name, PROC_NAME_BYTES);
    } else if (vma->backing && vma->backing->ops->name) {
        size_t len = vma->backing->ops->name(vma->backing, name, PROC_NAME_BYTES, dev, ino);
        name[min(len, (size_t)PROC_NAME_BYTES - 1)] = 0;
    }
    return *name;
}

void proc_add_area(struct text *out, struct vma *vma)
{
    char name[PROC_NAME_BYTES];
    size_t begin = out->len;
    u64 dev, ino;
    bool named = proc_area_name(vma, name, &dev, &ino);

    text_add(out, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)vma->start,
             (unsigned long)vma->end, vma->prot & PROT_READ ? 'r' : '-',
             vma->prot & PROT_WRITE ? 'w' : '-', vma->prot & PROT_EXEC ? 'x' : '-',
             vma->flags & MAP_SHARED ? 's' : 'p', (unsigned long)(vma->backing ? vma->offset : 0),
             dev_major(dev), dev_minor(dev), (unsigned long)ino);
    int pad = named ? NAME_COLUMN - (int)(out->len - begin) : 0;
    text_add(out, "%*s%s\n", pad > 0 ? pad : 0, "", name);
}

int proc_for_each_area(int pid, int (*fn)(struct vma *vma, void *arg), void *arg)
{
    struct process *process = process_find(pid);

    if (!process)
        return -ESRCH;
    struct mm *mm = process_mm(process);
    process_put(process);
    if (!mm)
        return 0;
    mm_for_each_vma(mm, fn, arg);
    mm_put(mm);
    return 0;
}

static int add_area(struct vma *vma, void *out)
{
    proc_add_area(out, vma);
    return 0;
}

int proc_show_maps(struct text *out, const struct pseudo_ref *ref)
{
    return proc_for_each_area(ref->pid, add_area, out);
}
