/* Address spaces.  A struct mm is counted; each process has one.  The lower half belongs to the
 * program and is laid out as Linux lays it out.  mm->lock guards the tree of areas and the page
 * tables; it may sleep, and is taken after an inode's lock (a write copies from program memory
 * under it) and before page-cache locks: what is called with it held takes no inode's lock. */
#pragma once

#include "core/percpu.h"
#include "lib/list.h"
#include "lib/rbtree.h"
#include "mm/page.h"
#include "plat/plat.h"

struct trap_frame;
struct mm;
struct vma;

typedef u64 uaddr_t; /* an address of the program's: never dereferenced, only passed to uaccess.h */

#define USER_BASE 0x10000UL /* vm.mmap_min_addr */
#define USER_TOP  USER_END  /* first address the program cannot have */

/** Linux's PROT_* and MAP_* values live in abi/mman.h; vma.prot and vma.flags use them. */

/**
 * What a file gives to a mapping of it; embedded in struct file.  mm is below vfs and knows no
 * more. All calls in thread context with mm->lock held; they may sleep.
 */
struct vm_backing {
    const struct vm_backing_ops *ops; /* [I] */
};
struct vm_backing_ops {
    void (*get)(struct vm_backing *backing); /* another area refers to it */
    void (*put)(struct vm_backing *backing);
    /**
     * The page at @index (of 4 KiB, in the file). @write: a shared mapping is about to write it.
     * Sets *@pa. Returns 0 and takes a page reference where the frame has a struct page (the caller
     * puts it on unmap); -EFAULT past the end of file (SIGBUS), -EIO, -ENOMEM.
     */
    int (*page)(struct vm_backing *backing, u64 index, bool write, paddr_t *pa);
    /**
     * How many of the @n pages from @index are in memory already in consecutive frames, the first
     * at *@pa; 0 if that one is not. References as page() takes them, for each. Must not sleep.
     * NULL: faults come one by one.
     */
    u32 (*cached)(struct vm_backing *backing, u64 index, u32 n, paddr_t *pa);
    /**
     * A page of a shared mapping was written: called at unmap and msync for each dirty page.
     * NULL: nobody wants to know, and pages are mapped writable at once.
     */
    void (*dirty)(struct vm_backing *backing, u64 index);
    /** msync(MS_SYNC) of @n pages from @index, after dirty(), without mm->lock: 0 or -EIO. NULL:
     * nothing to do. */
    int (*sync)(struct vm_backing *backing, u64 index, u64 n);
    /** MADV_REMOVE: make @n pages from @index a hole. 0 or -errno. NULL: -EOPNOTSUPP. */
    int (*punch)(struct vm_backing *backing, u64 index, u64 n);
    /**
     * Code that stands in for other code: what the program shall believe to be at @pc, and where it
     * really goes on when it wants to go on at @pc. NULL: nothing of that kind.
     */
    u64 (*shown_pc)(struct vm_backing *backing, u64 pc);
    u64 (*real_pc)(struct vm_backing *backing, u64 pc);
    /** Where munmap(2) of [@start, @end) ends, if more than the program knows of belongs to it. */
    u64 (*unmap_end)(struct vm_backing *backing, u64 start, u64 end);
    /** Path and identity for /proc/self/maps; returns the length written, without the NUL. */
    size_t (*name)(struct vm_backing *backing, char *buf, size_t size, u64 *dev, u64 *ino);
};

/** Bits of vma.marks. */
enum vma_marks {
    VMA_HUGE = 1,     /* MADV_HUGEPAGE */
    VMA_NOHUGE = 2,   /* MADV_NOHUGEPAGE */
    VMA_DONTFORK = 4, /* MADV_DONTFORK */
    VMA_WIPEFORK = 8, /* MADV_WIPEONFORK */
    VMA_NOWRITE = 16, /* a shared mapping of a file that is not open for writing */
};

/** Of @flags of mm_map(), above Linux's: VMA_NOWRITE for the area. */
#define MM_MAP_NOWRITE 0x80000000u

/** One area.  Fields [L] under mm->lock. */
struct vma {
    struct rb_node node;
    struct mm *mm;  /* [I] */
    u64 gap;        /* [L] free bytes between the area before (or USER_BASE) and this one */
    u64 max_gap;    /* [L] the greatest .gap in this subtree */
    u32 marks;      /* [L] enum vma_marks */
    u64 lowest;     /* [L] lowered also where it is shared: no page lies below; NO_PAGE: none */
    bool copied;    /* likewise; of a private mapping of a file: may have copies of its own */
    u64 start, end; /* [L] page aligned, start < end */
    u32 prot;       /* [L] PROT_* */
    u32 flags;      /* [L] MAP_SHARED or MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN, ... */
    u64 offset;     /* [L] bytes into the backing */
    struct vm_backing *backing; /* [I] owns a reference; NULL: anonymous */
    const char *name;           /* [I] "[heap]", "[stack]", "[vdso]" or NULL; static */
};

/** A new, empty address space with one reference, or NULL. */
struct mm *mm_create(void);
/** One more reference. */
void mm_get(struct mm *mm);
/** Drop a reference; the last one unmaps everything. */
void mm_put(struct mm *mm);
/** Give a CPU that will be started its lists of free memory.  0 or -ENOMEM. */
int mm_cpu_create(struct cpu *cpu);
/** Undo mm_cpu_create() of a CPU that never ran. */
void mm_cpu_destroy(struct cpu *cpu);

/**
 * A copy of @from for another process: private memory is shared until somebody writes it, shared
 * memory stays shared.  @written: addresses that both will write to at once, which need not be
 * anybody's.  NULL: no memory, or the ground has no second address space (mm_can_fork).
 * Thread context; sleeps.
 */
struct mm *mm_fork(struct mm *from, const u64 *written, u32 nr_written);
/** Has the ground more than one address space? */
bool mm_can_fork(void);
/** How many processes and others refer to @mm. */
u32 mm_users(const struct mm *mm);
/** Call @fn for each address space, with a reference, until it returns false.  May sleep. */
void mm_for_each(bool (*fn)(struct mm *mm, void *arg), void *arg);
/**
 * Copy @len bytes of another address space at @addr to kernel memory, faulting pages in as the
 * program would. Returns how many bytes could be copied. May sleep.
 */
size_t mm_read(struct mm *mm, u64 addr, void *buf, size_t len);
/** The same to there; not into shared mappings whose file hears of writes. */
size_t mm_write(struct mm *mm, u64 addr, const void *buf, size_t len);
/** Make @mm the one this CPU translates by (NULL: the kernel's own). */
void mm_switch(struct mm *mm);

/**
 * Map @len bytes (rounded up) as mmap(2) does.
 * @addr: hint, or the place with MAP_FIXED / MAP_FIXED_NOREPLACE; @backing is borrowed (a reference
 * is taken), NULL for anonymous memory; @offset in bytes, page aligned.
 * Returns 0 and *@out, or -EINVAL, -ENOMEM, -EEXIST, -EPERM (W^X: see mm_set_wx_policy).
 */
int mm_map(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags, struct vm_backing *backing,
           u64 offset, const char *name, u64 *out);
/** What the calls of the same name do, with their errors. Thread context; sleep. */
int mm_unmap(struct mm *mm, u64 addr, u64 len);
int mm_protect(struct mm *mm, u64 addr, u64 len, u32 prot);
int mm_remap(struct mm *mm, u64 old_addr, u64 old_len, u64 new_len, u32 flags, u64 new_addr,
             u64 *out);
int mm_advise(struct mm *mm, u64 addr, u64 len, int advice);
int mm_sync(struct mm *mm, u64 addr, u64 len, u32 flags);
/**
 * A file lost its pages from @index on (truncate, a punched hole of @n pages): unmap them in every
 * area whose backing satisfies @is_file(backing, arg), private copies too, as Linux does. Call it
 * after the file has changed. In all address spaces.
 */
void mm_forget(bool (*is_file)(struct vm_backing *backing, void *arg), void *arg, u64 index, u64 n);
/** The next write to these pages of the file in a shared mapping shall ask its backing again; in
 * all address spaces. */
void mm_write_protect(bool (*is_file)(struct vm_backing *backing, void *arg), void *arg, u64 index,
                      u64 n);
/** Called when a fault finds no memory, without locks of mm: true where trying again may help. */
extern bool (*mm_wait_for_memory)(void);
/** mincore(2): *@resident[i] = 1 where the page is in memory. At most @pages of them; -ENOMEM where
 * the range has a hole. */
int mm_resident(struct mm *mm, u64 addr, u64 pages, u8 *resident);
/** Fault in every page of the range, for writing where the area allows it (mlock, MAP_POPULATE).
 * 0, -ENOMEM for a hole, -EFAULT where a page cannot be had. */
int mm_populate(struct mm *mm, u64 addr, u64 len, bool write);
/** Memory of @len bytes, page aligned and not 0, that several areas share, with one reference;
 * NULL: no memory. Its .put drops the reference. */
struct vm_backing *shm_create(u64 len);
/** brk(2): returns the break after the call. */
u64 mm_brk(struct mm *mm, u64 new_break);
/** The loader's: where the heap starts (a random gap is added), and where mmap starts downward. */
void mm_set_layout(struct mm *mm, u64 brk_start, u64 mmap_top);
/** Refuse areas that are writable and executable, whoever asks (image label org.ingot.wx=strict).
 */
void mm_set_wx_policy(struct mm *mm, bool strict);
bool mm_wx_policy(const struct mm *mm);
/** How far the stack may grow, in bytes (RLIMIT_STACK). */
void mm_set_stack_limit(struct mm *mm, u64 bytes);
/** The address space of the running thread, NULL in a kernel thread. */
static inline struct mm *mm_current(void)
{
    return this_cpu()->mm;
}
/** Map the pages of the vDSO and its data; returns 0 and the address of its ELF header. */
int mm_map_vdso(struct mm *mm, u64 *out);

/** Map the pointer through which patched programs enter the kernel (abi/patch.h). */
int mm_map_gate(struct mm *mm);
/** Is it there?  A program at a fixed place may lie over it. */
bool mm_has_gate(struct mm *mm);

/** What the program's signal handlers and we ourselves call @pc; see vm_backing_ops. */
u64 mm_shown_pc(struct mm *mm, u64 pc);
/** Where code goes on that was left at what mm_shown_pc() gave. */
u64 mm_real_pc(struct mm *mm, u64 pc);
/** The backing of the area that holds @addr with a reference, and where that begins, or NULL. */
struct vm_backing *mm_backing_at(struct mm *mm, u64 addr, u64 *start);

/** What to do about a fault that finds no memory. */
enum mm_rescue {
    MM_HOPELESS,  /* end the VM */
    MM_TRY_AGAIN, /* another process ends; some time has passed */
    MM_GIVE_UP    /* the current process ends */
};
/** @kill is asked then. At start. */
void mm_set_killer(enum mm_rescue (*kill)(void));

enum fault_access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC };
/**
 * Resolve a fault of the program, or of the kernel on the program's behalf.
 * Returns 0, or the signal to raise as a negative of its number with *@code as si_code
 * (-SIGSEGV with SEGV_MAPERR/SEGV_ACCERR, -SIGBUS with BUS_ADRERR), or -SIGKILL for no memory.
 * Thread context; may sleep.
 */
int mm_fault(struct mm *mm, u64 addr, enum fault_access access, int *code);

/** True if @addr lies in a shared mapping and its page is there: then *@pa is where (futex keys).
 */
bool mm_shared_page(struct mm *mm, u64 addr, paddr_t *pa);

/** Walk the areas in address order under mm->lock; stops where @fn returns non-zero. */
int mm_for_each_vma(struct mm *mm, int (*fn)(struct vma *vma, void *arg), void *arg);

struct mm_usage {
    u64 virtual_pages, resident_pages, peak_pages, data_pages, stack_pages, text_pages,
        shared_pages, table_pages, faults;
};
/** How much of @mm is mapped, and by what. Takes its lock; may sleep. */
void mm_get_usage(struct mm *mm, struct mm_usage *out);

/** What of an area is in memory, in pages; .share is each page divided by how many have it, in
 * bytes. */
struct area_usage {
    u64 resident, anonymous, referenced, huge;
    u64 shared_clean, shared_dirty, private_clean, private_dirty;
    u64 share, dirty_share, anonymous_share;
};
/**
 * Add to *@out what @vma has; from within mm_for_each_vma().  Where the ground pages an area by
 * itself, nobody here knows, and all of it counts, as for mm_resident().
 */
void mm_measure(struct vma *vma, struct area_usage *out);
/** Page faults of all address spaces since the start. */
u64 mm_faults(void);
/** .peak_pages alone, and .resident_pages: roughly, without the lock. */
u64 mm_peak_pages(const struct mm *mm);
u64 mm_resident_pages(const struct mm *mm);
