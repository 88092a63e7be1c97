/* Whose terminal a terminal is: sessions, the foreground group, and what becomes of those in the
 * background.  POSIX 11.1.3 and 11.1.4, ioctl_tty(2). */
#include "abi/errno.h"
#include "drv/tty.h"
#include "sched/family.h"

static struct list_head controlling = LIST_INIT(controlling); /* terminals with a session */
static struct spinlock controlling_lock;                      /* a leaf */

static struct tty *find_locked(int sid)
{
    struct tty *tty;

    list_for_each(tty, &controlling, session_node)
        if (tty->sid == sid)
            return tty;
    return NULL;
}

struct tty *tty_of_session(int sid)
{
    spin_lock(&controlling_lock);
    struct tty *found = find_locked(sid);
    spin_unlock(&controlling_lock);
    return found;
}

static void set_locked(struct tty *tty, int sid, int pgid)
{
    if (!tty->sid && sid)
        list_add_tail(&controlling, &tty->session_node);
    if (tty->sid && !sid)
        list_remove(&tty->session_node);
    __atomic_store_n(&tty->sid, sid, __ATOMIC_RELAXED);
    __atomic_store_n(&tty->pgid, pgid, __ATOMIC_RELAXED);
}

static bool leads_session(const struct process *p)
{
    return p->sid == p->pid;
}

/* A session leader without a terminal takes one that is free; root may steal it (@force). */
static int take(struct tty *tty, bool force)
{
    const struct process *p = current_process();
    int err = 0;

    spin_lock(&controlling_lock);
    if (tty->sid != p->sid) {
        err = !leads_session(p) || find_locked(p->sid) || (tty->sid && !force) ? -EPERM : 0;
        if (!err)
            set_locked(tty, p->sid, p->pgid);
    }
    spin_unlock(&controlling_lock);
    return err;
}

void tty_take_session(struct tty *tty)
{
    spin_lock(&controlling_lock);
    set_locked(tty, current_process()->sid, current_process()->pgid);
    spin_unlock(&controlling_lock);
}

void tty_leave_session(struct tty *tty)
{
    spin_lock(&controlling_lock);
    set_locked(tty, 0, 0);
    spin_unlock(&controlling_lock);
}

void tty_adopt_session(struct tty *tty)
{
    const struct process *p = current_process();

    /* Not the first process, which did not ask to lead a session: it would be hung up on. */
    if (p && p->parent)
        (void)take(tty, false); /* most are not to have it */
}

void tty_session_ended(int sid)
{
    struct siginfo64 hang_up = {.si_signo = SIGHUP, .si_code = SI_KERNEL};
    struct siginfo64 go_on = {.si_signo = SIGCONT, .si_code = SI_KERNEL};

    spin_lock(&controlling_lock);
    struct tty *tty = find_locked(sid);
    int pgid = tty ? tty->pgid : 0;
    if (tty)
        set_locked(tty, 0, 0);
    spin_unlock(&controlling_lock);
    if (pgid <= 0)
        return;
    (void)signal_send_group(pgid, &hang_up);
    (void)signal_send_group(pgid, &go_on);
}

static bool would_ignore(int sig)
{
    struct process *p = current_process();

    return current->blocked & sigmask(sig) || p->actions[sig - 1].handler == SIG_IGN;
}

int tty_check_background(struct tty *tty, int sig)
{
    const struct process *p = current_process();
    int pgid = __atomic_load_n(&tty->pgid, __ATOMIC_RELAXED);

    if (likely(tty->sid != p->sid || pgid == p->pgid || !pgid))
        return 0;
    if (would_ignore(sig))
        return sig == SIGTTIN ? -EIO : 0;
    if (family_group_is_orphaned())
        return -EIO;
    struct siginfo64 info = {.si_signo = sig, .si_code = SI_KERNEL};
    (void)signal_send_group(p->pgid, &info);
    return -ERESTARTSYS;
}

static int put_int(uaddr_t arg, int value)
{
    return copy_to_user(arg, &value, sizeof(value));
}

static int give_up(struct tty *tty)
{
    const struct process *p = current_process();

    if (tty->sid != p->sid)
        return -ENOTTY;
    if (leads_session(p))
        tty_session_ended(p->sid);
    return 0;
}

static int set_group(struct tty *tty, uaddr_t arg)
{
    int pgid, sid = current_process()->sid;

    if (copy_from_user(&pgid, arg, sizeof(pgid)))
        return -EFAULT;
    if (tty->sid != sid)
        return -ENOTTY;
    if (pgid <= 0)
        return -EINVAL;
    if (!family_has_group(pgid, sid))
        return -EPERM;
    __atomic_store_n(&tty->pgid, pgid, __ATOMIC_RELAXED);
    return 0;
}

int tty_session_ioctl(struct tty *tty, unsigned cmd, uaddr_t arg)
{
    switch (cmd) {
    case TIOCSCTTY:
        return take(tty, arg == 1);
    case TIOCNOTTY:
        return give_up(tty);
    case TIOCGPGRP:
        return tty->sid == current_process()->sid ? put_int(arg, tty->pgid) : -ENOTTY;
    case TIOCSPGRP:
        return set_group(tty, arg);
    case TIOCGSID:
        return tty->sid == current_process()->sid ? put_int(arg, tty->sid) : -ENOTTY;
    default:
        return -ENOTTY;
    }
}
