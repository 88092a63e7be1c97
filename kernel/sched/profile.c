/* Where programs spend their time, as samples to the host (abi/report.h): once a millisecond of a
 * CPU's time the running thread is marked, and tells of itself at the border of the kernel: its
 * name and its callers, the outermost first, each a file and an offset.  Callers are found by frame
 * pointers, since nothing else is cheap enough; the innermost frame is always right. */
#include "sched/sched_priv.h"

#include "abi/mman.h"
#include "arch/frame.h"
#include "core/cmdline.h"
#include "core/report.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"

enum { DEPTH = 48, PLACE_SIZE = 144 };

bool profiling;

struct sample {
    u32 nr;
    u64 pcs[DEPTH];                   /* the innermost first */
    const struct vm_backing *backing; /* of the area at .base, while walking */
    u64 base;
    char places[DEPTH][PLACE_SIZE]; /* "" where there is no code */
    char line[REPORT_DATA_MAX];
};

static void collect(struct sample *s, const struct trap_frame *frame)
{
    u64 fp = frame->rbp, low = frame->rsp, pair[2], top;

    s->pcs[s->nr++] = mm_shown_pc(current->mm, frame->rip);
    /* A leaf without a frame of its own has its return address on top. */
    if (!copy_from_user(&top, low, sizeof(top)) && crash_follows_call(top))
        s->pcs[s->nr++] = top - 1;
    while (s->nr < DEPTH && fp >= low && IS_ALIGNED(fp, 8) &&
           !copy_from_user(pair, fp, sizeof(pair))) {
        if (pair[1] - 1 != s->pcs[s->nr - 1])
            s->pcs[s->nr++] = pair[1] - 1; /* in the call, not behind it */
        low = fp + sizeof(pair);
        fp = pair[0];
    }
}

static void name_place(const struct sample *s, struct vma *vma, u64 pc, char *to)
{
    char name[PLACE_SIZE - 24] = "[anon]";
    u64 dev, ino;

    if (vma->name)
        str_copy(name, vma->name, sizeof(name));
    else if (vma->backing && vma->backing->ops->name)
        vma->backing->ops->name(vma->backing, name, sizeof(name), &dev, &ino);
    name[sizeof(name) - 1] = 0;
    format(to, PLACE_SIZE, "%s+0x%lx", name, pc - s->base);
}

static int match_area(struct vma *vma, void *arg)
{
    struct sample *s = arg;

    if (!vma->backing || vma->backing != s->backing) {
        s->backing = vma->backing;
        s->base = vma->start;
    }
    for (u32 i = 0; i < s->nr && vma->prot & PROT_EXEC; i++)
        if (s->pcs[i] >= vma->start && s->pcs[i] < vma->end)
            name_place(s, vma, s->pcs[i], s->places[i]);
    return 0;
}

static size_t add(struct sample *s, size_t len, const char *word)
{
    return len + (size_t)format(s->line + len, sizeof(s->line) - len, ";%s", word);
}

/* Has the program been interrupted, or what did it want of the kernel? */
static size_t add_kernel(struct sample *s, size_t len, const struct trap_frame *frame)
{
    char word[32] = "[kernel] fault";

    if (frame->vector >= VECTOR_LINES && frame->vector < FRAME_SYSCALL)
        return len;
    if (frame_is_syscall(frame))
        format(word, sizeof(word), "[kernel] call %ld", (long)frame->orig_rax);
    return add(s, len, word);
}

void profile_take(const struct trap_frame *frame)
{
    struct sample *s = kzalloc(sizeof(*s));
    u32 known = 0;

    if (!s)
        return; /* one sample less */
    collect(s, frame);
    mm_for_each_vma(current->mm, match_area, s);
    while (known < s->nr && s->places[known][0])
        known++; /* what lies behind no code is no caller */
    size_t len = (size_t)format(s->line, sizeof(s->line), "%s", current->name);
    for (u32 i = known; i-- > 0;)
        len = add(s, len, s->places[i]);
    len = add_kernel(s, len, frame);
    (void)report_send(REPORT_SAMPLE, (u32)current_process()->pid, 0, s->line,
                      min(len, sizeof(s->line) - 1)); /* nobody listens any more: so be it */
    kfree(s);
}

void profile_start(void)
{
    if (!cmdline_get_u64("ingot.profile", 0) || !report_wanted())
        return;
    profiling = true;
    cpu_times_begin();
}
