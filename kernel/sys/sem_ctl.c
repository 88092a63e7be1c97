/* Sets of System V semaphores: semget(2), semctl(2), /proc/sysvipc/sem. */
#include "abi/errno.h"
#include "fs/pseudo.h"
#include "mm/heap.h"
#include "sys/sem.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

/* 0 and *@out, prepared, or -EINVAL, -ENOMEM, -ENOSPC. */
static int create(s32 key, u32 nr, u32 flags, struct sem_set **out)
{
    if (!nr)
        return -EINVAL;
    struct sem_set *set = kzalloc(sizeof(*set) + nr * sizeof(set->sems[0]));
    if (!set)
        return -ENOMEM;
    list_init(&set->waiting);
    int err = ipc_prepare(&sem_sets, &set->obj, key, nr, flags);
    if (err)
        kfree(set);
    else
        *out = set;
    return err;
}

long sys_semget(int key, int nr, unsigned flags)
{
    struct sem_set *set = NULL;
    int err = -ENOENT;

    if (nr < 0 || nr > SET_SIZE_MAX)
        return -EINVAL;
    if (key == IPC_PRIVATE || flags & IPC_CREAT)
        err = create(key, (u32)nr, flags, &set);
    struct ipc_object *fresh = set ? &set->obj : NULL;
    long id = ipc_get(&sem_sets, key, (u64)nr, flags, &fresh, err);
    if (fresh) { /* there is one already */
        ipc_remove(&sem_sets, fresh);
        kfree(set);
    }
    return id;
}

/* The set @id, with the lock held if there is no error. @wanted 0: its owner's right. */
static int lock_set(int id, u32 wanted, struct sem_set **out)
{
    spin_lock(&sem_sets.lock);
    struct sem_set *set = (struct sem_set *)ipc_find_locked(&sem_sets, id);
    int err = !set ? -EINVAL : 0;
    if (!err && wanted)
        err = ipc_permits(&set->obj, wanted) ? 0 : -EACCES;
    else if (!err)
        err = ipc_owns(&set->obj) ? 0 : -EPERM;
    if (err)
        spin_unlock(&sem_sets.lock);
    else
        *out = set;
    return err;
}

/* ---- values ---- */

static long get_one(int id, int num, int cmd)
{
    struct sem_set *set;
    int err = lock_set(id, 04, &set);

    if (err)
        return err;
    long result = -EINVAL;
    if (num >= 0 && (u64)num < set->obj.size) {
        const struct semaphore *sem = &set->sems[num];
        result = cmd == GETVAL   ? sem->value
                 : cmd == GETPID ? sem->pid
                                 : sem_count_waiting(set, (u16)num, cmd == GETZCNT);
    }
    spin_unlock(&sem_sets.lock);
    return result;
}

static long set_one(int id, int num, int value)
{
    struct sem_set *set;

    if (value < 0 || value > VALUE_MAX)
        return -ERANGE;
    int err = lock_set(id, 02, &set);
    if (err)
        return err;
    if (num >= 0 && (u64)num < set->obj.size) {
        set->sems[num] = (struct semaphore){.value = (u16)value, .pid = current_process()->pid};
        sem_forget_undo(set, num);
        set->obj.ctime = ipc_now();
        sem_changed(set);
    } else {
        err = -EINVAL;
    }
    spin_unlock(&sem_sets.lock);
    return err;
}

/* How many semaphores the set has, for the copy of their values; an error: @wanted is not allowed.
 */
static long size_of_set(int id, u32 wanted)
{
    struct sem_set *set;
    int err = lock_set(id, wanted, &set);

    if (err)
        return err;
    long nr = (long)set->obj.size;
    spin_unlock(&sem_sets.lock);
    return nr;
}

static void copy_values(const struct sem_set *set, u16 *values)
{
    for (u64 i = 0; i < set->obj.size; i++)
        values[i] = set->sems[i].value;
}

static void take_values(struct sem_set *set, const u16 *values)
{
    int pid = current_process()->pid;

    for (u64 i = 0; i < set->obj.size; i++)
        set->sems[i] = (struct semaphore){.value = values[i], .pid = pid};
    sem_forget_undo(set, -1);
    set->obj.ctime = ipc_now();
    sem_changed(set);
}

static int get_values(uaddr_t from, u16 *values, u64 nr)
{
    if (copy_from_user(values, from, nr * sizeof(*values)))
        return -EFAULT;
    for (u64 i = 0; i < nr; i++)
        if (values[i] > VALUE_MAX)
            return -ERANGE;
    return 0;
}

/* An id is not used again while this runs, so the set has the size that it had. */
static long all_values(int id, int cmd, uaddr_t array)
{
    u32 wanted = cmd == GETALL ? 04 : 02;
    long nr = size_of_set(id, wanted);
    struct sem_set *set;

    if (nr < 0)
        return nr;
    u16 *values = kmalloc((size_t)nr * sizeof(*values));
    if (!values)
        return -ENOMEM;
    int err = cmd == SETALL ? get_values(array, values, (u64)nr) : 0;
    if (!err)
        err = lock_set(id, wanted, &set);
    if (!err) {
        if (set->obj.size != (u64)nr)
            err = -EIDRM;
        else if (cmd == GETALL)
            copy_values(set, values);
        else
            take_values(set, values);
        spin_unlock(&sem_sets.lock);
    }
    if (!err && cmd == GETALL)
        err = copy_to_user(array, values, (size_t)nr * sizeof(*values));
    kfree(values);
    return err;
}

/* ---- sets ---- */

static long remove_set(int id)
{
    struct sem_set *set;
    int err = lock_set(id, 0, &set);

    if (err)
        return err;
    ipc_remove_locked(&sem_sets, &set->obj);
    sem_drop_undo(set);
    ipc_wake_all_locked(&set->waiting, -EIDRM);
    spin_unlock(&sem_sets.lock);
    kfree(set);
    return 0;
}

static long change_set(int id, uaddr_t buf)
{
    struct linux_semid_ds ds;
    struct sem_set *set;

    if (copy_from_user(&ds, buf, sizeof(ds)))
        return -EFAULT;
    int err = lock_set(id, 0, &set);
    if (err)
        return err;
    ipc_change(&set->obj, &ds.perm);
    spin_unlock(&sem_sets.lock);
    return 0;
}

static void describe(const struct sem_set *set, struct linux_semid_ds *out)
{
    *out = (struct linux_semid_ds){
        .otime = set->otime,
        .ctime = set->obj.ctime,
        .nsems = set->obj.size,
    };
    ipc_describe(&set->obj, &out->perm);
}

/* IPC_STAT of set @id, or of what is in a slot: then its id. */
static long stat_set(int id, int cmd, uaddr_t buf)
{
    struct linux_semid_ds ds;
    long result = 0;

    spin_lock(&sem_sets.lock);
    const struct sem_set *set =
        (struct sem_set *)(cmd == IPC_STAT ? ipc_find_locked(&sem_sets, id)
                                           : ipc_at_locked(&sem_sets, (u32)id));
    if (!set)
        result = -EINVAL;
    else if (cmd != SEM_STAT_ANY && !ipc_permits(&set->obj, 04))
        result = -EACCES;
    else if (cmd != IPC_STAT)
        result = set->obj.id;
    if (result >= 0)
        describe(set, &ds);
    spin_unlock(&sem_sets.lock);
    return result >= 0 && copy_to_user(buf, &ds, sizeof(ds)) ? -EFAULT : result;
}

/* The last two fields: IPC_INFO has limits there, SEM_INFO what there is. */
static long put_info(int cmd, uaddr_t buf)
{
    struct linux_seminfo info = {
        .semmap = SETS_MAX * SET_SIZE_MAX,
        .semmni = SETS_MAX,
        .semmns = SETS_MAX * SET_SIZE_MAX,
        .semmnu = SETS_MAX * SET_SIZE_MAX,
        .semmsl = SET_SIZE_MAX,
        .semopm = STEPS_MAX,
        .semume = STEPS_MAX,
        .semusz = 20,
        .semvmx = VALUE_MAX,
        .semaem = VALUE_MAX,
    };

    spin_lock(&sem_sets.lock);
    u32 last = ipc_last_locked(&sem_sets);
    u64 sems = 0;
    for (u32 i = 0; cmd == SEM_INFO && i <= last; i++) {
        const struct ipc_object *obj = ipc_at_locked(&sem_sets, i);
        sems += obj ? obj->size : 0;
    }
    if (cmd == SEM_INFO) {
        info.semusz = (s32)sem_sets.used;
        info.semaem = (s32)min(sems, (u64)INT32_MAX);
    }
    spin_unlock(&sem_sets.lock);
    return copy_to_user(buf, &info, sizeof(info)) ? -EFAULT : (long)last;
}

long sys_semctl(int id, int num, int cmd, u64 arg)
{
    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
        return get_one(id, num, cmd);
    case SETVAL:
        return set_one(id, num, (int)arg);
    case GETALL:
    case SETALL:
        return all_values(id, cmd, arg);
    case IPC_RMID:
        return remove_set(id);
    case IPC_SET:
        return change_set(id, arg);
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return stat_set(id, cmd, arg);
    case IPC_INFO:
    case SEM_INFO:
        return put_info(cmd, arg);
    default:
        return -EINVAL;
    }
}

void sem_list(struct text *out)
{
    struct linux_semid_ds ds;
    u32 slots = 1;

    for (u32 i = 0; i < slots; i++) {
        spin_lock(&sem_sets.lock);
        slots = sem_sets.nr_slots;
        const struct sem_set *set = (struct sem_set *)ipc_at_locked(&sem_sets, i);
        int id = set ? set->obj.id : 0;
        if (set)
            describe(set, &ds);
        spin_unlock(&sem_sets.lock);
        if (set)
            text_add(out, "%10d %10d  %4o %10lu %5u %5u %5u %5u %10lu %10lu\n", ds.perm.key, id,
                     ds.perm.mode, (unsigned long)ds.nsems, ds.perm.uid, ds.perm.gid, ds.perm.cuid,
                     ds.perm.cgid, (unsigned long)ds.otime, (unsigned long)ds.ctime);
    }
}
