/* The notes of a core file: who died of what, each thread's registers, and where files are mapped.
 * Source: core(5), linux/elfcore.h. */
#include "sched/core_dump.h"

#include "abi/elf_core.h"
#include "abi/resource.h"
#include "abi/signal.h"
#include "abi/ucontext.h"
#include "arch/frame.h"
#include "arch/thread.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/mm.h"

enum { FX_SIZE = 512, FX_MXCSR = 24, FX_XMM = 160, XSTATE_X87 = 1, XSTATE_SSE = 2 };

static void add_padding(struct core *core, size_t len)
{
    static const u8 zero[4];

    core_add(core, zero, -len % 4);
}

static void add_note_head(struct core *core, u32 type, size_t len)
{
    struct elf64_nhdr head = {.n_namesz = 5, .n_descsz = (u32)len, .n_type = type};

    core_add(core, &head, sizeof(head));
    core_add(core, "CORE\0\0\0", 8);
}

static void add_note(struct core *core, u32 type, const void *bytes, size_t len)
{
    add_note_head(core, type, len);
    core_add(core, bytes, len);
    add_padding(core, len);
}

/* ---- threads ---- */

/* Its registers as they are at the border, where it was halted or has died. */
static const struct trap_frame *frame_of(const struct core *core, const struct thread *t)
{
    return t == current ? core->frame : arch_frame_of(t->kstack_top);
}

static void fill_registers(const struct core *core, const struct thread *t, struct elf_registers *r)
{
    const struct trap_frame *f = frame_of(core, t);
    bool whole = f->vector != FRAME_PARTIAL; /* else it waits inside, and C has those */

    *r = (struct elf_registers){
        .r15 = whole ? f->r15 : 0,
        .r14 = whole ? f->r14 : 0,
        .r13 = whole ? f->r13 : 0,
        .r12 = whole ? f->r12 : 0,
        .rbp = whole ? f->rbp : 0,
        .rbx = whole ? f->rbx : 0,
        .r11 = f->rflags,
        .r10 = f->r10,
        .r9 = f->r9,
        .r8 = f->r8,
        .rax = whole ? f->rax : (u64)-38,
        .rcx = f->rip,
        .rdx = f->rdx,
        .rsi = f->rsi,
        .rdi = f->rdi,
        .orig_rax = f->orig_rax,
        .rip = mm_shown_pc(current->mm, f->rip),
        .cs = LINUX_USER_CS,
        .rflags = f->rflags,
        .rsp = f->rsp,
        .ss = LINUX_USER_SS,
        .fs_base = t == current ? arch_get_fs() : t->arch.fs_base,
    };
    if (!frame_is_syscall(f)) {
        r->r11 = f->r11;
        r->rcx = f->rcx;
    }
}

static void add_status(struct core *core, const struct thread *t)
{
    const struct process *p = core->process;
    struct elf_prstatus status = {
        .si_signo = t == current ? core->sig : 0,
        .cursig = (s16)core->sig,
        .pending = t->pending.pending,
        .blocked = t->blocked,
        .pid = t->tid,
        .ppid = p->ppid,
        .pgrp = p->pgid,
        .sid = p->sid,
        .fpvalid = 1,
    };

    fill_registers(core, t, &status.registers);
    add_note(core, NT_PRSTATUS, &status, sizeof(status));
}

/* The processor does not store what is as it was at the start. */
static void add_vector(struct core *core, struct thread *t)
{
    u8 fx[FX_SIZE];
    u64 stored = XSTATE_X87 | XSTATE_SSE;

    if (t == current)
        arch_vector_copy_current(t->arch.vector);
    memcpy(fx, t->arch.vector, sizeof(fx));
    if (arch_vector_size() > FX_SIZE)
        stored = *(const u64 *)(const void *)((const u8 *)t->arch.vector + FX_SIZE);
    if (!(stored & XSTATE_X87)) {
        memset(fx, 0, FX_MXCSR);
        memset(fx + FX_MXCSR + 8, 0, FX_XMM - FX_MXCSR - 8);
        fx[0] = 0x7f, fx[1] = 0x03; /* the control word */
    }
    if (!(stored & XSTATE_SSE))
        memset(fx + FX_XMM, 0, sizeof(fx) - FX_XMM);
    add_note(core, NT_FPREGSET, fx, sizeof(fx));
}

/* The process as a whole is told of behind the first thread, the one that died. */
static void add_process(struct core *core)
{
    const struct process *p = core->process;
    struct program *program = process_program(core->process);
    struct elf_prpsinfo info = {.letter = 'R',
                                .nice = (s8)p->nice,
                                .uid = p->creds.uid,
                                .gid = p->creds.gid,
                                .pid = p->pid,
                                .ppid = p->ppid,
                                .pgrp = p->pgid,
                                .sid = p->sid};

    str_copy(info.name, current->name, sizeof(info.name));
    if (program && program->cmdline) {
        size_t len = min(program->cmdline_len, sizeof(info.args) - 1);
        memcpy(info.args, program->cmdline, len);
        for (size_t i = 0; i + 1 < len; i++)
            info.args[i] = info.args[i] ? info.args[i] : ' ';
    }
    add_note(core, NT_PRPSINFO, &info, sizeof(info));
    add_note(core, NT_SIGINFO, core->info, sizeof(*core->info));
    if (program)
        add_note(core, NT_AUXV, program->auxv, program->auxv_len);
    if (program)
        program_put(program);
}

/* ---- files ---- */

static bool is_listed(const struct core_area *area)
{
    return area->of_file && area->name != CORE_UNNAMED;
}

static void add_files(struct core *core)
{
    u64 head[2] = {0, PAGE_SIZE}, len = 0;

    for (u32 i = 0; i < core->nr_areas; i++) {
        const struct core_area *a = &core->areas[i];
        if (!is_listed(a))
            continue;
        head[0]++;
        len += 3 * sizeof(u64) + strlen(core->names + a->name) + 1;
    }
    add_note_head(core, NT_FILE, sizeof(head) + len);
    core_add(core, head, sizeof(head));
    for (u32 i = 0; i < core->nr_areas; i++) {
        const struct core_area *a = &core->areas[i];
        u64 words[] = {a->start, a->end, a->offset >> PAGE_SHIFT};
        if (is_listed(a))
            core_add(core, words, sizeof(words));
    }
    for (u32 i = 0; i < core->nr_areas; i++) {
        const char *name = core->names + core->areas[i].name;
        if (is_listed(&core->areas[i]))
            core_add(core, name, strlen(name) + 1);
    }
    add_padding(core, len);
}

/* ---- all of them ---- */

/* The one that died first, as debuggers expect; then the others. */
static void for_each_thread(struct core *core, void (*fn)(struct core *, struct thread *))
{
    fn(core, current);
    for (int tid = 0; (tid = process_next_tid(core->process, tid)) && !core->err;) {
        struct thread *t = tid == current->tid ? NULL : thread_find(tid);
        if (!t)
            continue;
        fn(core, t);
        thread_put(t);
    }
}

static void add_thread(struct core *core, struct thread *t)
{
    add_status(core, t);
    if (t == current)
        add_process(core);
    if (t == current)
        add_files(core);
    add_vector(core, t);
}

void core_add_notes(struct core *core)
{
    for_each_thread(core, add_thread);
}

static void add_thread_text(struct core *core, struct thread *t)
{
    char line[128];
    const struct trap_frame *f = frame_of(core, t);
    int len = format(line, sizeof(line), "  %d %s%s at %#lx, stack %#lx, call %ld\n", t->tid,
                     t->name, t == current ? " (died)" : "", mm_shown_pc(current->mm, f->rip),
                     f->rsp, (long)f->orig_rax);

    core_add(core, line, (size_t)len);
}

void core_add_threads_text(struct core *core)
{
    core_add(core, "threads:\n", 9);
    for_each_thread(core, add_thread_text);
}
