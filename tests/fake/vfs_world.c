#include "fake/vfs_world.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "core/panic.h"
#include "fake/fault.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "mm/pin.h"
#include "mm/uaccess.h"
#include "sched/thread.h"
#include "vfs/anon/pipe.h"
#include "vfs/dentry.h"
#include "vfs/device.h"
#include "vfs/fd.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/page_cache.h"
#include "vfs/path.h"

enum { ARENA_PAGES = 16384 };

struct plat_ops plat;
u64 direct_map_base; /* physical addresses are host addresses */
char percpu_reads;
struct cpu *cpus[MAX_CPUS];
u32 cpu_count = 1;
u64 cpus_online = 1;

static struct cpu cpu;
static struct thread thread;
static struct process process;
static u8 *arena;
static struct page map[ARENA_PAGES];
struct page *page_map;
u64 page_main_first, page_main_count = ARENA_PAGES;
static u32 free_pages[ARENA_PAGES], nr_free;

/* ---- pages ---- */

struct page *page_alloc(unsigned order, unsigned flags)
{
    if (order || fault_point(-ENOMEM, "page_alloc") || !nr_free)
        return NULL;
    struct page *page = &map[free_pages[--nr_free]];
    *page = (struct page){.refs = 1};
    memset(page_to_virt(page), flags & PAGE_ZERO ? 0 : 0xa5, PAGE_SIZE);
    return page;
}

void page_put(struct page *page)
{
    assert(page->refs);
    if (!--page->refs)
        free_pages[nr_free++] = (u32)(page - map);
}

struct page *page_of_other_frame(u64 frame)
{
    (void)frame;
    return NULL;
}

u64 world_pages(void)
{
    return ARENA_PAGES - nr_free;
}

void page_get_stats(struct page_stats *out)
{
    *out = (struct page_stats){.total = ARENA_PAGES};
}

u64 page_total(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats.total;
}

void page_account(size_t offset, s64 pages)
{
    (void)offset, (void)pages;
}

void page_register_shrinker(struct shrinker *shrinker)
{
    (void)shrinker;
}

/* ---- locks, waiting, time ---- */

void spin_lock_slow(struct spinlock *l)
{
    (void)l;
    abort(); /* the only thread waits for itself */
}

void mutex_lock(struct mutex *m)
{
    assert(!m->owner);
    m->owner = &thread;
}

void mutex_unlock(struct mutex *m)
{
    assert(m->owner == &thread);
    m->owner = NULL;
}

void waitq_init(struct waitq *q)
{
    spin_init(&q->lock);
    list_init(&q->waiters);
}

void waitq_wake(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    (void)q, (void)events, (void)nr_exclusive;
}

void waitq_wake_locked(struct waitq *q, u32 events)
{
    (void)q, (void)events;
}

void wait_entry_init(struct wait_entry *entry)
{
    list_init(&entry->node);
}

void waitq_add(struct waitq *q, struct wait_entry *entry)
{
    (void)q, (void)entry;
}

void waitq_remove(struct waitq *q, struct wait_entry *entry)
{
    (void)q, (void)entry;
}

void thread_prepare_sleep(bool interruptible)
{
    (void)interruptible;
}

int thread_sleep_until(u64 deadline_ns)
{
    (void)deadline_ns;
    return -EINTR; /* nobody else could wake it */
}

void thread_finish_sleep(void)
{
}

u64 time_real_ns(void)
{
    static u64 now = 1700000000ull * 1000000000;
    return now += 1000;
}

u64 time_ns(void)
{
    return time_real_ns();
}

struct thread *thread_create_kernel(void (*fn)(void *), void *arg, const char *name)
{
    (void)fn, (void)arg, (void)name;
    return NULL; /* write-back is done by those who write */
}

void thread_start(struct thread *started)
{
    (void)started;
}

struct process *process_next(int pid)
{
    (void)pid;
    return NULL;
}

void process_put(struct process *p)
{
    (void)p;
}

/* ---- the program's memory is the host's ---- */

void (*world_before_copy)(void);
bool io_counting;

size_t arch_copy_user(void *dst, const void *src, size_t n)
{
    void (*hook)(void) = world_before_copy;

    world_before_copy = NULL;
    if (hook)
        hook();
    memmove(dst, src, n);
    return 0;
}

size_t arch_copy_user_bulk(void *dst, const void *src, size_t n)
{
    return arch_copy_user(dst, src, n);
}

size_t arch_clear_user(void *dst, size_t n)
{
    memset(dst, 0, n);
    return 0;
}

void sched_point(void)
{
}

/* Pieces of one to three sectors, as many as there is room for. */
u64 mm_pin(uaddr_t addr, u64 len, bool write, struct mm_pins *pins)
{
    u64 done = 0;

    (void)write;
    while (done < len && pins->nr < MM_PINS) {
        u32 n = (u32)min(len - done, (pins->nr % 3 + 1) * 512ul);
        u8 *at = (u8 *)(uintptr_t)(addr + done);
        pins->pieces[pins->nr++] = (struct mm_piece){at, n, false};
        done += n;
    }
    return done;
}

void mm_unpin(struct mm_pins *pins)
{
    pins->nr = 0;
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    size_t len = str_copy(dst, (const char *)(uintptr_t)src, size);

    return len < size ? (ssize_t)len : -ENAMETOOLONG;
}

/* ---- what the rooms beside have ---- */

void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "assert: %s at %s:%d\n", what, file, line);
    abort();
}

void log_print(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (level <= LOG_WARN && getenv("LOG")) {
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
    }
    va_end(ap);
}

void log_raw(const char *fmt, ...)
{
    (void)fmt;
}

void mm_forget(bool (*is_file)(struct vm_backing *backing, void *arg), void *arg, u64 index, u64 n)
{
    (void)is_file, (void)arg, (void)index, (void)n; /* nothing is mapped */
}

void mm_for_each(bool (*fn)(struct mm *mm, void *arg), void *arg)
{
    (void)fn, (void)arg;
}

bool (*mm_wait_for_memory)(void);

void mm_write_protect(bool (*is_file)(struct vm_backing *backing, void *arg), void *arg, u64 index,
                      u64 n)
{
    (void)is_file, (void)arg, (void)index, (void)n; /* nothing is mapped */
}

int mm_for_each_vma(struct mm *mm, int (*fn)(struct vma *vma, void *arg), void *arg)
{
    (void)mm, (void)fn, (void)arg;
    return 0;
}

int pipe_open_fifo(struct inode *inode, struct file *file)
{
    (void)inode, (void)file;
    return -ENXIO;
}

int char_device_open(struct inode *inode, struct file *file)
{
    (void)inode, (void)file;
    return -ENXIO;
}

/* ---- disks ---- */

static void disk_submit(struct block_dev *bd, struct block_request *request)
{
    u8 *at = (u8 *)bd->data + request->sector * SECTOR_SIZE;

    request->status = fault_point(-EIO, "a disk transfer");
    for (u32 i = 0; i < request->nr_segments && !request->status; i++) {
        assert((u64)(at - (u8 *)bd->data) + request->segments[i].len <= bd->sectors * SECTOR_SIZE);
        memcpy(request->segments[i].buf, at, request->segments[i].len);
        at += request->segments[i].len;
    }
    request->done(request);
}

struct block_dev *world_disk(void *bytes, u64 len)
{
    static const struct block_ops ops = {.submit = disk_submit};
    static struct block_dev bd;

    bd =
        (struct block_dev){.name = "vda", .ops = &ops, .sectors = len / SECTOR_SIZE, .data = bytes};
    return &bd;
}

/* Our mkfs.erofs may have no lzma.  We are build/tests/unit/NAME. */
static int make_lzma(const char *image, const char *dir)
{
    char self[256], command[1024];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len < 0)
        return -1;
    self[len] = 0;
    *strrchr(self, '/') = 0;
    snprintf(command, sizeof(command), "python3 %s/../../../tests/fake/lzma_image.py %s %s", self,
             image, dir);
    return system(command);
}

u8 *world_make_erofs(const char *dir, const char *options, u64 *len)
{
    char image[] = "/tmp/ingot-erofs-XXXXXX", command[512];
    bool lzma = !strncmp(options, "LZMA", 4);
    struct stat st;
    int fd = mkstemp(image);

    if (lzma)
        options = options + 4;

    snprintf(command, sizeof(command), "mkfs.erofs %s %s %s >/dev/null 2>&1", options, image, dir);
    if (fd < 0 || system(command) || (lzma && make_lzma(image, dir)) || stat(image, &st))
        return NULL;
    u8 *bytes = aligned_alloc(PAGE_SIZE, ALIGN_UP((size_t)st.st_size, PAGE_SIZE));
    FILE *file = fopen(image, "r");
    *len = file ? fread(bytes, 1, (size_t)st.st_size, file) : 0;
    if (file)
        fclose(file);
    close(fd);
    unlink(image);
    return bytes;
}

/* ---- the world ---- */

/* Once: what an earlier world left in caches and their lists is still theirs. */
static void make_arena(void)
{
    arena = mmap(NULL, (size_t)ARENA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    page_map = (struct page *)((uintptr_t)map - ((uintptr_t)arena >> PAGE_SHIFT) * sizeof(*map));
    page_main_first = (uintptr_t)arena >> PAGE_SHIFT;
    for (u32 i = ARENA_PAGES; i-- > 0;)
        free_pages[nr_free++] = i;
}

void world_create(void)
{
    cpu.arch.self = &cpu.arch;
    cpu.arch.thread = &thread;
    cpus[0] = &cpu;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu);
    if (!arena)
        make_arena();
    process = (struct process){.pid = 1, .nr_threads = 1, .creds.cap_effective = CAP_ALL};
    for (u32 i = 0; i < ARRAY_LEN(process.rlimits); i++)
        process.rlimits[i].cur = process.rlimits[i].max = UINT64_MAX;
    process.rlimits[7].cur = 1024;
    thread.process = &process;
    process.files = fd_table_create();
    dentry_init();
    page_cache_start();
}

void world_mount_root(struct super_block *sb)
{
    if (mount_root(sb, "test"))
        abort();
    process.fs = fs_context_clone(&init_fs_context);
}

void world_destroy(void)
{
    fd_table_put(process.files);
    if (process.fs)
        fs_context_put(process.fs);
    dentry_shrink(UINT64_MAX);
    dentry_shrink(UINT64_MAX);
}

/* ---- the program's memory is ours ---- */

int copy_from_user(void *dst, uaddr_t src, size_t n)
{
    memcpy(dst, (const void *)(uintptr_t)src, n);
    return 0;
}

int copy_to_user(uaddr_t dst, const void *src, size_t n)
{
    memcpy((void *)(uintptr_t)dst, src, n);
    return 0;
}

void vm_end_hook(void (*fn)(void))
{
    (void)fn;
}

bool vm_ends_badly(void)
{
    return false;
}
