/* semop(2): several steps on a set of semaphores at once or not at all.  Who cannot go on waits in
 * the order of arrival, and whoever changes a value does the steps of those that can: so nobody
 * wakes in vain, and nobody is overtaken by who came later and wants the same. */
#include "sys/sem.h"

#include "abi/errno.h"
#include "mm/heap.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

enum { STEPS_INLINE = 8 };

struct ipc_table sem_sets = {.most = SETS_MAX};

/* A call at work; on its stack. */
struct sem_wait {
    struct ipc_wait wait; /* the first */
    struct sem_set *set;
    const struct linux_sembuf *steps;
    u32 nr;
    u32 blocked_at; /* the step that could not be done */
    struct sem_undo *undo;
    bool undoes, alters;
    int pid;
};
static_assert(offsetof(struct sem_wait, wait) == 0, "cast back");

/* ---- the steps ---- */

/* One step. 0, IPC_WAITING, or -ERANGE. */
static int do_step(struct sem_wait *w, const struct linux_sembuf *step)
{
    struct semaphore *sem = &w->set->sems[step->num];
    int value = sem->value + step->op;

    if (step->op ? value < 0 : sem->value != 0)
        return IPC_WAITING;
    if (value > VALUE_MAX)
        return -ERANGE;
    if (step->flags & SEM_UNDO) {
        int adjust = w->undo->adjust[step->num] - step->op;
        if (adjust < -VALUE_MAX - 1 || adjust > VALUE_MAX)
            return -ERANGE;
        w->undo->adjust[step->num] = (s16)adjust;
    }
    sem->value = (u16)value;
    return 0;
}

static void take_back(struct sem_wait *w, u32 done)
{
    while (done > 0) {
        const struct linux_sembuf *step = &w->steps[--done];
        w->set->sems[step->num].value = (u16)(w->set->sems[step->num].value - step->op);
        if (step->flags & SEM_UNDO)
            w->undo->adjust[step->num] = (s16)(w->undo->adjust[step->num] + step->op);
    }
}

/* All steps or none. 0, IPC_WAITING, -EAGAIN (it must not wait), or -ERANGE. Lock held. */
static int try_steps(struct sem_wait *w)
{
    for (u32 i = 0; i < w->nr; i++) {
        int result = do_step(w, &w->steps[i]);
        if (!result)
            continue;
        w->blocked_at = i;
        take_back(w, i);
        return result == IPC_WAITING && w->steps[i].flags & IPC_NOWAIT ? -EAGAIN : result;
    }
    for (u32 i = 0; i < w->nr; i++)
        w->set->sems[w->steps[i].num].pid = w->pid;
    w->set->otime = ipc_now();
    return 0;
}

void sem_changed(struct sem_set *set)
{
    struct list_head *at = set->waiting.next;

    while (at != &set->waiting) {
        struct sem_wait *w = (struct sem_wait *)list_entry(at, struct ipc_wait, node);
        at = at->next;
        int result = try_steps(w);
        if (result == IPC_WAITING)
            continue;
        ipc_wake_locked(&w->wait, result);
        if (!result && w->alters)
            at = set->waiting.next; /* it may be what an earlier one waits for */
    }
}

int sem_count_waiting(const struct sem_set *set, u16 num, bool for_zero)
{
    const struct ipc_wait *wait;
    int n = 0;

    list_for_each(wait, &set->waiting, node) {
        const struct sem_wait *w = (const struct sem_wait *)wait;
        const struct linux_sembuf *step = &w->steps[w->blocked_at];
        n += step->num == num && for_zero == !step->op;
    }
    return n;
}

/* ---- what is to be undone ---- */

static struct sem_undo *find_undo(const struct sem_set *set)
{
    struct sem_undo *undo = current_process()->sem_undo;

    while (undo && undo->set != set)
        undo = undo->next_of_process;
    return undo;
}

static void add_undo(struct sem_set *set, struct sem_undo *undo)
{
    struct process *p = current_process();

    undo->set = set;
    undo->process = p;
    undo->next_of_set = set->undo;
    set->undo = undo;
    undo->next_of_process = p->sem_undo;
    p->sem_undo = undo;
}

void sem_forget_undo(struct sem_set *set, int num)
{
    for (struct sem_undo *undo = set->undo; undo; undo = undo->next_of_set)
        for (u32 i = 0; i < undo->nr; i++)
            if (num < 0 || i == (u32)num)
                undo->adjust[i] = 0;
}

void sem_drop_undo(struct sem_set *set)
{
    while (set->undo) {
        struct sem_undo *undo = set->undo, **link = &undo->process->sem_undo;
        while (*link != undo)
            link = &(*link)->next_of_process;
        *link = undo->next_of_process;
        set->undo = undo->next_of_set;
        kfree(undo);
    }
}

static void apply_undo(const struct sem_undo *undo)
{
    for (u32 i = 0; i < undo->nr; i++) {
        struct semaphore *sem = &undo->set->sems[i];
        if (!undo->adjust[i])
            continue;
        int value = sem->value + undo->adjust[i];
        sem->value = (u16)min(max(value, 0), (int)VALUE_MAX);
        sem->pid = undo->process->pid;
    }
    undo->set->otime = ipc_now();
    sem_changed(undo->set);
}

void sem_process_gone(struct process *process)
{
    spin_lock(&sem_sets.lock);
    while (process->sem_undo) {
        struct sem_undo *undo = process->sem_undo, **link = &undo->set->undo;
        while (*link != undo)
            link = &(*link)->next_of_set;
        *link = undo->next_of_set;
        process->sem_undo = undo->next_of_process;
        apply_undo(undo);
        kfree(undo);
    }
    spin_unlock(&sem_sets.lock);
}

/* ---- the calls ---- */

/* Find the set and check the call against it. Lock held. */
static int check(struct sem_wait *w, int id)
{
    w->set = (struct sem_set *)ipc_find_locked(&sem_sets, id);
    if (!w->set)
        return -EINVAL;
    for (u32 i = 0; i < w->nr; i++) {
        if (w->steps[i].num >= w->set->obj.size)
            return -EFBIG;
        w->undoes |= (w->steps[i].flags & SEM_UNDO) != 0;
        w->alters |= w->steps[i].op != 0;
    }
    return ipc_permits(&w->set->obj, w->alters ? 02 : 04) ? 0 : -EACCES;
}

/* Lock, and check that the call can be tried: 0 with the lock held, or an error without. */
static int begin(struct sem_wait *w, int id)
{
    struct sem_undo *fresh = NULL;

    for (;;) {
        spin_lock(&sem_sets.lock);
        int err = check(w, id);
        u32 nr = err ? 0 : (u32)w->set->obj.size;
        w->undo = !err && w->undoes ? find_undo(w->set) : NULL;
        bool lacks = !err && w->undoes && !w->undo;
        if (lacks && fresh && fresh->nr == nr) {
            add_undo(w->set, fresh);
            w->undo = fresh;
            fresh = NULL;
            lacks = false;
        }
        if (err || lacks)
            spin_unlock(&sem_sets.lock);
        if (!lacks) {
            kfree(fresh);
            return err;
        }
        kfree(fresh);
        fresh = kzalloc(sizeof(*fresh) + nr * sizeof(fresh->adjust[0]));
        if (!fresh)
            return -ENOMEM;
        fresh->nr = nr;
    }
}

static long operate(int id, const struct linux_sembuf *steps, u32 nr, u64 deadline_ns)
{
    struct sem_wait w = {.steps = steps, .nr = nr, .pid = current_process()->pid};
    int err = begin(&w, id);

    if (err)
        return err;
    int result = try_steps(&w);
    if (!result && w.alters)
        sem_changed(w.set);
    if (result == IPC_WAITING)
        ipc_wait_begin(&w.wait, &w.set->waiting);
    spin_unlock(&sem_sets.lock);
    return result == IPC_WAITING ? ipc_wait_end(&sem_sets, &w.wait, deadline_ns) : result;
}

static long semop_until(int id, uaddr_t from, u64 nr, u64 deadline_ns)
{
    struct linux_sembuf few[STEPS_INLINE], *steps = few;

    if (nr > STEPS_INLINE)
        steps = kmalloc(nr * sizeof(*steps));
    if (!steps)
        return -ENOMEM;
    long result = copy_from_user(steps, from, nr * sizeof(*steps));
    if (!result)
        result = operate(id, steps, (u32)nr, deadline_ns);
    if (steps != few)
        kfree(steps);
    return result;
}

long sys_semtimedop(int id, uaddr_t steps, u64 nr, uaddr_t timeout)
{
    u64 deadline_ns = NO_DEADLINE, wait_ns;

    if (!nr || id < 0)
        return -EINVAL;
    if (nr > STEPS_MAX)
        return -E2BIG;
    if (timeout) {
        int err = get_timespec_ns(timeout, &wait_ns);
        if (err)
            return err;
        deadline_ns = time_after_ns(wait_ns);
    }
    return semop_until(id, steps, nr, deadline_ns);
}

long sys_semop(int id, uaddr_t steps, u64 nr)
{
    return sys_semtimedop(id, steps, nr, 0);
}
