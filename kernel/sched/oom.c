/* Out of memory: the process that holds most ends, but the first, without which there is no VM. */
#include "core/log.h"
#include "core/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/family.h"
#include "sched/sched_priv.h"

enum { NAMED = 3, PAUSE_NS = 2000000 };

/* The greatest users, the first the greatest. */
struct users {
    struct process *process[NAMED]; /* with references */
    u64 pages[NAMED];
    bool dying; /* somebody is at its end already: memory will come */
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

static void find_users(struct users *u)
{
    int pid = 0;

    for (struct process *p = process_next(0); p; p = process_next(pid)) {
        pid = p->pid;
        struct mm *mm = process_mm(p);
        if (mm && p->parent && (p->exiting || p->pending.pending & sigmask(SIGKILL)))
            u->dying = true;
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

/** The greatest that may go. */
static struct process *choose(const struct users *u)
{
    for (int i = 0; i < NAMED; i++)
        if (u->process[i] && u->process[i]->parent)
            return u->process[i];
    return NULL;
}

static void pause_a_little(void)
{
    thread_prepare_sleep(false);
    (void)thread_sleep_until(time_after_ns(PAUSE_NS));
    thread_finish_sleep();
}

enum mm_rescue oom_kill(void)
{
    struct users users = {0};
    char text[160];

    find_users(&users);
    struct process *victim = users.dying ? NULL : choose(&users);
    if (victim) {
        name_users(&users, text, sizeof(text));
        log_err("out of memory (%llu KiB in all): process %d is killed; most is held by %s",
                (unsigned long long)boot_info.ram_bytes >> 10, victim->pid, text);
        struct siginfo64 info = {.si_signo = SIGKILL, .si_code = SI_KERNEL};
        (void)signal_send_process(victim, &info); /* no queued signal: cannot fail */
    }
    bool hope = users.dying || victim;
    for (int i = 0; i < NAMED; i++)
        if (users.process[i])
            process_put(users.process[i]);
    if (signal_pending_set(current) & sigmask(SIGKILL) || current->work & WORK_EXIT)
        return MM_GIVE_UP;
    if (!hope)
        return MM_HOPELESS;
    pause_a_little();
    return MM_TRY_AGAIN;
}
