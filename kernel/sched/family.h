/* What processes are to each other: parents and children, process groups, sessions, and the
 * list of all.  One lock for all of it, which is taken seldom: fork, end, wait, job control.
 * wait(2), setpgid(2), setsid(2), credentials(7). */
#pragma once

#include "sched/thread.h"

/** Under it parents, children, groups and sessions stay what they are; signals may be sent. Spins.
 */
void family_lock(void);
void family_unlock(void);

/* ---- birth ---- */

/**
 * A process like the current one: credentials, limits, actions of signals, group, session and
 * program are its own copies; no threads, mm, files or fs yet.  Nobody finds it before
 * process_join().  NULL: no memory.
 */
struct process *process_clone(void);
/**
 * Make it a child of the current process (@sibling: of its parent), which gets @exit_signal when it
 * ends.  The child owns a reference to itself until it is waited for.
 * 0; -EAGAIN: there are as many as may be; -ERESTARTNOINTR: a signal has come in, which a group may
 * have got as a whole.
 */
int process_join(struct process *child, int exit_signal, bool sibling);

/* ---- end ---- */

/** The last thread of the current process is about to go: children, parent, zombie. */
void family_leave(struct process *process);
/** Has a process that goes on made a session of its own, as those do that daemon(3) leaves? */
bool family_has_daemon(void);
/** Tell the parent that the current process was stopped (@sig) or goes on (@sig is SIGCONT). */
void family_report_stop(int sig);

/** Has it ended and been waited for?  Then its number may be another's. */
static inline bool process_is_reaped(const struct process *process)
{
    return list_empty(&process->all_node);
}

/* ---- waiting ---- */

enum wait_which { WAIT_ALL = 0, WAIT_PID = 1, WAIT_PGID = 2 };
enum wait_options {
    WNOHANG = 1,
    WUNTRACED = 2, /* WSTOPPED */
    WEXITED = 4,
    WCONTINUED = 8,
    WNOWAIT = 0x1000000,
};
#define WAIT_NOTHREAD 0x20000000u
#define WAIT_ANY      0x40000000u /* __WALL */
#define WAIT_CLONE    0x80000000u /* __WCLONE: those that do not send SIGCHLD */

struct wait_request {
    enum wait_which which;
    int id; /* pid or pgid */
    u32 options;
};
struct wait_result {
    int pid; /* 0: nothing to tell (WNOHANG) */
    u32 uid;
    int code;   /* CLD_* */
    int status; /* exit code or signal */
    struct cpu_times cpu_times;
    u64 switches, peak_pages;
};
/** 0 and *@out, -ECHILD, or -ERESTARTSYS. */
int family_wait(const struct wait_request *request, struct wait_result *out);
/** The status word of wait4(2) for it. */
int wait_status(const struct wait_result *result);

/** End the process that holds most memory, but the first; one log line names the greatest. For
 * mm_set_killer(). */
enum mm_rescue oom_kill(void);

/* ---- groups and sessions ---- */

/** setpgid(2) of @pid, 0 being the current one. 0, -ESRCH, -EPERM, -EACCES. */
int family_set_group(int pid, int pgid);
/** setsid(2): the new session, or -EPERM. */
int family_new_session(void);
/** May the running process send @info, where it is a program's, to @to?  Source: kill(2). */
bool signal_may_send(const struct process *to, const struct siginfo64 *info);
/** May it look into @p (/proc/PID/exe, pidfd_getfd)?  Source: ptrace(2), PTRACE_MODE_READ. */
bool process_may_inspect(const struct process *p);
/** Send @info to all of a group, or (@pgid -1) to all but the first process and the current one;
 * those that it may not be sent to are left out. @sig 0 asks only. 0, -ESRCH, or -EPERM: to none.
 */
int signal_send_group(int pgid, const struct siginfo64 *info);
/** Is there such a group in session @sid? */
bool family_has_group(int pgid, int sid);
/** True if nobody in the session could continue the current process's group after a stop. */
bool family_group_is_orphaned(void);
