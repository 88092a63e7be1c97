/* What AF_UNIX sockets pass besides bytes: files (SCM_RIGHTS) and who sent it (SCM_CREDENTIALS). */
#include "net/unix_priv.h"

#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"

enum { COLLECT_AT_LEAST = 1024 };

static u64 files_in_flight; /* [T] */

/* ---- freeing ---- */

static struct list_head doomed = LIST_INIT(doomed); /* under doomed_lock */
static struct spinlock doomed_lock;
static bool freeing; /* under doomed_lock */

static struct unix_scm *next_doomed(void)
{
    struct unix_scm *scm = NULL;

    spin_lock(&doomed_lock);
    freeing = !list_empty(&doomed);
    if (freeing) {
        scm = list_first(&doomed, struct unix_scm, node);
        list_remove(&scm->node);
    }
    spin_unlock(&doomed_lock);
    return scm;
}

void unix_scm_free(struct unix_scm *scm)
{
    if (!scm)
        return;
    spin_lock(&doomed_lock);
    list_add_tail(&doomed, &scm->node);
    bool others = freeing;
    freeing = true;
    spin_unlock(&doomed_lock);
    if (others)
        return; /* somebody, perhaps we ourselves further up, will come to it */
    while ((scm = next_doomed()) != NULL) {
        for (u32 i = 0; i < scm->nr; i++)
            unix_files->put(scm->files[i]);
        kfree(scm);
    }
}

/* ---- files in flight ---- */

static void count_locked(struct unix_scm *scm, int by)
{
    files_in_flight += (u64)(s64)by * scm->nr;
    for (u32 i = 0; i < scm->nr; i++) {
        struct unix_sock *u = unix_of_file(scm->files[i]);
        if (u)
            u->in_flight += (u32)by;
    }
}

void unix_scm_attach_locked(struct unix_msg *msg, struct unix_send *send)
{
    count_locked(send->scm, 1);
    msg->scm = send->scm;
    send->scm = NULL;
}

void unix_scm_forget_locked(struct unix_msg *msg)
{
    count_locked(msg->scm, -1);
    msg->scm = NULL;
}

struct unix_scm *unix_scm_detach(struct unix_msg *msg)
{
    spin_lock(&unix_lock);
    struct unix_scm *scm = msg->scm;
    if (scm)
        unix_scm_forget_locked(msg);
    spin_unlock(&unix_lock);
    return scm;
}

u64 unix_scm_in_flight(void)
{
    return __atomic_load_n(&files_in_flight, __ATOMIC_RELAXED);
}

/* A second set of references to the files that stay in @msg. */
static struct unix_scm *copy_scm(struct unix_msg *msg)
{
    struct unix_scm *copy = NULL;

    if (!msg->scm)
        return NULL;
    copy = kmalloc(sizeof(*copy) + msg->scm->nr * sizeof(copy->files[0]));
    if (!copy)
        return NULL;
    spin_lock(&unix_lock);
    copy->nr = msg->scm->nr;
    for (u32 i = 0; i < copy->nr; i++) {
        copy->files[i] = msg->scm->files[i];
        unix_files->get(copy->files[i]);
    }
    spin_unlock(&unix_lock);
    return copy;
}

/* ---- sending ---- */

/* Make room for @nr more files. */
static int grow(struct unix_scm **scm, u32 nr)
{
    u32 have = *scm ? (*scm)->nr : 0;

    if (have + nr > SCM_MAX_FD)
        return -EINVAL;
    struct unix_scm *longer = krealloc(*scm, sizeof(*longer) + (have + nr) * sizeof(void *));
    if (!longer)
        return -ENOMEM;
    longer->nr = have;
    list_init(&longer->node);
    *scm = longer;
    return 0;
}

/* Who sends sockets in circles need never close one: each time there are twice as many files in
 * flight as were left the last time, those that nobody can reach are looked for. */
static bool has_room_for(u32 nr)
{
    static u64 collect_at = COLLECT_AT_LEAST; /* [A] */

    if (unlikely(unix_scm_in_flight() + nr > __atomic_load_n(&collect_at, __ATOMIC_RELAXED))) {
        unix_collect();
        u64 next = min(max(2 * unix_scm_in_flight(), (u64)COLLECT_AT_LEAST), unix_files->max_files);
        __atomic_store_n(&collect_at, next, __ATOMIC_RELAXED);
    }
    return unix_scm_in_flight() + nr <= unix_files->max_files;
}

static int add_files(struct unix_send *send, const u8 *data, u64 len)
{
    u32 nr = (u32)(len / sizeof(int));
    int fd;

    if (len % sizeof(int) || len / sizeof(int) > SCM_MAX_FD)
        return -EINVAL;
    if (!nr)
        return 0;
    if (!has_room_for(nr))
        return -ETOOMANYREFS;
    int err = grow(&send->scm, nr);
    for (u32 i = 0; i < nr && !err; i++) {
        memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
        struct file *file = unix_files->from_fd(fd);
        if (file)
            send->scm->files[send->scm->nr++] = file;
        else
            err = -EBADF;
    }
    return err;
}

/* The program has the rights of root: it may say it is anybody, but no process that is not there.
 */
static int set_cred(struct unix_send *send, const u8 *data, u64 len)
{
    struct ucred_abi cred;

    if (len != sizeof(cred))
        return -EINVAL;
    memcpy(&cred, data, sizeof(cred));
    if (cred.pid != current_process()->pid) {
        struct process *process = process_find(cred.pid);
        if (!process)
            return -ESRCH;
        process_put(process);
    }
    send->cred = cred;
    return 0;
}

static int take_item(struct unix_send *send, const struct cmsghdr_abi *head, const u8 *data)
{
    u64 len = head->len - sizeof(*head);

    if (head->level != SOL_SOCKET)
        return 0;
    if (head->type == SCM_RIGHTS)
        return add_files(send, data, len);
    return head->type == SCM_CREDENTIALS ? set_cred(send, data, len) : -EINVAL;
}

static __attribute__((noinline)) int take_control(struct sock_msg *msg, struct unix_send *send)
{
    const u8 *at = msg->control;
    u64 left = msg->control_len;
    struct cmsghdr_abi head;
    int err = 0;

    while (left >= sizeof(head) && !err) {
        memcpy(&head, at, sizeof(head));
        if (head.len < sizeof(head) || head.len > left) {
            err = -EINVAL;
            break;
        }
        err = take_item(send, &head, at + sizeof(head));
        u64 step = min(ALIGN_UP(head.len, 8), left);
        at += step;
        left -= step;
    }
    if (err)
        unix_send_end(send);
    return err;
}

int unix_send_begin(struct sock_msg *msg, struct unix_send *out)
{
    out->scm = NULL;
    out->cred = unix_own_cred();
    return likely(!msg->control_len) ? 0 : take_control(msg, out);
}

void unix_send_end(struct unix_send *send)
{
    unix_scm_free(send->scm);
    send->scm = NULL;
}

/* ---- receiving ---- */

/* As many descriptors as there is room for; the other files are let go of. */
static void give_files(struct sock_msg *to, struct unix_scm *scm)
{
    u32 room = to->control ? to->control_len - to->control_done : 0, done = 0;
    int *fds = (int *)(void *)scm->files; /* numbers in the place of pointers that were read */

    room = room < sizeof(struct cmsghdr_abi) ? 0 : room - (u32)sizeof(struct cmsghdr_abi);
    room = min(room / (u32)sizeof(int), scm->nr);
    while (done < room) {
        int fd = unix_files->install(scm->files[done], to->flags & MSG_CMSG_CLOEXEC);
        if (fd < 0)
            break;
        fds[done++] = fd;
    }
    if (done)
        sock_put_control(to, SOL_SOCKET, SCM_RIGHTS, fds, done * (u32)sizeof(int));
    if (done < scm->nr)
        to->out_flags |= MSG_CTRUNC;
    scm->nr -= done; /* the rest are ours still */
    memmove(scm->files, scm->files + done, scm->nr * sizeof(scm->files[0]));
}

void unix_recv_control(struct socket *sock, struct sock_msg *to, struct unix_msg *msg, bool peek)
{
    if (sock->options.passcred)
        sock_put_control(to, SOL_SOCKET, SCM_CREDENTIALS, &msg->cred, sizeof(msg->cred));
    if (!msg->scm)
        return;
    struct unix_scm *scm = peek ? copy_scm(msg) : unix_scm_detach(msg);
    if (!scm)
        return;
    give_files(to, scm);
    unix_scm_free(scm);
}
