/* Threads from creation to end, and the table of tids.
 * A thread's memory (structure, kernel stack, vector area) is kept in a small cache when it ends:
 * programs that make many short threads pay for it once. */
#include "sched/thread.h"

#include "abi/errno.h"
#include "arch/frame.h"
#include "arch/thread.h"
#include "core/panic.h"
#include "core/time.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sched/futex.h"
#include "sched/sched_priv.h"

enum {
    TID_BUCKETS = 256,
    TID_MAX = 32768, /* Linux's pid_max */
    TID_RESERVED = 300,
    CACHE_MAX = 32
};

/* [T] all under .lock, which nests inside nothing and takes nothing. */
static struct {
    struct spinlock lock;
    struct thread *buckets[TID_BUCKETS];
    int last_tid;
    bool wrapped; /* last_tid has */
    u32 alive;
    u64 created;
    struct thread *cache; /* ended threads, by hash_next */
    u32 cached;
} table;

void thread_table_lock(void)
{
    spin_lock(&table.lock);
}

void thread_table_unlock(void)
{
    spin_unlock(&table.lock);
}

void thread_count(u64 *created, u32 *alive)
{
    *created = table.created;
    *alive = table.alive;
}

static struct thread **bucket_of(int tid)
{
    return &table.buckets[(u32)tid % TID_BUCKETS];
}

static struct thread *find_locked(int tid)
{
    struct thread *t = *bucket_of(tid);
    while (t && t->tid != tid)
        t = t->hash_next;
    return t;
}

static int tid_alloc_locked(void)
{
    do {
        if (++table.last_tid >= TID_MAX) {
            table.last_tid = TID_RESERVED;
            table.wrapped = true;
        }
    } while (find_locked(table.last_tid) || process_lookup_locked(table.last_tid));
    return table.last_tid;
}

bool tid_has_wrapped(void)
{
    return __atomic_load_n(&table.wrapped, __ATOMIC_RELAXED);
}

int tid_alloc(void)
{
    spin_lock(&table.lock);
    int tid = tid_alloc_locked();
    spin_unlock(&table.lock);
    return tid;
}

/** Give @t its number, that of its process for the first thread, and make it findable. */
static int table_add(struct thread *t, bool first)
{
    spin_lock(&table.lock);
    if (table.alive >= TID_MAX / 2) {
        spin_unlock(&table.lock);
        return -EAGAIN;
    }
    t->tid = first ? t->process->pid : tid_alloc_locked();
    struct thread **bucket = bucket_of(t->tid);
    t->hash_next = *bucket;
    *bucket = t;
    table.alive++;
    table.created++;
    spin_unlock(&table.lock);
    return 0;
}

static void unlink_locked(struct thread *t)
{
    struct thread **link = bucket_of(t->tid);
    while (*link != t)
        link = &(*link)->hash_next;
    *link = t->hash_next;
}

static void table_remove(struct thread *t)
{
    spin_lock(&table.lock);
    unlink_locked(t);
    table.alive--;
    spin_unlock(&table.lock);
}

void thread_become_leader(void)
{
    struct thread *t = current;
    if (t->tid == t->process->pid)
        return;
    spin_lock(&table.lock);
    unlink_locked(t);
    t->tid = t->process->pid;
    struct thread **bucket = bucket_of(t->tid);
    t->hash_next = *bucket;
    *bucket = t;
    spin_unlock(&table.lock);
}

struct thread *thread_find(int tid)
{
    spin_lock(&table.lock);
    struct thread *t = find_locked(tid);
    if (t)
        __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
    spin_unlock(&table.lock);
    return t;
}

/* ---- memory ---- */

static struct thread *cache_pop(void)
{
    spin_lock(&table.lock);
    struct thread *t = table.cache;
    if (t) {
        table.cache = t->hash_next;
        table.cached--;
    }
    spin_unlock(&table.lock);
    return t;
}

static bool cache_push(struct thread *t)
{
    spin_lock(&table.lock);
    bool keep = table.cached < CACHE_MAX;
    if (keep) {
        t->hash_next = table.cache;
        table.cache = t;
        table.cached++;
    }
    spin_unlock(&table.lock);
    return keep;
}

static void thread_release_memory(struct thread *t)
{
    if (t->kstack)
        kstack_free(t->kstack);
    kfree(t->arch.vector);
    kfree(t);
}

/** Structure, stack and vector area, from the cache or new; everything else is zero, but for the
 * arguments of no call. */
static struct thread *thread_alloc(void)
{
    struct thread *t = cache_pop();
    if (t) {
        void *kstack = t->kstack, *vector = t->arch.vector;
        memset(t, 0, offsetof(struct thread, restart.args));
        t->kstack = kstack;
        t->arch.vector = vector;
    } else {
        t = kzalloc(sizeof(*t));
        if (!t)
            return NULL;
        t->kstack = kstack_alloc();
        t->arch.vector = kmalloc(arch_vector_size());
        if (!t->kstack || !t->arch.vector) {
            thread_release_memory(t);
            return NULL;
        }
    }
    t->kstack_top = (char *)t->kstack + KSTACK_SIZE - KSTACK_KEPT;
    return t;
}

void thread_free(struct thread *t)
{
    if (t->process)
        process_put(t->process);
    if (!t->arch.vector || !cache_push(t)) /* a kernel thread's is not all that a thread needs */
        thread_release_memory(t);
}

void thread_put(struct thread *t)
{
    if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) == 0)
        thread_free(t);
}

/* ---- creation ---- */

static void thread_init(struct thread *t, void (*entry)(void *), void *arg)
{
    t->refs = 1;
    t->start_time_ns = time_ns();
    sigqueue_init(&t->pending);
    list_init(&t->process_node);
    t->altstack.flags = SS_DISABLE;
    sched_thread_init(t);
    arch_thread_init(&t->arch, t->kstack_top, entry, arg);
}

static void enter_program(void *arg)
{
    struct thread *t = arg;
    sched_finish_switch();
    if (t->set_child_tid) /* where it cannot be written nobody wanted to know */
        (void)copy_to_user(t->set_child_tid, &t->tid, sizeof(t->tid));
    arch_enter_program(arch_frame_of(t->kstack_top));
}

/** What a thread takes over from the one that makes it. */
static void inherit(struct thread *t, struct thread *from)
{
    t->blocked = from->blocked;
    sched_inherit(t, from);
    t->affinity = from->affinity;
    memcpy(t->name, from->name, sizeof(t->name));
    arch_vector_copy_current(t->arch.vector);
    t->arch.fs_base = arch_get_fs();
}

int thread_create(struct process *process, const struct trap_frame *frame, struct thread **out)
{
    struct thread *t = thread_alloc();
    if (!t)
        return -ENOMEM;
    thread_init(t, enter_program, t);
    t->process = process;
    t->mm = process->mm;
    *arch_frame_of(t->kstack_top) = *frame;

    bool first = list_empty(&process->threads);
    int err = table_add(t, first);
    if (err) {
        t->process = NULL;
        thread_free(t);
        return err;
    }
    __atomic_fetch_add(&process->refs, 1, __ATOMIC_RELAXED);
    if (!first || current->process != process) /* else it is the first program's first */
        inherit(t, current);
    else
        arch_vector_init(t->arch.vector);

    spin_lock(&process->siglock);
    list_add_tail(&process->threads, &t->process_node);
    process->nr_threads++;
    if (unlikely(process->exiting || process->exec_thread)) /* all others have been told */
        t->work |= WORK_EXIT;
    spin_unlock(&process->siglock);
    *out = t;
    return 0;
}

void thread_start(struct thread *t)
{
    sched_thread_start(t);
}

static void kernel_thread_entry(void *arg)
{
    struct thread *t = arg;
    sched_finish_switch();
    ((void (*)(void *))t->restart.args[0])((void *)t->restart.args[1]);
    thread_exit();
}

struct thread *thread_create_kernel(void (*fn)(void *), void *arg, const char *name)
{
    struct thread *t = thread_alloc();
    if (!t)
        return NULL;
    kfree(t->arch.vector); /* kernel code has no vector state */
    t->arch.vector = NULL;
    thread_init(t, kernel_thread_entry, t);
    t->restart.args[0] = (u64)(uintptr_t)fn;
    t->restart.args[1] = (u64)(uintptr_t)arg;
    str_copy(t->name, name, sizeof(t->name));
    return t;
}

/* ---- end ---- */

/** Take @t off its process. Returns true if it was the last thread. */
static bool leave_process(struct thread *t)
{
    struct process *p = t->process;
    spin_lock(&p->siglock);
    struct cpu_times times = {0};
    if (likely(t == current)) /* else it has never run */
        times = sched_charge_current();
    list_remove(&t->process_node);
    p->ended_cpu_times.user_ns += times.user_ns;
    p->ended_cpu_times.system_ns += times.system_ns;
    p->ended_switches += t->switches;
    if (unlikely(__atomic_load_n(&io_counting, __ATOMIC_RELAXED)))
        io_counts_add(&p->ended_io, &t->io);
    if (unlikely(t->pending.pending))
        sigqueue_flush(&t->pending, &p->nr_queued);
    bool last = --p->nr_threads == 0, exec = p->exec_thread;
    if (last) /* before nobody finds the thread any more */
        memcpy(p->comm, t->name, sizeof(p->comm));
    if (unlikely(p->pending.pending) && !last)
        signal_retarget_locked(p);
    spin_unlock(&p->siglock);
    table_remove(t);
    if (unlikely(exec))
        waitq_wake_all(&p->threads_wait, 0);
    return last;
}

void thread_destroy(struct thread *t)
{
    leave_process(t);
    thread_put(t);
}

void thread_exit_to(struct thread *next)
{
    current->state = THREAD_DEAD; /* first: nobody has to end its slice */
    thread_start(next);
    sched_exit(false);
}

void thread_exit(void)
{
    struct thread *t = current;
    bool charged = false;

    if (t->process) {
        futex_leave_memory(t);
        charged = !leave_process(t);
        if (!charged)
            process_finish(t->process);
        t->mm = NULL;
    }
    sched_exit(charged);
}
