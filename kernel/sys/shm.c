/* System V shared memory: shmget, shmat, shmdt, shmctl (shmop(2)).  A segment wraps shared
 * anonymous memory; it counts the areas that refer to it, and goes with the last of them once it
 * was removed.  Databases keep one to see whether another of them is alive: who is attached counts.
 */
#include "abi/errno.h"
#include "abi/mman.h"
#include "abi/stat.h"
#include "fs/pseudo.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/ipc.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

enum { SEGMENTS_MAX = 4096 };
#define SEGMENT_BYTES_MAX (1ull << 40)

/* Fields: [I], [L] under segments.lock. */
struct segment {
    struct ipc_object obj; /* the first; .size in bytes */
    struct vm_backing backing;
    struct vm_backing *memory; /* [I] owns */
    u32 attached;              /* [L] areas, and calls at work on it */
    bool removed;              /* [L] */
    s64 atime, dtime;          /* [L] seconds */
    int cpid, lpid;            /* [L] */
};
static_assert(offsetof(struct segment, obj) == 0, "cast back");

/* Its lock is taken under mm->lock where areas come and go. */
static struct ipc_table segments = {.most = SEGMENTS_MAX};

static struct segment *of_backing(struct vm_backing *backing)
{
    return container_of(backing, struct segment, backing);
}

static void attach(struct vm_backing *backing)
{
    spin_lock(&segments.lock);
    of_backing(backing)->attached++;
    spin_unlock(&segments.lock);
}

static void destroy(struct segment *s)
{
    s->memory->ops->put(s->memory);
    kfree(s);
}

/* Take it from the list if nobody has it any more. Lock held; true: it is the caller's to free. */
static bool drop_locked(struct segment *s)
{
    if (!s->removed || s->attached)
        return false;
    ipc_remove_locked(&segments, &s->obj);
    return true;
}

static void detach(struct vm_backing *backing)
{
    struct segment *s = of_backing(backing);

    spin_lock(&segments.lock);
    s->attached--;
    s->dtime = ipc_now();
    s->lpid = current && current->process ? current_process()->pid : 0;
    bool last = drop_locked(s);
    spin_unlock(&segments.lock);
    if (last)
        destroy(s);
}

/* End of a call's hold of it, which is no detaching. */
static void release(struct segment *s)
{
    spin_lock(&segments.lock);
    s->attached--;
    bool last = drop_locked(s);
    spin_unlock(&segments.lock);
    if (last)
        destroy(s);
}

static int page_of(struct vm_backing *backing, u64 index, bool write, paddr_t *pa)
{
    struct vm_backing *memory = of_backing(backing)->memory;

    return memory->ops->page(memory, index, write, pa);
}

static int punch(struct vm_backing *backing, u64 index, u64 n)
{
    struct vm_backing *memory = of_backing(backing)->memory;

    return memory->ops->punch(memory, index, n);
}

static size_t name_of(struct vm_backing *backing, char *buf, size_t size, u64 *dev, u64 *ino)
{
    const struct segment *s = of_backing(backing);

    *dev = 1;
    *ino = (u64)s->obj.id;
    return min((size_t)format(buf, size, "/SYSV%08x (deleted)", (u32)s->obj.key),
               size ? size - 1 : 0);
}

static const struct vm_backing_ops segment_ops = {
    .get = attach,
    .put = detach,
    .page = page_of,
    .punch = punch,
    .name = name_of,
};

/* ---- finding and making ---- */

/* The segment @id, held by the caller; NULL: none, or (@wanted) not for him, as *@err says. */
static struct segment *hold(int id, u32 wanted, int *err)
{
    spin_lock(&segments.lock);
    struct segment *s = (struct segment *)ipc_find_locked(&segments, id);
    *err = !s ? -EINVAL : ipc_permits(&s->obj, wanted) ? 0 : -EACCES;
    if (!*err)
        s->attached++;
    spin_unlock(&segments.lock);
    return *err ? NULL : s;
}

/* 0 and *@out, prepared, or -EINVAL, -ENOMEM, -ENOSPC. */
static int create(s32 key, u64 size, u32 flags, struct segment **out)
{
    if (!size || size > SEGMENT_BYTES_MAX)
        return -EINVAL;
    struct segment *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->memory = shm_create(ALIGN_UP(size, PAGE_SIZE));
    s->backing.ops = &segment_ops;
    s->cpid = current_process()->pid;
    int err = s->memory ? ipc_prepare(&segments, &s->obj, key, size, flags) : -ENOMEM;
    if (!err) {
        *out = s;
        return 0;
    }
    if (s->memory)
        s->memory->ops->put(s->memory);
    kfree(s);
    return err;
}

long sys_shmget(int key, u64 size, unsigned flags)
{
    struct segment *s = NULL;
    int err = -ENOENT;

    if (flags & SHM_HUGETLB)
        return -ENOMEM; /* as mmap answers MAP_HUGETLB */
    if (key == IPC_PRIVATE || flags & IPC_CREAT)
        err = create(key, size, flags, &s);
    struct ipc_object *fresh = s ? &s->obj : NULL;
    long id = ipc_get(&segments, key, size, flags, &fresh, err);
    if (fresh) { /* there is one already */
        ipc_remove(&segments, fresh);
        destroy(s);
    }
    return id;
}

/* ---- attaching ---- */

long sys_shmat(int id, u64 addr, unsigned flags)
{
    bool reads = flags & SHM_RDONLY;
    u32 prot = PROT_READ | (reads ? 0u : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0u);
    u32 how = MAP_SHARED | (reads ? MM_MAP_NOWRITE : 0u);
    u64 out;
    int err;

    if (addr && !IS_ALIGNED(addr, PAGE_SIZE)) {
        if (!(flags & SHM_RND))
            return -EINVAL;
        addr = ALIGN_DOWN(addr, PAGE_SIZE);
    }
    if (flags & SHM_REMAP && !addr)
        return -EINVAL;
    if (addr)
        how |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    struct segment *s = hold(id, reads ? 04 : 06, &err);
    if (!s)
        return err;
    err = mm_map(mm_current(), addr, s->obj.size, prot, how, &s->backing, 0, NULL, &out);
    if (!err) {
        spin_lock(&segments.lock);
        s->atime = ipc_now();
        s->lpid = current_process()->pid;
        spin_unlock(&segments.lock);
    }
    release(s);
    if (err)
        return err == -EEXIST ? -EINVAL : err;
    return (long)out;
}

/* The area that begins a segment at .addr. */
struct search {
    u64 addr, size;
};

static int is_it(struct vma *vma, void *arg)
{
    struct search *search = arg;

    if (!vma->backing || vma->backing->ops != &segment_ops ||
        vma->start - vma->offset != search->addr)
        return 0;
    search->size = of_backing(vma->backing)->obj.size;
    return 1;
}

long sys_shmdt(u64 addr)
{
    struct search search = {.addr = addr};

    mm_for_each_vma(mm_current(), is_it, &search);
    if (!search.size)
        return -EINVAL;
    return mm_unmap(mm_current(), addr, ALIGN_UP(search.size, PAGE_SIZE));
}

/* ---- shmctl ---- */

static void describe(const struct segment *s, struct linux_shmid_ds *out)
{
    *out = (struct linux_shmid_ds){
        .segsz = s->obj.size,
        .atime = s->atime,
        .dtime = s->dtime,
        .ctime = s->obj.ctime,
        .cpid = s->cpid,
        .lpid = s->lpid,
        .nattch = s->attached,
    };
    ipc_describe(&s->obj, &out->perm);
    out->perm.mode |= s->removed ? SHM_DEST : 0u;
}

/* Of a segment the caller holds. */
static int control(struct segment *s, int cmd, struct linux_shmid_ds *ds)
{
    int err = 0;

    spin_lock(&segments.lock);
    if (cmd == IPC_STAT) {
        describe(s, ds);
        ds->nattch--; /* one is this call's */
    } else if (!ipc_owns(&s->obj)) {
        err = -EPERM;
    } else if (cmd == IPC_RMID) {
        s->removed = true;
        s->obj.key = IPC_PRIVATE;
    } else if (cmd == IPC_SET) {
        ipc_change(&s->obj, &ds->perm);
    }
    spin_unlock(&segments.lock);
    return err;
}

/* A limit that there is not, as Linux shows it. */
#define UNLIMITED (UINT64_MAX - (1ull << 24))

static u32 last_slot(void)
{
    spin_lock(&segments.lock);
    u32 last = ipc_last_locked(&segments);
    spin_unlock(&segments.lock);
    return last;
}

static long put_limits(uaddr_t buf)
{
    struct linux_shminfo info = {.shmmax = UNLIMITED,
                                 .shmmin = 1,
                                 .shmmni = SEGMENTS_MAX,
                                 .shmseg = SEGMENTS_MAX,
                                 .shmall = UNLIMITED};

    return copy_to_user(buf, &info, sizeof(info)) ? -EFAULT : (long)last_slot();
}

static long put_usage(uaddr_t buf)
{
    struct linux_shm_info info = {0};

    spin_lock(&segments.lock);
    info.used_ids = (s32)segments.used;
    for (u32 i = 0; i < segments.nr_slots; i++) {
        const struct ipc_object *obj = ipc_at_locked(&segments, i);
        info.shm_tot += obj ? ALIGN_UP(obj->size, PAGE_SIZE) / PAGE_SIZE : 0;
    }
    spin_unlock(&segments.lock);
    info.shm_rss = info.shm_tot;
    return copy_to_user(buf, &info, sizeof(info)) ? -EFAULT : (long)last_slot();
}

/* IPC_STAT of what is in slot @index; its id. */
static long stat_slot(u32 index, bool any, uaddr_t buf)
{
    struct linux_shmid_ds ds;
    long id = -EINVAL;

    spin_lock(&segments.lock);
    const struct segment *s = (struct segment *)ipc_at_locked(&segments, index);
    if (s)
        id = any || ipc_permits(&s->obj, 04) ? s->obj.id : -EACCES;
    if (id >= 0)
        describe(s, &ds);
    spin_unlock(&segments.lock);
    return id >= 0 && copy_to_user(buf, &ds, sizeof(ds)) ? -EFAULT : id;
}

long sys_shmctl(int id, int cmd, uaddr_t buf)
{
    struct linux_shmid_ds ds;
    int err;

    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_INFO:
        return put_limits(buf);
    case SHM_INFO:
        return put_usage(buf);
    case SHM_STAT:
    case SHM_STAT_ANY:
        return stat_slot((u32)id, cmd == SHM_STAT_ANY, buf);
    case IPC_SET:
        if (copy_from_user(&ds, buf, sizeof(ds)))
            return -EFAULT;
        break;
    case IPC_STAT:
    case IPC_RMID:
    case SHM_LOCK: /* nothing is ever written out */
    case SHM_UNLOCK:
        break;
    default:
        return -EINVAL;
    }
    struct segment *s = hold(id, cmd == IPC_STAT ? 04 : 0, &err);
    if (!s)
        return err;
    err = control(s, cmd, &ds);
    release(s);
    if (!err && cmd == IPC_STAT)
        err = copy_to_user(buf, &ds, sizeof(ds));
    return err;
}

/* How much of a segment is in memory is not counted: its size is told. */
void shm_list(struct text *out)
{
    struct linux_shmid_ds ds;
    u32 slots = 1;

    for (u32 i = 0; i < slots; i++) {
        spin_lock(&segments.lock);
        slots = segments.nr_slots;
        const struct segment *s = (struct segment *)ipc_at_locked(&segments, i);
        int id = s ? s->obj.id : 0;
        if (s)
            describe(s, &ds);
        spin_unlock(&segments.lock);
        if (!s)
            continue;
        text_add(out,
                 "%10d %10d  %4o %21lu %5d %5d  %5lu %5u %5u %5u %5u %10lu %10lu %10lu %21lu "
                 "%21lu\n",
                 ds.perm.key, id, ds.perm.mode, (unsigned long)ds.segsz, ds.cpid, ds.lpid,
                 (unsigned long)ds.nattch, ds.perm.uid, ds.perm.gid, ds.perm.cuid, ds.perm.cgid,
                 (unsigned long)ds.atime, (unsigned long)ds.dtime, (unsigned long)ds.ctime,
                 (unsigned long)ALIGN_UP(ds.segsz, PAGE_SIZE), 0ul);
    }
}
