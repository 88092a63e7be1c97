/* Keys, ids and rights of System V objects, and waiting for them. */
#include "sys/ipc.h"

#include "abi/errno.h"
#include "fs/proc.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/sys_priv.h"

enum { SLOT_BITS = 15, SLOTS_FIRST = 16, SERIALS = 1 << (31 - SLOT_BITS) };

s64 ipc_now(void)
{
    return (s64)(time_real_ns() / NSEC_PER_SEC);
}

/* ---- slots ---- */

/* Twice as many slots. 0, -ENOSPC, -ENOMEM. */
static int grow(struct ipc_table *table, u32 from)
{
    u32 wanted = min(max(from * 2, (u32)SLOTS_FIRST), table->most);

    if (wanted <= from)
        return -ENOSPC;
    struct ipc_object **slots = kcalloc(wanted, sizeof(struct ipc_object *)), **old = slots;
    if (!slots)
        return -ENOMEM;
    spin_lock(&table->lock);
    if (table->nr_slots == from) {
        if (from)
            memcpy(slots, table->slots, from * sizeof(struct ipc_object *));
        old = table->slots;
        table->slots = slots;
        table->nr_slots = wanted;
    }
    spin_unlock(&table->lock);
    kfree(old);
    return 0;
}

static void enter_locked(struct ipc_table *table, struct ipc_object *obj)
{
    u32 slot = 0;

    while (table->slots[slot])
        slot++;
    table->slots[slot] = obj;
    table->used++;
    table->serial = (table->serial + 1) % SERIALS;
    obj->id = (int)(table->serial << SLOT_BITS | slot);
}

int ipc_prepare(struct ipc_table *table, struct ipc_object *obj, s32 key, u64 size, u32 flags)
{
    const struct creds *c = current_creds();

    proc_set_sysvipc(shm_list, sem_list, msg_list);
    obj->key = key;
    obj->size = size;
    obj->mode = flags & 0777;
    obj->uid = obj->cuid = c->euid;
    obj->gid = obj->cgid = c->egid;
    obj->ctime = ipc_now();
    for (;;) {
        spin_lock(&table->lock);
        u32 slots = table->nr_slots;
        bool room = table->used < slots;
        if (room)
            enter_locked(table, obj);
        spin_unlock(&table->lock);
        int err = room ? 0 : grow(table, slots);
        if (room || err)
            return err;
    }
}

void ipc_remove_locked(struct ipc_table *table, struct ipc_object *obj)
{
    table->slots[obj->id & ((1 << SLOT_BITS) - 1)] = NULL;
    table->used--;
}

void ipc_remove(struct ipc_table *table, struct ipc_object *obj)
{
    spin_lock(&table->lock);
    ipc_remove_locked(table, obj);
    spin_unlock(&table->lock);
}

struct ipc_object *ipc_at_locked(const struct ipc_table *table, u32 index)
{
    struct ipc_object *obj = index < table->nr_slots ? table->slots[index] : NULL;

    return obj && obj->live ? obj : NULL;
}

struct ipc_object *ipc_find_locked(const struct ipc_table *table, int id)
{
    struct ipc_object *obj = ipc_at_locked(table, (u32)id & ((1 << SLOT_BITS) - 1));

    return obj && obj->id == id ? obj : NULL;
}

u32 ipc_last_locked(const struct ipc_table *table)
{
    u32 last = table->nr_slots;

    while (last > 0 && !ipc_at_locked(table, last - 1))
        last--;
    return last ? last - 1 : 0;
}

/* ---- keys ---- */

static struct ipc_object *find_key_locked(const struct ipc_table *table, s32 key)
{
    for (u32 i = 0; i < table->nr_slots && key != IPC_PRIVATE; i++) {
        struct ipc_object *obj = ipc_at_locked(table, i);
        if (obj && obj->key == key)
            return obj;
    }
    return NULL;
}

static long use_existing(const struct ipc_object *obj, u64 size, u32 flags)
{
    if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
        return -EEXIST;
    if (!ipc_permits(obj, (flags >> 6 | flags >> 3 | flags) & 07))
        return -EACCES;
    return size > obj->size ? -EINVAL : obj->id;
}

long ipc_get(struct ipc_table *table, s32 key, u64 size, u32 flags, struct ipc_object **fresh,
             int why)
{
    long id = why;

    spin_lock(&table->lock);
    const struct ipc_object *obj = find_key_locked(table, key);
    if (obj) {
        id = use_existing(obj, size, flags);
    } else if (*fresh) {
        id = (*fresh)->id;
        (*fresh)->live = true;
        *fresh = NULL;
    }
    spin_unlock(&table->lock);
    return id;
}

/* ---- rights ---- */

bool ipc_permits(const struct ipc_object *obj, u32 wanted)
{
    const struct creds *c = current_creds();
    u32 granted = obj->mode;

    if (c->euid == obj->uid || c->euid == obj->cuid)
        granted >>= 6;
    else if (creds_in_group(c, obj->gid) || creds_in_group(c, obj->cgid))
        granted >>= 3;
    return !(wanted & ~granted & 07) || capable(CAP_IPC_OWNER);
}

bool ipc_owns(const struct ipc_object *obj)
{
    u32 euid = current_creds()->euid;

    return euid == obj->uid || euid == obj->cuid || capable(CAP_SYS_ADMIN);
}

void ipc_describe(const struct ipc_object *obj, struct linux_ipc_perm *out)
{
    *out = (struct linux_ipc_perm){
        .key = obj->key,
        .uid = obj->uid,
        .gid = obj->gid,
        .cuid = obj->cuid,
        .cgid = obj->cgid,
        .mode = obj->mode,
        .seq = (u16)(obj->id >> SLOT_BITS),
    };
}

void ipc_change(struct ipc_object *obj, const struct linux_ipc_perm *perm)
{
    obj->uid = perm->uid;
    obj->gid = perm->gid;
    obj->mode = perm->mode & 0777;
    obj->ctime = ipc_now();
}

/* ---- waiting ---- */

void ipc_wait_begin(struct ipc_wait *wait, struct list_head *queue)
{
    wait->thread = current;
    wait->result = IPC_WAITING;
    list_add_tail(queue, &wait->node);
}

/* Who waits looks at the result under the lock before its stack goes away. */
void ipc_wake_locked(struct ipc_wait *wait, int result)
{
    list_remove(&wait->node);
    __atomic_store_n(&wait->result, result, __ATOMIC_RELEASE);
    thread_wake(wait->thread);
}

void ipc_wake_all_locked(struct list_head *queue, int result)
{
    while (!list_empty(queue))
        ipc_wake_locked(list_first(queue, struct ipc_wait, node), result);
}

int ipc_wait_end(struct ipc_table *table, struct ipc_wait *wait, u64 deadline_ns)
{
    int err = 0;

    while (!err) {
        thread_prepare_sleep(true);
        if (__atomic_load_n(&wait->result, __ATOMIC_ACQUIRE) != IPC_WAITING)
            break;
        err = thread_sleep_until(deadline_ns);
    }
    thread_finish_sleep();
    spin_lock(&table->lock);
    if (wait->result == IPC_WAITING) {
        list_remove(&wait->node);
        wait->result = err == -ETIMEDOUT ? -EAGAIN : err;
    }
    spin_unlock(&table->lock);
    return wait->result;
}
