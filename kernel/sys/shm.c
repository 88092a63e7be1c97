/* System V shared memory: shmget, shmat, shmdt, shmctl (shmop(2)).  A segment wraps shared
 * anonymous memory; it counts the areas that refer to it, and goes with the last of them once it
 * was removed.  Databases keep one to see whether another of them is alive: who is attached counts.
 */
#include "abi/errno.h"
#include "abi/ipc.h"
#include "abi/mman.h"
#include "abi/stat.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

enum { SEGMENTS_MAX = 4096 };
#define SEGMENT_BYTES_MAX (1ull << 40)

/* Fields: [I], [L] under ipc.lock. */
struct segment {
    struct vm_backing backing;
    struct vm_backing *memory; /* [I] owns */
    struct list_head node;     /* [L] in ipc.segments */
    int id;                    /* [I] */
    s32 key;                   /* [L] IPC_PRIVATE once it was removed */
    u64 size;                  /* [I] bytes as asked for */
    u32 attached;              /* [L] areas, and calls at work on it */
    u32 uid, gid, mode;        /* [L] */
    u32 cuid, cgid;            /* [I] */
    bool removed;              /* [L] */
    s64 atime, dtime, ctime;   /* [L] seconds */
    int cpid, lpid;            /* [L] */
};

static struct {
    struct spinlock lock; /* a leaf: under mm->lock where areas come and go */
    struct list_head segments;
    u32 count;
    int next_id;
} ipc = {.segments = LIST_INIT(ipc.segments)};

static s64 now(void)
{
    return (s64)(time_real_ns() / NSEC_PER_SEC);
}

static struct segment *of_backing(struct vm_backing *backing)
{
    return container_of(backing, struct segment, backing);
}

static void attach(struct vm_backing *backing)
{
    spin_lock(&ipc.lock);
    of_backing(backing)->attached++;
    spin_unlock(&ipc.lock);
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
    list_remove(&s->node);
    ipc.count--;
    return true;
}

static void detach(struct vm_backing *backing)
{
    struct segment *s = of_backing(backing);

    spin_lock(&ipc.lock);
    s->attached--;
    s->dtime = now();
    s->lpid = current && current->process ? current_process()->pid : 0;
    bool last = drop_locked(s);
    spin_unlock(&ipc.lock);
    if (last)
        destroy(s);
}

/* End of a call's hold of it, which is no detaching. */
static void release(struct segment *s)
{
    spin_lock(&ipc.lock);
    s->attached--;
    bool last = drop_locked(s);
    spin_unlock(&ipc.lock);
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
    *ino = (u64)s->id;
    return min((size_t)format(buf, size, "/SYSV%08x (deleted)", (u32)s->key), size ? size - 1 : 0);
}

static const struct vm_backing_ops segment_ops = {
    .get = attach,
    .put = detach,
    .page = page_of,
    .punch = punch,
    .name = name_of,
};

/* ---- finding and making ---- */

/* May the caller do what @wanted says (bits as of "others")?  Lock held. */
static bool permits(const struct segment *s, u32 wanted)
{
    const struct creds *c = current_creds();
    u32 granted = s->mode;

    if (c->euid == s->uid || c->euid == s->cuid)
        granted >>= 6;
    else if (creds_in_group(c, s->gid) || creds_in_group(c, s->cgid))
        granted >>= 3;
    return !(wanted & ~granted & 07) || capable(CAP_SYS_ADMIN);
}

static struct segment *find_key(s32 key)
{
    struct segment *s;

    list_for_each(s, &ipc.segments, node) {
        if (s->key == key && !s->removed)
            return s;
    }
    return NULL;
}

static struct segment *find_id(int id)
{
    struct segment *s;

    list_for_each(s, &ipc.segments, node) {
        if (s->id == id)
            return s;
    }
    return NULL;
}

/* The segment @id, held by the caller; NULL: none, or (@wanted) not for him, as *@err says. */
static struct segment *hold(int id, u32 wanted, int *err)
{
    spin_lock(&ipc.lock);
    struct segment *s = find_id(id);
    *err = !s ? -EINVAL : permits(s, wanted) ? 0 : -EACCES;
    if (!*err)
        s->attached++;
    spin_unlock(&ipc.lock);
    return *err ? NULL : s;
}

static struct segment *create(s32 key, u64 size, u32 flags)
{
    const struct creds *c = current_creds();
    struct segment *s = kzalloc(sizeof(*s));

    if (!s)
        return NULL;
    s->memory = shm_create(ALIGN_UP(size, PAGE_SIZE));
    if (!s->memory) {
        kfree(s);
        return NULL;
    }
    s->backing.ops = &segment_ops;
    s->key = key;
    s->size = size;
    s->mode = flags & 0777;
    s->uid = s->cuid = c->euid;
    s->gid = s->cgid = c->egid;
    s->ctime = now();
    s->cpid = current_process()->pid;
    return s;
}

static int use_existing(const struct segment *s, u64 size, u32 flags)
{
    if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
        return -EEXIST;
    u32 wanted = (flags >> 6 | flags >> 3 | flags) & 07;
    if (!permits(s, wanted))
        return -EACCES;
    return size > s->size ? -EINVAL : s->id;
}

/* Lock held. The id, or -EEXIST, -EACCES, -EINVAL, -ENOENT, -ENOSPC; *@fresh is NULL if it is used.
 */
static int get_locked(s32 key, u64 size, u32 flags, struct segment **fresh)
{
    struct segment *s = key == IPC_PRIVATE ? NULL : find_key(key);

    if (s)
        return use_existing(s, size, flags);
    if (!*fresh)
        return -ENOENT;
    if (ipc.count >= SEGMENTS_MAX)
        return -ENOSPC;
    s = *fresh;
    *fresh = NULL;
    s->id = ipc.next_id;
    ipc.next_id = (ipc.next_id + 1) & INT32_MAX;
    list_add_tail(&ipc.segments, &s->node);
    ipc.count++;
    return s->id;
}

long sys_shmget(int key, u64 size, unsigned flags)
{
    struct segment *fresh = NULL;

    if (flags & SHM_HUGETLB)
        return -ENOMEM; /* as mmap answers MAP_HUGETLB */
    if (key == IPC_PRIVATE || flags & IPC_CREAT) {
        bool sane = size && size <= SEGMENT_BYTES_MAX;
        fresh = sane ? create(key, size, flags) : NULL;
        if (sane && !fresh)
            return -ENOMEM;
        if (!sane && key == IPC_PRIVATE)
            return -EINVAL;
    }
    spin_lock(&ipc.lock);
    int id = get_locked(key, size, flags, &fresh);
    spin_unlock(&ipc.lock);
    if (fresh)
        destroy(fresh);
    return id == -ENOENT && flags & IPC_CREAT ? -EINVAL : id;
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
    err = mm_map(mm_current(), addr, s->size, prot, how, &s->backing, 0, NULL, &out);
    if (!err) {
        spin_lock(&ipc.lock);
        s->atime = now();
        s->lpid = current_process()->pid;
        spin_unlock(&ipc.lock);
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
    search->size = of_backing(vma->backing)->size;
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
        .perm = {.key = s->key,
                 .uid = s->uid,
                 .gid = s->gid,
                 .cuid = s->cuid,
                 .cgid = s->cgid,
                 .mode = s->mode | (s->removed ? SHM_DEST : 0u)},
        .segsz = s->size,
        .atime = s->atime,
        .dtime = s->dtime,
        .ctime = s->ctime,
        .cpid = s->cpid,
        .lpid = s->lpid,
        .nattch = s->attached - 1, /* one is this call's */
    };
}

static bool owns(const struct segment *s)
{
    u32 euid = current_creds()->euid;

    return euid == s->uid || euid == s->cuid || capable(CAP_SYS_ADMIN);
}

/* Of a segment the caller holds. */
static int control(struct segment *s, int cmd, struct linux_shmid_ds *ds)
{
    int err = 0;

    spin_lock(&ipc.lock);
    if (cmd == IPC_STAT) {
        describe(s, ds);
    } else if (!owns(s)) {
        err = -EPERM;
    } else if (cmd == IPC_RMID) {
        s->removed = true;
        s->key = IPC_PRIVATE;
    } else if (cmd == IPC_SET) {
        s->uid = ds->perm.uid;
        s->gid = ds->perm.gid;
        s->mode = ds->perm.mode & 0777;
        s->ctime = now();
    }
    spin_unlock(&ipc.lock);
    return err;
}

static long put_limits(uaddr_t buf)
{
    const u64 most = UINT64_MAX - (1ull << 24); /* what Linux shows for "no limit" */
    struct linux_shminfo info = {.shmmax = most,
                                 .shmmin = 1,
                                 .shmmni = SEGMENTS_MAX,
                                 .shmseg = SEGMENTS_MAX,
                                 .shmall = most};

    return copy_to_user(buf, &info, sizeof(info));
}

long sys_shmctl(int id, int cmd, uaddr_t buf)
{
    struct linux_shmid_ds ds;
    int err;

    switch (cmd) {
    case IPC_INFO:
        return put_limits(buf);
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
