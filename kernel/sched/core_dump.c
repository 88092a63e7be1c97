/* The core file of a process that dies of a fault, as records to the host (abi/report.h): first a
 * memory map and the threads in words, then an ELF file that gdb opens.  Source: core(5), ELF.
 *
 * The other threads are brought to the border of the kernel first, where all their registers are
 * known.  Pages are read by the dying thread itself, like any program memory; what is zero stays a
 * hole. */
#include "sched/core_dump.h"

#include "abi/elf.h"
#include "abi/mman.h"
#include "arch/frame.h"
#include "core/log.h"
#include "core/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"

enum {
    MAX_AREAS = 60000, /* e_phnum has 16 bits */
    NAMES_SIZE = 32768,
    NAME_SIZE = 512,
    LINE_SIZE = NAME_SIZE + 80,
    SMALLEST_CORE = PAGE_SIZE, /* a limit below is none at all */
};
#define HALT_NS (300 * NSEC_PER_MSEC)

static u32 dumping; /* [A] one core file at a time */

/* ---- the other threads ---- */

/* False: another thread of this process is at it already, or the process ends. */
static bool tell_others_to_halt(struct process *p)
{
    struct thread *t;

    spin_lock(&p->siglock);
    bool first = !p->dumping && !p->exiting;
    if (first)
        p->dumping = p->stopped = true;
    list_for_each(t, &p->threads, process_node) {
        if (!first || t == current)
            continue;
        thread_set_work(t, WORK_SIGNAL);
        thread_wake_interruptible(t);
    }
    spin_unlock(&p->siglock);
    return first;
}

static void nap(void)
{
    thread_prepare_sleep(false);
    (void)thread_sleep_until(time_after_ns(NSEC_PER_MSEC)); /* nobody wakes it sooner */
    thread_finish_sleep();
}

/* One that does not come (it waits for a disk, say) is told of as it is. */
static void wait_for_halt(const struct process *p)
{
    u64 deadline = time_after_ns(HALT_NS);

    while (__atomic_load_n(&p->nr_halted, __ATOMIC_ACQUIRE) + 1 <
               __atomic_load_n(&p->nr_threads, __ATOMIC_RELAXED) &&
           time_ns() < deadline)
        nap();
}

/* False: there is nothing to do; another thread that is at it has been waited for. */
static bool halt_others(struct process *p)
{
    if (!tell_others_to_halt(p)) {
        __atomic_fetch_add(&p->nr_halted, 1, __ATOMIC_ACQ_REL);
        wait_event(&p->stop_wait, !__atomic_load_n(&p->stopped, __ATOMIC_ACQUIRE), false,
                   NO_DEADLINE);
        return false;
    }
    wait_for_halt(p);
    return true;
}

/* ---- the stream ---- */

static void send(struct core *core)
{
    u64 len = core->len;

    if (core->kind == REPORT_CORE)
        len = core->at >= core->limit ? 0 : min(len, core->limit - core->at);
    if (len && !core->err)
        core->err = report_send(core->kind, (u32)core->process->pid, core->at, core->bytes, len);
    core->at += core->len;
    core->len = 0;
}

void core_begin(struct core *core, u32 kind, u64 offset)
{
    send(core);
    core->kind = kind;
    core->at = offset;
}

void core_add(struct core *core, const void *bytes, size_t len)
{
    const u8 *from = bytes;

    while (len) {
        size_t n = min(len, (size_t)(REPORT_DATA_MAX - core->len));
        memcpy(core->bytes + core->len, from, n);
        core->len += (u32)n;
        from += n;
        len -= n;
        if (core->len == REPORT_DATA_MAX)
            send(core);
    }
}

/* ---- areas ---- */

static int count_area(struct vma *vma, void *arg)
{
    (void)vma;
    ++*(u32 *)arg;
    return 0;
}

static u32 keep_name(struct core *core, struct vma *vma)
{
    char *to = core->names + core->names_len;
    u32 room = NAMES_SIZE - core->names_len, name = core->names_len;
    u64 dev, ino;

    if (room < NAME_SIZE || (!vma->name && (!vma->backing || !vma->backing->ops->name)))
        return CORE_UNNAMED;
    if (vma->name)
        str_copy(to, vma->name, NAME_SIZE);
    else
        vma->backing->ops->name(vma->backing, to, NAME_SIZE, &dev, &ino);
    to[NAME_SIZE - 1] = 0;
    core->names_len += (u32)strlen(to) + 1;
    return name;
}

/* As Linux's default: what the program has of its own, and the headers by which a debugger tells
 * one build of a library from another. */
static u64 wanted_bytes(const struct vma *vma, const struct core_area *area)
{
    u64 all = vma->end - vma->start;

    if (!(vma->prot & PROT_READ))
        return 0;
    if (area->sparse || !area->of_file)
        return all;
    if (vma->flags & MAP_SHARED)
        return 0;
    if (vma->prot & PROT_WRITE || vma->copied)
        return all;
    return vma->offset ? 0 : PAGE_SIZE;
}

static int keep_area(struct vma *vma, void *arg)
{
    struct core *core = arg;
    struct core_area *area = &core->areas[core->nr_areas];

    if (core->nr_areas == core->max_areas)
        return 1;
    core->nr_areas++;
    *area = (struct core_area){.start = vma->start,
                               .end = vma->end,
                               .offset = vma->offset,
                               .prot = vma->prot,
                               .name = keep_name(core, vma),
                               .of_file = vma->backing && !vma->name,
                               .sparse = !vma->backing || vma->flags & MAP_ANONYMOUS,
                               .shared = vma->flags & MAP_SHARED};
    area->file_size = wanted_bytes(vma, area);
    return 0;
}

static int keep_areas(struct core *core)
{
    u32 count = 0;

    mm_for_each_vma(current->mm, count_area, &count);
    core->max_areas = min(count, (u32)MAX_AREAS);
    core->areas = kcalloc(core->max_areas + 1, sizeof(*core->areas));
    core->names = kmalloc(NAMES_SIZE);
    core->bytes = kmalloc(REPORT_DATA_MAX);
    if (!core->areas || !core->names || !core->bytes)
        return -ENOMEM;
    mm_for_each_vma(current->mm, keep_area, core);
    return 0;
}

static void add_map_text(struct core *core)
{
    char line[LINE_SIZE];

    core_begin(core, REPORT_TEXT, 0);
    core_add(core, "memory map:\n", 12);
    for (u32 i = 0; i < core->nr_areas; i++) {
        const struct core_area *a = &core->areas[i];
        int len = format(line, sizeof(line), "  %012lx-%012lx %c%c%c%c %08lx %s\n", a->start,
                         a->end, a->prot & PROT_READ ? 'r' : '-', a->prot & PROT_WRITE ? 'w' : '-',
                         a->prot & PROT_EXEC ? 'x' : '-', a->shared ? 's' : 'p', a->offset,
                         a->name == CORE_UNNAMED ? "" : core->names + a->name);
        core_add(core, line, (size_t)len);
    }
}

/* ---- the file ---- */

static void add_headers(struct core *core, u64 notes_at, u64 notes_len, u64 data_at)
{
    struct elf64_ehdr head = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(head),
        .e_ehsize = sizeof(head),
        .e_phentsize = sizeof(struct elf64_phdr),
        .e_phnum = (u16)(core->nr_areas + 1),
    };
    struct elf64_phdr notes = {.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = notes_len};

    core_begin(core, REPORT_CORE, 0);
    core_add(core, &head, sizeof(head));
    core_add(core, &notes, sizeof(notes));
    for (u32 i = 0; i < core->nr_areas; i++) {
        const struct core_area *a = &core->areas[i];
        struct elf64_phdr load = {.p_type = PT_LOAD,
                                  .p_flags = (a->prot & PROT_READ ? PF_R : 0) |
                                             (a->prot & PROT_WRITE ? PF_W : 0) |
                                             (a->prot & PROT_EXEC ? PF_X : 0),
                                  .p_offset = data_at,
                                  .p_vaddr = a->start,
                                  .p_filesz = a->file_size,
                                  .p_memsz = a->end - a->start,
                                  .p_align = PAGE_SIZE};
        core_add(core, &load, sizeof(load));
        data_at += a->file_size;
    }
}

static bool is_zero(const u8 *page)
{
    const u64 *word = (const void *)page;

    for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i++)
        if (word[i])
            return false;
    return true;
}

static void add_page(struct core *core, u64 addr, u64 offset)
{
    if (core->len + PAGE_SIZE > REPORT_DATA_MAX || core->at + core->len != offset)
        core_begin(core, REPORT_CORE, offset);
    u8 *to = core->bytes + core->len;
    if (copy_from_user(to, addr, PAGE_SIZE) || is_zero(to))
        return; /* it cannot be had (past the end of its file), or is as good as a hole */
    core->len += PAGE_SIZE;
}

static void add_area(struct core *core, const struct core_area *area, u64 offset)
{
    enum { LOOK = 64 };
    u8 resident[LOOK];

    for (u64 at = 0; at < area->file_size && !core->err; at += LOOK * PAGE_SIZE) {
        u64 pages = min((area->file_size - at) >> PAGE_SHIFT, (u64)LOOK);
        if (mm_resident(current->mm, area->start + at, pages, resident))
            return; /* who shares our memory has unmapped it */
        for (u64 i = 0; i < pages; i++)
            if (!area->sparse || resident[i])
                add_page(core, area->start + at + i * PAGE_SIZE, offset + at + i * PAGE_SIZE);
        sched_point();
    }
}

/* Returns the length of the whole file. */
static u64 add_file(struct core *core)
{
    u64 notes_at = sizeof(struct elf64_ehdr) + (core->nr_areas + 1) * sizeof(struct elf64_phdr);

    core_begin(core, REPORT_CORE, notes_at);
    core_add_notes(core);
    u64 end = core->at + core->len, data_at = ALIGN_UP(end, PAGE_SIZE);
    add_headers(core, notes_at, end - notes_at, data_at);
    for (u32 i = 0; i < core->nr_areas && core->at < core->limit; i++) {
        add_area(core, &core->areas[i], data_at);
        data_at += core->areas[i].file_size;
    }
    core_begin(core, REPORT_CORE, 0);
    return min(data_at, core->limit);
}

static bool may_have_core(const struct process *p)
{
    return p->dumpable && p->rlimits[RLIMIT_CORE].cur >= SMALLEST_CORE;
}

/* Returns whether the host has taken a core file. */
static bool tell(struct core *core)
{
    struct process *p = core->process;
    u32 pid = (u32)p->pid;
    u64 size = 0;

    core->err =
        report_send(REPORT_CRASH, pid, (u64)core->sig, current->name, strlen(current->name));
    add_map_text(core);
    core_begin(core, REPORT_TEXT, 0);
    core_add_threads_text(core);
    if (may_have_core(p))
        size = add_file(core);
    core_begin(core, REPORT_TEXT, 0);
    if (!core->err)
        core->err = report_send(REPORT_END, pid, size, NULL, 0);
    return size && !core->err;
}

bool core_dump(int sig, const struct siginfo64 *info, const struct trap_frame *frame)
{
    struct process *p = current_process();
    struct core core = {.sig = sig,
                        .info = info,
                        .frame = frame,
                        .process = p,
                        .kind = REPORT_TEXT,
                        .limit = p->rlimits[RLIMIT_CORE].cur};

    bool done = false;

    if (!report_wanted() || !halt_others(p))
        return false;
    while (__atomic_exchange_n(&dumping, 1, __ATOMIC_ACQUIRE))
        nap();
    if (keep_areas(&core))
        log_warn("no memory for a core file");
    else
        done = tell(&core);
    __atomic_store_n(&dumping, 0, __ATOMIC_RELEASE);
    kfree(core.areas);
    kfree(core.names);
    kfree(core.bytes);
    return done;
}
