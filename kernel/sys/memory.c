/* The calls about memory: thin, over mm/mm.h. */
#include "abi/errno.h"
#include "abi/mman.h"
#include "abi/resource.h"
#include "abi/stat.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sched/thread.h"
#include "sys/patch.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

#define MAP_KNOWN                                                                                  \
    (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_GROWSDOWN | MAP_DENYWRITE |            \
     MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |       \
     MAP_HUGETLB | MAP_SYNC | MAP_FIXED_NOREPLACE)

/* RLIMIT_AS, where it is set; counted in bytes. */
static bool over_limit(u64 more)
{
    u64 limit = current_process()->rlimits[RLIMIT_AS].cur;
    struct mm_usage usage;

    if (likely(limit == RLIM64_INFINITY))
        return false;
    mm_get_usage(mm_current(), &usage);
    return more > limit || (usage.virtual_pages << PAGE_SHIFT) > limit - more;
}

/* May the file be mapped so?  1: as anonymous memory.  Fills VMA_NOWRITE for a shared one that is
 * not open for writing. */
static int check_file(struct file *file, u32 prot, u32 *flags)
{
    bool shared = *flags & MAP_SHARED;

    if (!(file->mode & FILE_READ))
        return -EACCES;
    if (shared && !(file->mode & FILE_WRITE)) {
        if (prot & PROT_WRITE)
            return -EACCES;
        *flags |= MM_MAP_NOWRITE;
    }
    if (prot & PROT_EXEC && file->mount && mount_has(file->mount, MOUNT_NOEXEC))
        return -EPERM;
    if (file->ops->mmap) {
        int err = file->ops->mmap(file, prot, *flags);
        if (err)
            return err;
    }
    return file->backing.ops ? 0 : -ENODEV;
}

/* A program or library comes with its patch, where it has one. */
static int map_bytes(u64 addr, u64 len, u32 prot, u32 flags, struct file *file, u64 offset,
                     u64 *out)
{
    int err = patch_mmap(mm_current(), addr, len, prot, flags, file, offset, out);

    if (err != 1)
        return err;
    return mm_map(mm_current(), addr, len, prot, flags, &file->backing, offset, NULL, out);
}

static int map_file(u64 addr, u64 len, u32 prot, u32 flags, int fd, u64 offset, u64 *out)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int err = check_file(file, prot, &flags);
    if (!err)
        err = map_bytes(addr, len, prot, flags, file, offset, out);
    else if (err > 0)
        err = mm_map(mm_current(), addr, len, prot, flags | MAP_ANONYMOUS, NULL, 0, NULL, out);
    file_put(file);
    return err;
}

long sys_mmap(u64 addr, u64 len, unsigned prot, unsigned flags, int fd, s64 offset)
{
    u64 out;
    u32 type = flags & MAP_TYPE;

    if (!len || !IS_ALIGNED((u64)offset, PAGE_SIZE))
        return -EINVAL;
    if (type == MAP_SHARED_VALIDATE) {
        if (flags & (~(u32)MAP_KNOWN | MAP_SYNC))
            return -EOPNOTSUPP;
        flags = (flags & ~(u32)MAP_TYPE) | MAP_SHARED;
    }
    if ((flags & MAP_HUGETLB) || over_limit(len))
        return -ENOMEM; /* no reserved huge pages; those of MADV_HUGEPAGE come by themselves */
    flags &= MAP_KNOWN;
    int err = flags & MAP_ANONYMOUS
                  ? mm_map(mm_current(), addr, len, prot, flags, NULL, 0, NULL, &out)
                  : map_file(addr, len, prot, flags, fd, (u64)offset, &out);
    return err ? err : (long)out;
}

long sys_munmap(u64 addr, u64 len)
{
    return mm_unmap(mm_current(), addr, len);
}

long sys_mprotect(u64 addr, u64 len, unsigned prot)
{
    return mm_protect(mm_current(), addr, len, prot);
}

long sys_mremap(u64 old_addr, u64 old_len, u64 new_len, u64 flags, u64 new_addr)
{
    u64 out;

    if (flags > UINT32_MAX)
        return -EINVAL;
    if (new_len > old_len && over_limit(new_len - old_len))
        return -ENOMEM;
    int err = mm_remap(mm_current(), old_addr, old_len, new_len, (u32)flags, new_addr, &out);
    return err ? err : (long)out;
}

long sys_madvise(u64 addr, u64 len, int advice)
{
    return mm_advise(mm_current(), addr, len, advice);
}

long sys_brk(u64 addr)
{
    u64 now = mm_brk(mm_current(), 0);

    if (addr > now &&
        (over_limit(addr - now) || addr - now > current_process()->rlimits[RLIMIT_DATA].cur))
        return (long)now;
    return (long)mm_brk(mm_current(), addr);
}

long sys_msync(u64 addr, u64 len, int flags)
{
    return mm_sync(mm_current(), addr, len, (u32)flags);
}

long sys_mincore(u64 addr, u64 len, uaddr_t vec)
{
    enum { CHUNK = 512 };
    u64 pages = DIV_UP(len, PAGE_SIZE);

    if (!IS_ALIGNED(addr, PAGE_SIZE))
        return -EINVAL;
    if (addr > USER_TOP || len > USER_TOP - addr)
        return -ENOMEM;
    u8 *resident = kmalloc(CHUNK);
    if (!resident)
        return -EAGAIN;
    int err = 0;
    for (u64 at = 0; at < pages && !err; at += CHUNK) {
        u64 n = min(pages - at, (u64)CHUNK);
        err = mm_resident(mm_current(), addr + at * PAGE_SIZE, n, resident);
        if (!err) /* after the address space is unlocked: the store may fault */
            err = copy_to_user(vec + at, resident, n);
    }
    kfree(resident);
    return err;
}

/* Nothing is ever written out, so memory is locked once it is there. */
static long lock_range(u64 addr, u64 len)
{
    u64 start = ALIGN_DOWN(addr, PAGE_SIZE), end;

    if (__builtin_add_overflow(addr, len, &end))
        return -EINVAL;
    int err = mm_populate(mm_current(), start, end - start, true);
    return err == -EINVAL || err == -EFAULT ? -ENOMEM : err;
}

long sys_mlock(u64 addr, u64 len)
{
    return lock_range(addr, len);
}

long sys_munlock(u64 addr, u64 len)
{
    u64 start = ALIGN_DOWN(addr, PAGE_SIZE), end;

    if (__builtin_add_overflow(addr, len, &end))
        return -EINVAL;
    return mm_advise(mm_current(), start, end - start, MADV_NORMAL); /* which tells of holes */
}

long sys_mlock2(u64 addr, u64 len, int flags)
{
    if (flags & ~MLOCK_ONFAULT)
        return -EINVAL;
    return flags & MLOCK_ONFAULT ? sys_munlock(addr, len) : lock_range(addr, len);
}

long sys_mlockall(int flags)
{
    bool known = flags && !(flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));

    return known && flags != MCL_ONFAULT ? 0 : -EINVAL;
}

long sys_munlockall(void)
{
    return 0;
}

/* Bytes advised in the address space of @mm; an error only where nothing was. */
static long advise_ranges(struct mm *mm, uaddr_t iov, u64 count, int advice)
{
    u64 done = 0;

    for (u64 i = 0; i < count; i++) {
        struct iovec range;
        int err = copy_from_user(&range, iov + i * sizeof(range), sizeof(range));
        if (!err)
            err = mm_advise(mm, range.base, range.len, advice);
        if (err)
            return done ? (long)done : err;
        done += range.len;
    }
    return (long)done;
}

long sys_process_madvise(int pidfd, uaddr_t iov, u64 count, int advice, unsigned flags)
{
    enum { IOV_MAX_COUNT = 1024 };
    bool known = advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED ||
                 advice == MADV_COLLAPSE;

    if (flags || !known || count > IOV_MAX_COUNT)
        return -EINVAL;
    struct process *process = pidfd_process(pidfd);
    if (!process)
        return -EBADF;
    struct mm *mm = process_mm(process);
    process_put(process);
    if (!mm)
        return -ESRCH;
    long result = advise_ranges(mm, iov, count, advice);
    mm_put(mm);
    return result;
}
