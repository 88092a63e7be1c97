/* Out of memory: the process that holds most ends, but the first, without which there is no VM.
 * What programs write to oom_score_adj counts as Linux counts it: so many thousandths of all memory
 * more or less; who is at the very bottom is not chosen. */
#include "core/log.h"
#include "core/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/family.h"
#include "sched/sched_priv.h"

enum {
    NAMED = 3,
    OOM_ADJ_MAX = 1000,
    PAUSE_NS = 2000000,
    PATIENCE_NS = 2000000000, /* who takes longer to end may wait for memory itself */
};

/* The greatest users, the first the greatest. */
struct users {
    struct process *process[NAMED]; /* with references */
    u64 pages[NAMED];
    int dying; /* somebody's pid who is at its end already: memory will come; 0: nobody */
};

static void insert(struct users *u, struct process *p, u64 pages)
{
    for (int i = 0; i < NAMED; i++) {
        if (u->process[i] && u->pages[i] >= pages)
            continue;
        struct process *out = u->process[i];
        u64 out_pages = u->pages[i];
        u->process[i] = p;
        u->pages[i] = pages;
        p = out;
        pages = out_pages;
        if (!p)
            return;
    }
    process_put(p);
}

static bool is_dying(const struct process *p)
{
    return p->exiting || p->pending.pending & sigmask(SIGKILL);
}

static void find_users(struct users *u)
{
    int pid = 0;

    for (struct process *p = process_next(0); p; p = process_next(pid)) {
        pid = p->pid;
        struct mm *mm = process_mm(p);
        if (mm && p->parent && is_dying(p))
            u->dying = pid;
        if (mm)
            insert(u, p, mm_resident_pages(mm));
        else
            process_put(p);
        if (mm)
            mm_put(mm);
    }
}

static void name_users(const struct users *u, char *text, size_t size)
{
    size_t used = 0;

    *text = 0;
    for (int i = 0; i < NAMED && u->process[i] && used < size; i++) {
        struct program *program = process_program(u->process[i]);
        const char *exe = program && program->exe ? program->exe : "?";
        const char *slash = strrchr(exe, '/');
        used += (size_t)format(text + used, size - used, "%s%s[%d] %llu KiB", i ? ", " : "",
                               slash ? slash + 1 : exe, u->process[i]->pid,
                               (unsigned long long)u->pages[i] * 4);
        if (program)
            program_put(program);
    }
}

/** The one with the most points that may go, with a reference, or NULL. */
static struct process *choose(void)
{
    struct process *best = NULL;
    s64 most = INT64_MIN;
    int pid = 0;

    for (struct process *p = process_next(0); p; p = process_next(pid)) {
        pid = p->pid;
        struct mm *mm = process_mm(p);
        int adj = __atomic_load_n(&p->oom_adj, __ATOMIC_RELAXED);
        s64 points = mm ? (s64)mm_resident_pages(mm) + (s64)page_total() / OOM_ADJ_MAX * adj : 0;
        bool better = mm && p->parent && !is_dying(p) && adj > -OOM_ADJ_MAX && points > most;
        struct process *drop = better ? best : p;
        if (mm)
            mm_put(mm);
        best = better ? p : best;
        most = better ? points : most;
        if (drop)
            process_put(drop);
    }
    return best;
}

static void pause_a_little(void)
{
    thread_prepare_sleep(false);
    (void)thread_sleep_until(time_after_ns(PAUSE_NS));
    thread_finish_sleep();
}

static void kill_process(struct process *victim, const struct users *users)
{
    struct siginfo64 info = {.si_signo = SIGKILL, .si_code = SI_KERNEL};
    char text[160];

    name_users(users, text, sizeof(text));
    log_err("out of memory (%llu KiB in all): process %d is killed; most is held by %s",
            (unsigned long long)boot_info.ram_bytes >> 10, victim->pid, text);
    (void)signal_send_process(victim, &info); /* no queued signal: cannot fail */
}

/** Has @pid been at its end for long?  One caller at a time. */
static bool takes_long(int pid)
{
    static int seen;
    static u64 since_ns;
    u64 now = time_ns();

    if (pid != seen) {
        seen = pid;
        since_ns = now;
    }
    return now - since_ns > PATIENCE_NS;
}

/** Whether there is hope: somebody ends, or is made to. */
static bool choose_and_kill(void)
{
    struct users users = {0};

    find_users(&users);
    bool wait = users.dying && !takes_long(users.dying);
    struct process *victim = wait ? NULL : choose();
    if (victim) {
        kill_process(victim, &users);
        process_put(victim);
    }
    for (int i = 0; i < NAMED; i++)
        if (users.process[i])
            process_put(users.process[i]);
    return users.dying || victim;
}

enum mm_rescue oom_kill(void)
{
    static bool busy; /* [A] somebody chooses: several at once would kill several, or one again */
    bool hope = true;

    if (!__atomic_exchange_n(&busy, true, __ATOMIC_ACQUIRE)) {
        hope = choose_and_kill();
        __atomic_store_n(&busy, false, __ATOMIC_RELEASE);
    }
    if (signal_pending_set(current) & sigmask(SIGKILL) || current->work & WORK_EXIT)
        return MM_GIVE_UP;
    if (!hope)
        return MM_HOPELESS;
    pause_a_little();
    return MM_TRY_AGAIN;
}
