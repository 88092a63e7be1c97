/* The program's standard streams where the ground has them ready: no device, no queue, one call to
 * the ground moves the bytes.  Who waits is woken from idle, and while the program computes by a
 * timer, which slows down while nothing comes. */
#include "drv/host_stream.h"

#include "abi/errno.h"
#include "core/time.h"
#include "core/timer.h"
#include "drv/console_port.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "vfs/file.h"

enum { NR_STREAMS = 4, OPERATOR_STREAM = 3 };

/* Fields: [I], [A]. */
struct host_stream {
    struct console_port port;
    u32 in, out; /* [I] streams of the ground; NO_STREAM where there is none */
    bool ended;  /* [A] the input has no more */
    bool broken; /* [A] nobody takes the output */
    bool full;   /* [A] somebody saw no room for output, and may wait for some */
};

enum { NO_STREAM = 9 };

static struct host_stream streams[NR_STREAMS];
static u32 nr_streams;

static struct host_stream *of_port(struct console_port *port)
{
    return container_of(port, struct host_stream, port);
}

static u32 host_ready(struct console_port *port)
{
    struct host_stream *s = of_port(port);
    u32 ready = 0;

    if (s->in != NO_STREAM)
        ready |= s->ended ? POLLHUP : plat.streams->poll(s->in, POLLIN) & POLLIN ? POLLIN : 0;
    /* Hung up without bytes to read: the next read tells the end of file. */
    if (s->in != NO_STREAM && !ready && plat.streams->poll(s->in, POLLIN) & (POLLHUP | POLLERR))
        ready |= POLLIN;
    if (s->out != NO_STREAM) {
        u32 out = s->broken ? POLLERR : plat.streams->poll(s->out, POLLOUT);
        ready |= out & POLLOUT ? POLLOUT : 0;
        ready |= out & POLLERR ? POLLHUP : 0;
        s->full = !out;
    }
    return ready;
}

/* Move bytes between a stream and where the iterator points, without a copy in between.  Memory
 * that the ground does not have there yet (it comes by a fault) goes through a buffer of ours. */
typedef ssize_t move_fn(u32 stream, void *buf, size_t len);

static ssize_t move_in(u32 stream, void *buf, size_t len)
{
    return plat.streams->read(stream, buf, len);
}

static ssize_t move_out(u32 stream, void *buf, size_t len)
{
    return plat.streams->write(stream, buf, len);
}

static ssize_t move_buffered(u32 stream, struct iov_iter *it, move_fn *move)
{
    char chunk[512];
    size_t n = min(it->left, sizeof(chunk));

    if (move == move_out && !(n = iter_read(it, chunk, n)))
        return -EFAULT;
    ssize_t done = move(stream, chunk, n);
    size_t moved = (size_t)max(done, (ssize_t)0);
    if (move == move_out)
        iter_revert(it, n - moved);
    else if (moved && !iter_write(it, chunk, moved))
        return -EFAULT;
    return done;
}

static ssize_t move_some(u32 stream, struct iov_iter *it, move_fn *move)
{
    size_t n;
    void *place = iter_run(it, &n);

    if (!place)
        return -EFAULT;
    ssize_t done = move(stream, place, n);
    if (done == -EFAULT)
        return move_buffered(stream, it, move);
    if (done > 0)
        iter_skip(it, (size_t)done);
    return done;
}

static ssize_t host_write(struct console_port *port, struct iov_iter *from)
{
    struct host_stream *s = of_port(port);
    ssize_t total = 0;

    while (!s->broken && from->left) {
        s->full = !(plat.streams->poll(s->out, POLLOUT) & (POLLOUT | POLLERR | POLLHUP));
        if (s->full)
            break;
        ssize_t done = move_some(s->out, from, move_out);
        s->broken = done == -EPIPE;
        if (done < 0 && done != -EPIPE && done != -EAGAIN && !total)
            return done; /* a full disk is the program's to know, as on Linux */
        if (done <= 0)
            break;
        total += done;
    }
    return s->broken && !total ? -EPIPE : total;
}

static ssize_t host_read(struct console_port *port, struct iov_iter *to)
{
    struct host_stream *s = of_port(port);

    if (s->ended || !to->left)
        return 0;
    if (!(plat.streams->poll(s->in, POLLIN) & (POLLIN | POLLHUP | POLLERR)))
        return 0;
    ssize_t n = move_some(s->in, to, move_in);
    s->ended = !n || (n < 0 && n != -EAGAIN && n != -EFAULT);
    return n > 0 || n == -EFAULT ? n : 0;
}

static void host_nothing(struct console_port *port)
{
    (void)port; /* what was accepted is out, and input waits at the ground */
}

static const struct console_port_ops host_ops = {
    .write = host_write,
    .read = host_read,
    .ready = host_ready,
    .start_input = host_nothing,
    .drain = host_nothing,
};

/* Who waits at a port of both directions may want either: room only once there was none. */
static u32 host_want(u32 stream)
{
    u32 events = 0;

    for (u32 i = 0; i < nr_streams; i++) {
        const struct host_stream *s = &streams[i];
        if (!waitq_has_waiters(&s->port.waitq))
            continue;
        if (s->in == stream && !s->ended)
            events |= POLLIN;
        if (s->out == stream && (s->in == NO_STREAM || s->full))
            events |= POLLOUT;
    }
    return events;
}

static void host_wake(u32 stream, u32 events)
{
    for (u32 i = 0; i < nr_streams; i++)
        if (streams[i].in == stream || streams[i].out == stream) {
            streams[i].full &= !(events & ~POLLIN);
            waitq_wake_all(&streams[i].port.waitq, events);
        }
}

static void add_stream(const char *name, u32 in, u32 out)
{
    struct host_stream *s = &streams[nr_streams++];

    str_copy(s->port.name, name, sizeof(s->port.name));
    s->port.ops = &host_ops;
    s->in = in;
    s->out = out;
    console_port_add(&s->port);
}

void host_stream_init(void)
{
    if (plat.streams->tty) {
        add_stream("ingot.tty", 0, 1);
    } else {
        add_stream("ingot.stdin", 0, NO_STREAM);
        add_stream("ingot.stdout", NO_STREAM, 1);
        add_stream("ingot.stderr", NO_STREAM, 2);
    }
    if (plat.streams->operator_line)
        add_stream("ingot.guest", OPERATOR_STREAM, OPERATOR_STREAM);
    plat.streams->watch(host_want, host_wake);
}
