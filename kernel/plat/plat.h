/* What is under the kernel: a (virtual) machine, later a host process.  One table of operations is
 * filled per ground; nothing above this folder knows which it is.
 * Addresses: pa is physical, va virtual, both u64; lengths are bytes; pages are 4 KiB. */
#pragma once

#include "arch/layout.h"
#include "lib/types.h"

struct cpu;
struct window;

enum {
    PLAT_AS_TABLES = 28,
    PAGE_SHIFT = 12,
    HUGE_SHIFT = 21,
};
#define PAGE_SIZE 4096ul
#define PAGE_MASK (PAGE_SIZE - 1)
#define HUGE_SIZE (2ul << 20)

/** One past the last address a program may map. */
#define USER_END arch_program_end

/* Protection of a mapping, and what query() reports.  A mapping without PLAT_READ is not there. */
enum plat_prot {
    PLAT_READ = 1,
    PLAT_WRITE = 2,
    PLAT_EXEC = 4,
    PLAT_UNCACHED = 8,
    PLAT_ACCESSED = 16, /* query only */
    PLAT_DIRTY = 32,    /* query only */
    PLAT_HUGE = 64,     /* query only: the leaf is 2 MiB */
    PLAT_COPY = 128,   /* protect only: writable, but the first write to a page must be seen, unless
                          the ground makes the copy itself (struct plat_areas) */
    PLAT_STATIC = 256, /* map_page and map_around only: nobody counts this memory, so as_destroy()
                          need not tell of it */
};

/* An address space: the lower half is its own, the upper half is the kernel's and shared.
 * Changes to one are serialised by its owner (mm) but for map_page() and map_around(), which may
 * run side by side with each other; lookups need no lock.  A change that takes something away has
 * reached every CPU in .cpus when the operation returns; one that only adds is left to a fault of
 * the CPU that does not know of it yet. */
struct plat_as {
    u64 root; /* [I] what the MMU takes */
    u64 *top; /* [I] the same, mapped */
    u64 cpus; /* [A] one bit a CPU that may hold translations of it */

    /* The ground's own: the entries that hold tables, in the order in which they were filled, each
     * with its level in the low bits; 0: the table is gone.  .nr_tables counts on when there is no
     * room left; who looks for tables must go through all then. */
    u32 nr_tables; /* [A] */
    bool huge;     /* [A] there may be 2 MiB leaves */
    u64 tables[PLAT_AS_TABLES];
};

/** Called for each leaf that was unmapped, after no CPU can reach it any more.
 *  @size: PAGE_SIZE or HUGE_SIZE; @prot: as query reports it. */
typedef void (*plat_gone_fn)(void *arg, u64 va, u64 pa, u64 size, u32 prot);

/* A run of physical memory.  The list is sorted, merged, page-aligned and without overlaps;
 * kernel image, initrd and boot tables are cut out. */
struct mem_region {
    u64 base; /* pa */
    u64 len;
};

/* A ground that has demand paging of its own, as a host process: private memory appears area by
 * area and is not looked at again.  All ranges are whole pages of the program's.  0 or -ENOMEM. */
struct plat_areas {
    /** Fresh anonymous memory, whatever was there. */
    int (*map)(struct plat_as *as, u64 va, u64 len, u32 prot);
    int (*unmap)(struct plat_as *as, u64 va, u64 len);
    int (*protect)(struct plat_as *as, u64 va, u64 len, u32 prot);
    /** Forget the contents; of a file's, what was written to copies. */
    int (*discard)(struct plat_as *as, u64 va, u64 len);
    /** Move to where nothing is; at @from nothing is left. */
    int (*move)(struct plat_as *as, u64 from, u64 to, u64 len);
    /**
     * Memory at @pa that is a file's, privately: the ground makes copies of the pages that are
     * written.  Known to query() and unmap().  Also -EINVAL: @pa is no such memory.
     */
    int (*map_file)(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot);
    /** The most memory that we all had so far, in bytes; 0: nobody knows. */
    u64 (*peak)(void);
};

/* What copy() is to do, and what it tells its caller of. */
struct plat_copy {
    void (*share)(void *arg,
                  u64 pa); /* one page, which is not PLAT_STATIC, is about to be in both */
    void (*split)(void *arg, u64 pa); /* a 2 MiB page becomes small ones */
    void *arg;
    bool leave_static; /* PLAT_STATIC pages need not be in both */
    u64 copied;        /* pages that are in both now are added to it */
};

/* The program's standard streams, where the ground has them ready: 0 in, 1 out, 2 error; and 3,
 * both ways, whoever operates this machine. */
struct plat_streams {
    bool tty;           /* streams 0 and 1 are a terminal's two directions */
    bool operator_line; /* there is a stream 3 */
    /** Move what can be moved without waiting: bytes, 0 for end of file, or a negative errno;
     * -EAGAIN where one would have to wait. */
    ssize_t (*read)(u32 stream, void *buf, size_t len);
    ssize_t (*write)(u32 stream, const void *buf, size_t len);
    /** Which of the poll(2) bits @events hold now. */
    u32 (*poll)(u32 stream, u32 events);
    /** Who wants to know: @want tells the events that somebody waits for, @ready is told of them.
     * Both at safe points; neither sleeps. */
    void (*watch)(u32 (*want)(u32 stream), void (*ready)(u32 stream, u32 events));
};

/* Virtio devices that a process beside us plays, where the ground has them. */
struct plat_window {
    struct window *at; /* abi/window.h */
    bool late;         /* of one device, a network, which is not looked at before it is used */
    /** The device must look at its page or its queues. */
    void (*ring)(u32 device);
    /** Is there still a device process? Asks the host. */
    bool (*look)(void);
    u32 lost_line; /* pended once there is none any more; set by the driver, 0 until then */
};

struct plat_ops {
    const char *name;

    /** Interrupt controllers, clocks, tables of the firmware.  After the command line is known. */
    void (*init)(void);

    /** Bytes of what a CPU needs, which begin with its struct cpu. */
    size_t cpu_size;
    /**
     * Start another CPU.  @cpu: @cpu_size bytes, zeroed, 64-aligned, its for ever; the caller has
     * set .arch.id (below boot_info.nr_cpus), .arch.kstack_top, .arch.thread and what the rooms
     * above keep.  The new CPU fills the rest, lets its GS base be @cpu and calls cpu_main()
     * (core/init.h) on that stack, ready to be interrupted.  Does not wait for it.
     * 0, -ENOMEM, or another negative errno where it cannot be had.
     */
    int (*cpu_start)(struct cpu *cpu);
    /** Sleep until something is pending on this CPU, whoever made it pending: a bit that is set
     *  before or while it sleeps ends the sleep. */
    void (*cpu_idle)(void);
    /**
     * Interrupt another CPU so that it looks at its pending word: soon if it runs program code or
     * sleeps in cpu_idle(), at the next safe point if it runs kernel code.  The caller has set a
     * bit there (core/irq.h).  Any context but a handler of cpu_stop().
     */
    void (*cpu_kick)(struct cpu *cpu);
    /** This CPU waits for one that holds a lock and may not have a processor of the host: let it
     *  have ours for a while.  Any context.  NULL: they have their own, or nobody knows. */
    void (*cpu_yield)(void);
    /** Every other CPU that runs a program has passed a full barrier when this returns. */
    void (*cpu_barrier)(void);
    /**
     * Interrupt another CPU wherever it is, even in kernel code, and let it call cpu_stopped()
     * (core/panic.h) with the frame of what was interrupted.  NULL: cannot be had.
     */
    void (*cpu_stop)(struct cpu *cpu);

    /** Set PEND_TIMER on this CPU at @deadline_ns (monotonic), replacing any earlier setting;
     *  TIME_NEVER disarms. */
    void (*timer_arm)(u64 deadline_ns);

    /** 0 or -ENOMEM. */
    int (*as_create)(struct plat_as *as);
    /** Free the page tables; @gone is told of all that is still mapped but PLAT_STATIC, with 0 as
     * its @va and @prot. No thread runs in it; CPUs that have it loaded still let go of it first,
     * with their cpu->mm. */
    void (*as_destroy)(struct plat_as *as, plat_gone_fn gone, void *arg);
    /** Run in @as from here on; NULL: the kernel's own, with an empty lower half. */
    void (*as_switch)(struct plat_as *as);

    /** Forget all translations of @as, on every CPU: after copy(). */
    void (*as_flush)(struct plat_as *as);

    /** Map one page where nothing is mapped, the hot case of a fault.  0, -ENOMEM, or -EEXIST (also
     * where a 2 MiB leaf lies). */
    int (*map_page)(struct plat_as *as, u64 va, u64 pa, u32 prot);
    /** Map those of @n (at most 32) contiguous pages where nothing is mapped; all of them lie in
     * one aligned 2 MiB.  Returns a bit for each that was mapped. */
    u32 (*map_around)(struct plat_as *as, u64 va, u64 pa, u32 n, u32 prot);
    /** Map @len bytes of contiguous memory where nothing is mapped; uses 2 MiB leaves where @va,
     * @pa and
     *  @len allow.  0 or -ENOMEM (what was mapped stays; unmap the range). */
    int (*map)(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot);
    /** Make the one page at @va be @pa with @prot, whatever was there (copy on write).  The old
     *  translation is flushed everywhere.  0 or -ENOMEM. */
    int (*replace)(struct plat_as *as, u64 va, u64 pa, u32 prot);
    /** Remove what is mapped in the range; @gone may be NULL.  A 2 MiB leaf that lies half outside
     *  is split first.  0 or -ENOMEM (only when splitting; nothing was changed from there on). */
    int (*unmap)(struct plat_as *as, u64 va, u64 len, plat_gone_fn gone, void *arg);
    /** Change the protection of what is mapped in the range.  Without PLAT_READ the pages stay
     * known to query() and unmap() but fault on any touch.  0 or -ENOMEM (splitting). */
    int (*protect)(struct plat_as *as, u64 va, u64 len, u32 prot);
    /** Page at @va: true and *@pa (with the offset in the page), *@prot, if mapped, also if it is
     * there without PLAT_READ.  Either may be NULL. */
    bool (*query)(struct plat_as *as, u64 va, u64 *pa, u32 *prot);
    /** The first address from @va on, whole pages away, at which query() finds a page; @end: none
     * below that. */
    u64 (*next_page)(struct plat_as *as, u64 va, u64 end);
    /** Clear the accessed and dirty marks of the range. */
    void (*clear_marks)(struct plat_as *as, u64 va, u64 len);
    /** Move the leaves of [@from, +@len) to @to, where nothing is mapped; both page-aligned.  0 or
     * -ENOMEM. */
    int (*move)(struct plat_as *as, u64 from, u64 to, u64 len);

    /** Give @to what @from maps in the range, where @to has nothing yet: both lose the right to
     * write.
     * @copy->share is called for pages before they are in both, with their frame; 2 MiB leaves of
     * @from are split first, after .split was told of their frame.  The caller flushes nothing.  0
     * or -ENOMEM (what was copied stays; unmap the range of @to).  NULL: address spaces cannot be
     * copied. */
    int (*copy)(struct plat_as *to, struct plat_as *from, u64 va, u64 len, struct plat_copy *copy);

    /** Map pages in the kernel's vmap area [vmap_base, vmap_base + vmap_size).  0 or -ENOMEM.  A
     * ground may put other memory there: what lies at @pa is not to be looked at any more. */
    int (*kernel_map)(u64 va, u64 pa, u64 len, u32 prot);
    /** Remove @n such ranges of @len bytes each, on all CPUs. */
    void (*kernel_unmap)(const u64 *starts, u32 n, u64 len);
    /** Reach device registers; uncached, for ever.  NULL if the range is RAM or there is no memory.
     */
    void *(*map_device)(u64 pa, u64 len);

    /** Early console output; polled. */
    void (*console_write)(const char *text, size_t len);
    /** Up to @len bytes of hardware randomness; returns how many. */
    size_t (*random_seed)(void *buf, size_t len);
    /** What the firmware calls the machine, a line each: vendor, product, version, serial number.
     * False: nothing.  NULL: there is no firmware. */
    bool (*firmware_text)(char *out, size_t size);
    /** Wall time in ns since 1970, 0 if unknown.  Slow; at start. */
    u64 (*clock_real_ns)(void);
    /** End the VM: see docs/architecture.md, "end".  @code: enum vm_end_kind. */
    void (*power_off)(u32 code) __attribute__((noreturn));

    /** Deliver interrupt line @gsi as pending bit @line.  0 or -EINVAL. */
    int (*irq_route_gsi)(u32 gsi, u32 line);
    /** Address and data to program into an MSI(-X) entry so that it sets pending bit @line on CPU
     * @cpu.  0 or -ENOSPC. */
    int (*irq_route_msi)(u32 line, u32 cpu, u64 *addr, u32 *data);

    /** PCI configuration space, 1, 2 or 4 bytes at an aligned offset; all ones where nothing is. */
    u32 (*pci_read)(u32 bus, u32 dev, u32 fn, u32 offset, u32 size);
    void (*pci_write)(u32 bus, u32 dev, u32 fn, u32 offset, u32 size, u32 value);

    /** What programs read the time from has changed; NULL: they see the page itself. */
    void (*vdso_changed)(void);

    const struct plat_areas *areas;     /* NULL: private memory comes page by page */
    void (*rest)(void);                 /* [I] mm's; the ground calls it in idle, when nothing has
                                           happened for a while: what comes back may go */
    const struct plat_streams *streams; /* NULL: there are devices */
    struct plat_window *window;         /* NULL: no device process */
    bool ports;                         /* the CPU's in and out reach devices */
};

/** The ground that we stand on. [I] from the first line of the kernel on. */
extern struct plat_ops plat;

/* Registers and interrupt of a device that the firmware describes, as with virtio-mmio in ACPI. */
struct plat_device {
    u64 base, len; /* pa */
    u32 gsi;
};

/* A linear frame buffer of 32 bits a dot. */
struct plat_screen {
    u64 pa; /* 0: none */
    u32 width, height;
    u32 stride; /* bytes from one line to the next */
};

/** What is written to the console is shown here as well; by the driver of the screen, else NULL. */
extern void (*plat_screen_write)(const char *text, size_t len);

/** [I] after start: the serial line's driver hears of a break that console_write() read away, which
 * shows only once.  Any context.  NULL: there is none, and its zero byte is left. */
extern void (*plat_uart_break)(void);

/* What the boot found, in one form whatever the protocol.  Fixed after start. */
struct boot_info {
    const char *cmdline; /* NUL-terminated */
    u64 initrd_pa;       /* 0: none */
    u64 initrd_len;
    const char *initrd_fault; /* why it cannot be used; NULL: it can */
    u64 rsdp_pa;              /* 0: none known */
    u32 nr_regions;
    struct mem_region regions[64]; /* usable RAM, free */
    u64 ram_bytes;                 /* all RAM, used or free */
    u64 ram_end;                   /* pa after the last byte of RAM */
    u64 kernel_pa, kernel_len;
    u64 tsc_khz;
    u32 nr_cpus; /* CPUs that cpu_start() may be asked for, the running one included */
    bool has_pci;
    u32 nr_virtio_mmio;
    struct plat_device virtio_mmio[32]; /* those in the DSDT; others are on the command line */
    u64 cmdline_pa;
    u64 pci_window_pa, pci_window_len; /* for devices without addresses; length 0: none */
    struct plat_screen screen;
    bool tables_failed; /* no memory for the page tables of all RAM */
    u32 before_array;   /* bytes of the largest region that cost least: see page_init() */
};
extern struct boot_info boot_info;

/** All RAM is mapped from here on; random, page-aligned, on a machine GiB-aligned. */
extern u64 direct_map_base;
/** Start and length of the area for kernel_map(). */
extern u64 vmap_base, vmap_size;
/** Where the kernel image is, for `kernel+0xOFF`. */
extern char kernel_start[], kernel_text_end[], kernel_end[];

static inline void *phys_to_virt(u64 pa)
{
    return (void *)(uintptr_t)(direct_map_base + pa);
}
/** Of an address in the direct map only. */
static inline u64 virt_to_phys(const void *va)
{
    return (u64)(uintptr_t)va - direct_map_base;
}
/** Of an address in the kernel image. */
static inline u64 image_to_phys(const void *va)
{
    return (u64)(uintptr_t)va - (u64)(uintptr_t)kernel_start + boot_info.kernel_pa;
}

/**
 * Hand over the source of page-table pages: @alloc returns a zeroed page's pa, or 0; @release takes
 * one back, @clean if it is all zeros again.  Until then the platform takes them from the regions
 * list, which mm reads after this call.  By mm_init, first thing.
 */
void plat_set_page_source(u64 (*alloc)(void), void (*release)(u64 pa, bool clean));
