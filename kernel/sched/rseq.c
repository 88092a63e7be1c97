#include "sched/rseq.h"

#include "abi/errno.h"
#include "abi/rseq.h"
#include "arch/frame.h"
#include "mm/uaccess.h"
#include "sched/thread.h"

#define RSEQ_LEN sizeof(struct linux_rseq)

/** Where the copy takes a page first, the thread may go on elsewhere. */
static int write_cpu(uaddr_t rseq)
{
    u32 id;
    int err;

    do {
        id = cpu_id();
        err = user_put64(rseq, (u64)id << 32 | id); /* .cpu_id_start and .cpu_id */
    } while (!err && id != cpu_id());
    return err;
}

static int unregister(struct thread *t)
{
    static const struct linux_rseq none = {.cpu_id = (u32)RSEQ_CPU_ID_UNINITIALIZED};

    if (copy_to_user(t->rseq, &none, offsetof(struct linux_rseq, flags)))
        return -EFAULT;
    t->rseq = 0;
    return 0;
}

int rseq_register(uaddr_t addr, u32 len, int flags, u32 sig)
{
    struct thread *t = current;

    if (flags & ~RSEQ_FLAG_UNREGISTER)
        return -EINVAL;
    if (t->rseq || flags) { /* only what is there can be asked for */
        if (!t->rseq || addr != t->rseq || len != RSEQ_LEN)
            return -EINVAL;
        if (sig != t->rseq_sig)
            return -EPERM;
        return flags ? unregister(t) : -EBUSY;
    }
    if (!IS_ALIGNED(addr, RSEQ_LEN) || len != RSEQ_LEN)
        return -EINVAL;
    if (write_cpu(addr))
        return -EFAULT;
    t->rseq_sig = sig;
    t->rseq = addr;
    return 0;
}

void rseq_inherit(struct thread *t, const struct thread *from)
{
    t->rseq = from->rseq;
    t->rseq_sig = from->rseq_sig;
    if (t->rseq)
        t->work |= WORK_RSEQ; /* nobody else knows it yet */
}

/** Is it a section of the program, with the thread's word before its abort address? */
static int check_section(const struct linux_rseq_cs *cs, u32 want)
{
    u64 end;
    u32 sig;

    if (cs->version || cs->flags || cs->abort_ip >= USER_TOP ||
        __builtin_add_overflow(cs->start_ip, cs->post_commit_offset, &end) || end >= USER_TOP ||
        cs->abort_ip - cs->start_ip < cs->post_commit_offset)
        return -EINVAL;
    if (copy_from_user(&sig, cs->abort_ip - sizeof(sig), sizeof(sig)))
        return -EFAULT;
    return sig == want ? 0 : -EINVAL;
}

/** If @frame lies in the section that the thread has announced, go on at its abort address. */
static int leave_section(struct thread *t, struct trap_frame *frame)
{
    uaddr_t announced = t->rseq + offsetof(struct linux_rseq, rseq_cs);
    static const u64 none;
    struct linux_rseq_cs cs;
    u64 at;

    int err = copy_from_user(&at, announced, sizeof(at));
    if (err || !at)
        return err;
    err = at < USER_TOP ? copy_from_user(&cs, at, sizeof(cs)) : -EFAULT;
    if (!err)
        err = check_section(&cs, t->rseq_sig);
    if (!err)
        err = copy_to_user(announced, &none, sizeof(none));
    if (!err && frame->rip - cs.start_ip < cs.post_commit_offset)
        frame->rip = cs.abort_ip;
    return err;
}

void rseq_update(struct trap_frame *frame)
{
    struct thread *t = current;

    __atomic_fetch_and(&t->work, ~(u32)WORK_RSEQ, __ATOMIC_RELAXED); /* first: it may move again */
    if (!t->rseq)
        return;
    if (!leave_section(t, frame) && !write_cpu(t->rseq))
        return;
    t->rseq = 0; /* it is nonsense: once is enough */
    signal_force(SIGSEGV, SI_KERNEL, 0, frame);
}
