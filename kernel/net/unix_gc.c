/* Sockets that only messages to each other can reach: nobody can close them any more, so this
 * does.  A socket is a candidate if every reference to its file is a message's.  References from
 * candidates' own queues are taken off; who has some left can be reached from outside, and so can
 * what lies in its queue.  The messages of all others give up their files. */
#include "net/unix_priv.h"

struct unix_sock *unix_of_file(struct file *file)
{
    struct socket *sock = unix_files->socket(file);

    return sock && sock->family == AF_UNIX ? unix_of(sock) : NULL;
}

/* Call @fn for each candidate that lies in a queue of @u (or, if it listens, of who waits there).
 * unix_lock held. */
static void for_each_carried(struct unix_sock *u, void (*fn)(struct unix_sock *carried))
{
    struct unix_msg *msg;
    struct unix_sock *embryo;

    spin_lock(&u->lock);
    if (u->state == UNIX_LISTENING) {
        list_for_each(embryo, &u->queue, accept_node)
            for_each_carried(embryo, fn);
    } else {
        list_for_each(msg, &u->queue, node) {
            for (u32 i = 0; msg->scm && i < msg->scm->nr; i++) {
                struct unix_sock *carried = unix_of_file(msg->scm->files[i]);
                if (carried && carried->gc_found)
                    fn(carried);
            }
        }
    }
    spin_unlock(&u->lock);
}

static void take_reference(struct unix_sock *u)
{
    u->gc_refs--;
}

static bool reached_more; /* [T] */

static void mark_reached(struct unix_sock *u)
{
    reached_more |= !u->gc_refs;
    u->gc_refs++;
}

/* Move the files out of the messages that are queued at @u. unix_lock held. */
static void strip_queue(struct unix_sock *u, struct list_head *out)
{
    struct unix_sock *embryo;
    struct unix_msg *msg;

    spin_lock(&u->lock);
    if (u->state == UNIX_LISTENING) {
        list_for_each(embryo, &u->queue, accept_node)
            strip_queue(embryo, out);
    } else {
        list_for_each(msg, &u->queue, node) {
            if (!msg->scm)
                continue;
            list_add_tail(out, &msg->scm->node);
            unix_scm_forget_locked(msg);
        }
    }
    spin_unlock(&u->lock);
}

/* Candidates, less what they hold of each other. Is there one? unix_lock held. */
static bool find_candidates(void)
{
    struct unix_sock *u;
    bool any = false;

    list_for_each(u, &unix_all, all_node) {
        struct file *file = u->sock ? u->sock->file : NULL;
        u->gc_found = u->in_flight && file && unix_files->refs(file) == u->in_flight;
        u->gc_refs = u->in_flight;
        any |= u->gc_found;
    }
    list_for_each(u, &unix_all, all_node)
        if (u->gc_found)
            for_each_carried(u, take_reference);
    return any;
}

/* Whoever can be reached makes reachable what it carries. unix_lock held. */
static void spread(void)
{
    struct unix_sock *u;

    do {
        reached_more = false;
        list_for_each(u, &unix_all, all_node) {
            if (!u->gc_found || !u->gc_refs)
                continue;
            u->gc_found = false; /* no longer one to free; looked at once */
            for_each_carried(u, mark_reached);
        }
    } while (reached_more);
}

void unix_collect(void)
{
    struct list_head files = LIST_INIT(files);
    struct unix_sock *u;

    if (likely(!unix_scm_in_flight()))
        return;
    spin_lock(&unix_lock);
    if (find_candidates()) {
        spread();
        list_for_each(u, &unix_all, all_node)
            if (u->gc_found)
                strip_queue(u, &files);
    }
    spin_unlock(&unix_lock);
    while (!list_empty(&files)) {
        struct unix_scm *scm = list_first(&files, struct unix_scm, node);
        list_remove(&scm->node);
        unix_scm_free(scm);
    }
}
