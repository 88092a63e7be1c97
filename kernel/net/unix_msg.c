/* Messages of AF_UNIX: memory, queues, and the waits for room and for messages. */
#include "net/unix_priv.h"

#include "mm/heap.h"
#include "sched/thread.h"

enum { CHUNK_BYTES = 16384 }; /* with its head: a block that the page allocator finds easily */

static int fill_chunk(struct unix_chunk *chunk, struct iov_iter *from, u32 len)
{
    chunk->next = NULL;
    chunk->len = len;
    return likely(iter_read(from, chunk->data, len) == len) ? 0 : -EFAULT;
}

static void free_memory(struct unix_msg *msg)
{
    struct unix_chunk *next;

    for (struct unix_chunk *chunk = msg->more; unlikely(chunk != NULL); chunk = next) {
        next = chunk->next;
        kfree(chunk);
    }
    kfree(msg);
}

/* The rest of a long datagram. */
static int add_chunks(struct unix_msg *msg, struct iov_iter *from, u32 left)
{
    struct unix_chunk **at = &msg->more;

    while (left) {
        u32 n = min(left, (u32)(CHUNK_BYTES - sizeof(struct unix_chunk)));
        struct unix_chunk *chunk = kmalloc(sizeof(*chunk) + n);
        if (!chunk)
            return -ENOBUFS;
        *at = chunk;
        at = &chunk->next;
        int err = fill_chunk(chunk, from, n);
        if (err)
            return err;
        left -= n;
    }
    return 0;
}

int unix_msg_create(struct unix_sock *u, struct iov_iter *from, u32 len, struct unix_msg **out)
{
    u32 n = min(len, (u32)(CHUNK_BYTES - sizeof(struct unix_msg)));
    struct unix_msg *msg = kmalloc(sizeof(*msg) + n);

    if (unlikely(!msg))
        return -ENOBUFS;
    msg->scm = NULL;
    msg->more = NULL;
    msg->len = len;
    msg->used = 0;
    int err = fill_chunk(&msg->first, from, n);
    if (unlikely(!err && len > n))
        err = add_chunks(msg, from, len - n);
    if (unlikely(err)) {
        free_memory(msg);
        return err;
    }
    unix_get(u);
    msg->from = u;
    msg->charge = (u32)sizeof(*msg) + len;
    __atomic_fetch_add(&u->charged, msg->charge, __ATOMIC_RELAXED);
    *out = msg;
    return 0;
}

/* Poll tells of room while no more than a quarter of the buffer is in use, as on Linux. */
static void tell_sender(struct unix_sock *from, u32 charge)
{
    u32 before = __atomic_fetch_sub(&from->charged, charge, __ATOMIC_SEQ_CST);

    spin_lock(&from->lock);
    if (from->sock) {
        u32 quarter = unix_send_limit(from->sock) / 4;
        if (before > quarter && before - charge <= quarter)
            waitq_wake_all(&from->sock->waitq, POLLOUT | POLLWRNORM | POLLWRBAND);
    }
    spin_unlock(&from->lock);
}

void unix_msg_free(struct unix_msg *msg)
{
    if (unlikely(msg->scm != NULL))
        unix_scm_free(unix_scm_detach(msg));
    tell_sender(msg->from, msg->charge);
    unix_put(msg->from);
    free_memory(msg);
}

size_t unix_msg_copy_out(const struct unix_msg *msg, u32 at, size_t n, struct iov_iter *to)
{
    const struct unix_chunk *chunk = &msg->first;
    size_t done = 0;

    if (likely(at + n <= chunk->len))
        return iter_write(to, chunk->data + at, n);
    while (done < n && chunk) {
        if (at < chunk->len) {
            size_t piece = min((size_t)(chunk->len - at), n - done);
            size_t got = iter_write(to, chunk->data + at, piece);
            done += got;
            if (got < piece)
                break;
            at = 0;
        } else {
            at -= chunk->len;
        }
        chunk = chunk == &msg->first ? msg->more : chunk->next;
    }
    return done;
}

static bool has_room(struct socket *sock, const struct unix_sock *u)
{
    return __atomic_load_n(&u->charged, __ATOMIC_SEQ_CST) < unix_send_limit(sock);
}

static bool send_ends(struct socket *sock, const struct unix_sock *u)
{
    return __atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_SEND ||
           __atomic_load_n(&sock->error, __ATOMIC_RELAXED);
}

int unix_wait_room(struct socket *sock, u32 flags)
{
    struct unix_sock *u = unix_of(sock);
    u64 timeout_ns = sock->options.send_timeout_ns;

    int err = sock_take_error(sock);
    if (unlikely(err))
        return err;
    if (unlikely(__atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_SEND))
        return -EPIPE;
    if (likely(has_room(sock, u)))
        return 0;
    if (flags & MSG_DONTWAIT)
        return -EAGAIN;
    err = wait_event(&sock->waitq, has_room(sock, u) || send_ends(sock, u), true,
                     sock_deadline(timeout_ns));
    if (err)
        return sock_wait_error(err, timeout_ns);
    err = sock_take_error(sock);
    if (err)
        return err;
    return u->shutdown & UNIX_NO_SEND ? -EPIPE : 0;
}

static bool recv_ends(struct socket *sock, struct unix_sock *u)
{
    return __atomic_load_n(&u->nr_queued, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_RECV ||
           __atomic_load_n(&sock->error, __ATOMIC_RELAXED);
}

int unix_wait_message(struct socket *sock, u32 flags)
{
    struct unix_sock *u = unix_of(sock);
    u64 timeout_ns = sock->options.recv_timeout_ns;

    if (flags & MSG_DONTWAIT)
        return -EAGAIN;
    int err = wait_event(&sock->waitq, recv_ends(sock, u), true, sock_deadline(timeout_ns));
    return err ? sock_wait_error(err, timeout_ns) : 0;
}

void unix_enqueue_locked(struct unix_sock *to, struct unix_msg *msg)
{
    list_add_tail(&to->queue, &msg->node);
    __atomic_store_n(&to->nr_queued, to->nr_queued + 1, __ATOMIC_RELEASE);
    to->queued_bytes += msg->len;
    unix_wake_locked(to, POLLIN | POLLRDNORM);
}

struct unix_msg *unix_first(struct unix_sock *u)
{
    struct unix_msg *msg = NULL;

    if (!__atomic_load_n(&u->nr_queued, __ATOMIC_ACQUIRE))
        return NULL;
    spin_lock(&u->lock);
    if (likely(!list_empty(&u->queue)))
        msg = list_first(&u->queue, struct unix_msg, node);
    spin_unlock(&u->lock);
    return msg;
}

void unix_dequeue(struct unix_sock *u, struct unix_msg *msg)
{
    spin_lock(&u->lock);
    list_remove(&msg->node);
    __atomic_store_n(&u->nr_queued, u->nr_queued - 1, __ATOMIC_RELEASE);
    u->queued_bytes -= msg->len - msg->used;
    spin_unlock(&u->lock);
}
