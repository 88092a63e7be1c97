/* Terminals: the line discipline (drv/tty_line.h) as a file, on a console port or a pty. */
#pragma once

#include "core/timer.h"
#include "drv/tty_line.h"
#include "vfs/file.h"

struct tty;
struct console_port;

/** What is on the terminal's side of the discipline. */
struct tty_ops {
    /** Take bytes for the terminal: how many, 0 for no room now, -EIO where it is gone.
     * Does not sleep. */
    ssize_t (*write)(struct tty *tty, const u8 *buf, size_t n);
    /** Bytes that write would take now, as far as one can know. Does not sleep. */
    size_t (*room)(struct tty *tty);
    /** Wait until what was taken is out. NULL: nothing to wait for. May sleep. */
    void (*drain)(struct tty *tty);
    /** The reader made room: more may be passed to tty_input(). NULL: nobody waits. */
    void (*want_input)(struct tty *tty);
    /** A file on it was closed for the last time. NULL: nothing. */
    void (*release)(struct tty *tty);
};

/* Fields: [I] fixed at start, [A] atomic, [L] under .lock. */
struct tty {
    struct tty_line line;          /* [L] */
    struct spinlock lock;          /* before a process's signal lock and a wait queue's */
    struct mutex write_lock;       /* one writer's chunk at a time; before .lock */
    struct waitq waitq;            /* POLLIN, POLLOUT, POLLHUP */
    const struct tty_ops *ops;     /* [I] */
    void *data;                    /* [I] the owner's */
    struct winsize_abi size;       /* [L] */
    int pgid, sid;                 /* [A] foreground process group, session; 0: none */
    struct list_head session_node; /* under tty_job.c's lock; in the list while .sid is not 0 */
    u32 opens;                     /* [A] files on it */
    bool hung_up;                  /* [A] */
};

extern const struct file_ops tty_file_ops;

/** A terminal without a process group. @ops and @data are the owner's. */
void tty_init(struct tty *tty, const struct tty_ops *ops, void *data);
/** Settings, input and size as at first, for a new user; no file is open on it. */
void tty_reset(struct tty *tty);
/** Bytes arrived from the terminal. Does not sleep. */
void tty_input(struct tty *tty, const u8 *buf, size_t n);
/** How many bytes tty_input() would keep. */
size_t tty_input_room(struct tty *tty);
/** The terminal's side is gone: SIGHUP, and end of file for readers. */
void tty_hang_up(struct tty *tty);
/** Its window is that large now: SIGWINCH where that is new, or @tell.  Does not sleep. */
void tty_set_size(struct tty *tty, const struct winsize_abi *size, bool tell);
/** Room for output has come up. Does not sleep. */
void tty_output_room(struct tty *tty);
/** Make @file one on @tty. */
void tty_open_file(struct tty *tty, struct file *file);
/* tty_job.c: sessions and job control. */

/** Make @tty the controlling terminal of the current session, its group the foreground one. */
void tty_take_session(struct tty *tty);
/** The same for a session leader that has none and opens one that is free. */
void tty_adopt_session(struct tty *tty);
/** It is no longer anybody's. */
void tty_leave_session(struct tty *tty);
/** The controlling terminal of session @sid, or NULL. */
struct tty *tty_of_session(int sid);
/** The leader of session @sid has ended: hang up. May sleep. */
void tty_session_ended(int sid);
/**
 * The current process is about to read (SIGTTIN), or to write or change (SIGTTOU) its terminal.
 * 0: it may. -ERESTARTSYS: it is in the background, and its group was sent @sig. -EIO: likewise,
 * and it cannot be stopped.
 */
int tty_check_background(struct tty *tty, int sig);
/** TIOCSCTTY and its kin; -ENOTTY for other commands. */
int tty_session_ioctl(struct tty *tty, unsigned cmd, uaddr_t arg);
/** ioctl of a terminal, for its pty master too. */
int tty_ioctl(struct tty *tty, struct file *file, unsigned cmd, uaddr_t arg);

/** A terminal on a console port, made at the first call for that port; NULL: no memory. */
struct tty *tty_of_port(struct console_port *port);
