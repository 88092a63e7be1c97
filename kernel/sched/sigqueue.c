/* Queues of pending signals: at most one of each classic signal, any number of each real-time one.
 * The owner locks. */
#include "sched/signal.h"

#include "abi/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"

/* Signals that a thread brings upon itself: taken before all others, so that the frame of the
 * handler is that of the fault. */
#define SIGNALS_SYNCHRONOUS                                                                        \
    (sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGFPE) |   \
     sigmask(SIGSYS))

struct sigqueue_entry {
    struct list_head node;
    struct siginfo64 info;
};

void sigqueue_init(struct sigqueue *queue)
{
    queue->pending = 0;
    list_init(&queue->entries);
}

static void entry_free(struct sigqueue_entry *entry, u32 *counter)
{
    list_remove(&entry->node);
    kfree(entry);
    __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
}

void sigqueue_flush(struct sigqueue *queue, u32 *counter)
{
    struct sigqueue_entry *entry, *next;
    list_for_each_safe(entry, next, &queue->entries, node) entry_free(entry, counter);
    queue->pending = 0;
}

void sigqueue_remove(struct sigqueue *queue, sigset64_t set, u32 *counter)
{
    struct sigqueue_entry *entry, *next;
    if (!(queue->pending & set))
        return;
    list_for_each_safe(entry, next, &queue->entries, node) if (sigmask(entry->info.si_signo) & set)
        entry_free(entry, counter);
    queue->pending &= ~set;
}

/** Kernel and kill(2) may lose their information, sigqueue(2) and timers must not. */
static bool may_lose_info(const struct siginfo64 *info)
{
    return info->si_signo < SIGRTMIN || info->si_code == SI_USER || info->si_code == SI_KERNEL;
}

int sigqueue_add(struct sigqueue *queue, const struct siginfo64 *info, u32 *counter, u64 limit)
{
    sigset64_t mask = sigmask(info->si_signo);
    if (info->si_signo < SIGRTMIN && queue->pending & mask)
        return 0;

    struct sigqueue_entry *entry = NULL;
    if (__atomic_load_n(counter, __ATOMIC_RELAXED) < limit)
        entry = kmalloc(sizeof(*entry));
    if (!entry && !may_lose_info(info))
        return -EAGAIN;
    if (entry) {
        entry->info = *info;
        list_add_tail(&queue->entries, &entry->node);
        __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    }
    queue->pending |= mask;
    return 0;
}

/** Move the oldest entry of @sig to *@info. True if another of the same signal stays. */
static bool take_entry(struct sigqueue *queue, int sig, struct siginfo64 *info, u32 *counter)
{
    struct sigqueue_entry *entry, *next, *oldest = NULL;
    bool more = false;
    list_for_each_safe(entry, next, &queue->entries, node)
    {
        if (entry->info.si_signo != sig)
            continue;
        if (oldest) {
            more = true;
            break;
        }
        oldest = entry;
    }
    if (!oldest) { /* it was queued without */
        *info = (struct siginfo64){.si_signo = sig, .si_code = SI_USER};
        return false;
    }
    *info = oldest->info;
    entry_free(oldest, counter);
    return more;
}

int sigqueue_take(struct sigqueue *queue, sigset64_t set, struct siginfo64 *info, u32 *counter)
{
    sigset64_t ready = queue->pending & set;
    if (!ready)
        return 0;
    if (ready & SIGNALS_SYNCHRONOUS)
        ready &= SIGNALS_SYNCHRONOUS;
    int sig = __builtin_ctzll(ready) + 1;
    if (!take_entry(queue, sig, info, counter))
        queue->pending &= ~sigmask(sig);
    return sig;
}

const char *signal_name(int sig, char *buf, size_t size)
{
    static const char *const names[SIGRTMIN] = {
        "0",         "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
        "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
        "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
        "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};
    if (sig >= 0 && sig < SIGRTMIN)
        str_copy(buf, names[sig], size);
    else if (sig >= SIGRTMIN && sig <= SIGRTMAX)
        format(buf, size, "SIGRT_%d", sig - SIGRTMIN);
    else
        format(buf, size, "%d", sig);
    return buf;
}
