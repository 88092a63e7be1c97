/* What the log says when the program dies of its own fault: the signal, why in words, where as
 * file+offset, registers, and a backtrace over frame pointers, else a scan of the stack.
 * All addresses are the program's and may be wrong. */
#include "sched/sched_priv.h"

#include "abi/mman.h"
#include "arch/frame.h"
#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/uaccess.h"

enum {
    MAX_FRAMES = 16,
    SCAN_WORDS = 512, /* of the stack, where frame pointers lead nowhere */
    SCAN_FRAMES = 12,
    STACK_REACH = 64 * 1024, /* how far below the stack pointer a frame may reach */
};

/* Where an address lies. */
struct place {
    u64 addr;
    bool found;
    u32 prot;
    u64 base; /* where the file's first byte is mapped, or the area's start */
    char name[96];
    const struct vm_backing *backing; /* of the area at .base, while walking */
};

static int match_area(struct vma *vma, void *arg)
{
    struct place *p = arg;
    if (!vma->backing || vma->backing != p->backing) {
        p->backing = vma->backing;
        p->base = vma->start;
    }
    if (p->addr < vma->start)
        return 1;
    if (p->addr >= vma->end)
        return 0;
    p->found = true;
    p->prot = vma->prot;
    u64 dev, ino;
    if (vma->backing && !vma->name)
        vma->backing->ops->name(vma->backing, p->name, sizeof(p->name), &dev, &ino);
    else
        str_copy(p->name, vma->name ? vma->name : "[anon]", sizeof(p->name));
    return 1;
}

static struct place find_place(u64 addr)
{
    struct mm *mm = current->mm;
    struct place p = {.addr = mm_shown_pc(mm, addr)};
    mm_for_each_vma(mm, match_area, &p);
    return p;
}

/** "file+0x123", or the bare address where nothing is mapped. */
static const char *describe(u64 addr, char *buf, size_t size)
{
    struct place p = find_place(addr);
    if (!p.found) {
        format(buf, size, "0x%lx", addr);
        return buf;
    }
    const char *file = strrchr(p.name, '/');
    format(buf, size, "%s+0x%lx", file ? file + 1 : p.name, p.addr - p.base);
    return buf;
}

static bool is_code(u64 addr)
{
    struct place p = find_place(addr);
    return p.found && p.prot & PROT_EXEC;
}

/* ---- why ---- */

static const char *explain_fetch(u64 addr, const struct place *p)
{
    if (addr < PAGE_SIZE)
        return "it called a null function pointer";
    if (p->found)
        return "it jumped into memory that is not executable (W^X)";
    return "it jumped to an address where nothing is mapped";
}

static const char *explain_access(u64 addr, const struct place *p, bool write, u64 rsp)
{
    bool inaccessible = !p->found || !(p->prot & (PROT_READ | PROT_WRITE | PROT_EXEC));
    if (addr < PAGE_SIZE)
        return write ? "it wrote through a null pointer" : "it read through a null pointer";
    if (inaccessible && addr + STACK_REACH >= rsp && addr < rsp + PAGE_SIZE)
        return "its stack has overflowed";
    if (!p->found)
        return write ? "it wrote where nothing is mapped" : "it read where nothing is mapped";
    if (write && p->prot & PROT_EXEC)
        return "it wrote to code (W^X)";
    if (write)
        return "it wrote to memory that is not writable";
    return "it read memory that is not readable";
}

static const char *explain(int sig, const struct siginfo64 *info, const struct trap_frame *frame)
{
    if (sig == SIGABRT)
        return "it aborted";
    if (info->si_code <= 0)
        return "it was sent the signal";
    switch (sig) {
    case SIGBUS:
        return "it touched a file mapping past the end of the file, or the file could not be read";
    case SIGILL:
        return "it ran an instruction that this CPU does not have";
    case SIGFPE:
        return "it divided by zero or overflowed";
    case SIGSYS:
        return "it made a system call that is not allowed";
    case SIGTRAP:
        return "it ran a breakpoint";
    case SIGSEGV:
        break;
    default:
        return "";
    }
    if (info->si_code == SI_KERNEL)
        return "it used an address that cannot be, or an instruction it must not run";
    u64 addr = info->fault.addr;
    struct place p = find_place(addr);
    if (current->fault_error & FAULT_FETCH || addr == frame->rip)
        return explain_fetch(addr, &p);
    return explain_access(addr, &p, current->fault_error & FAULT_WRITE, frame->rsp);
}

/* ---- where ---- */

static void print_frame(int n, u64 addr, const char *doubt)
{
    char buf[128];
    log_err("  #%d %s%s", n, describe(addr, buf, sizeof(buf)), doubt);
}

/** Follow frame pointers upward. How many frames were printed. */
static int walk_frame_pointers(const struct trap_frame *frame, int n)
{
    u64 fp = frame->rbp, low = frame->rsp;
    int first = n;
    while (n < MAX_FRAMES) {
        u64 pair[2]; /* the caller's frame pointer, the return address */
        if (fp < low || !IS_ALIGNED(fp, 8) || copy_from_user(pair, fp, sizeof(pair)))
            break;
        if (!is_code(pair[1]))
            break;
        print_frame(n++, pair[1] - 1, "");
        low = fp + sizeof(pair);
        fp = pair[0];
    }
    return n - first;
}

/* E8 and four bytes, or FF /2 of two to seven bytes. */
bool crash_follows_call(u64 addr)
{
    enum { LONGEST = 7 };
    u8 before[LONGEST];
    if (addr < USER_BASE + LONGEST || addr >= USER_TOP || !is_code(addr - 1) ||
        copy_from_user(before, addr - LONGEST, LONGEST))
        return false;
    if (before[LONGEST - 5] == 0xe8)
        return true;
    for (int len = 2; len <= LONGEST; len++)
        if (before[LONGEST - len] == 0xff && (before[LONGEST - len + 1] >> 3 & 7) == 2)
            return true;
    return false;
}

/** Whatever on the stack follows a call: a return address, or one that has been. */
static void scan_stack(const struct trap_frame *frame, int n)
{
    u64 at = ALIGN_UP(frame->rsp, 8ul), word;
    for (int i = 0; i < SCAN_WORDS && n < SCAN_FRAMES; i++, at += 8) {
        if (copy_from_user(&word, at, sizeof(word)))
            break;
        if (crash_follows_call(word))
            print_frame(n++, word - 1, " ?");
    }
}

static void print_backtrace(const struct trap_frame *frame)
{
    u64 ret;
    int n = 0;
    print_frame(n++, frame->rip, "");
    /* After a call into nothing the caller's address is on top of the stack. */
    if (!is_code(frame->rip) && !copy_from_user(&ret, frame->rsp, sizeof(ret)) && is_code(ret))
        print_frame(n++, ret - 1, "");
    if (walk_frame_pointers(frame, n) < 2)
        scan_stack(frame, n);
}

static void print_registers(const struct trap_frame *f)
{
    log_err("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_err("  rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
    log_err("  r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
    log_err("  r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
    log_err("  rip %016lx flags %08lx", f->rip, f->rflags);
}

void crash_report(int sig, const struct siginfo64 *info, const struct trap_frame *frame)
{
    char name[16], where[128];
    signal_name(sig, name, sizeof(name));
    log_err("%s[%d] died of %s: %s", current->name, current->tid, name, explain(sig, info, frame));
    describe(frame->rip, where, sizeof(where));
    if (info->si_code > 0 && info->si_code != SI_KERNEL)
        log_err("  at %s, address 0x%lx", where, info->fault.addr);
    else
        log_err("  at %s", where);
    print_registers(frame);
    print_backtrace(frame);
}
