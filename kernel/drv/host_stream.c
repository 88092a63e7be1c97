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

enum { NR_STREAMS = 3, CHUNK = 4096 };

/* Fields: [I], [A]. */
struct host_stream {
    struct console_port port;
    u32 in, out; /* [I] streams of the ground; NO_STREAM where there is none */
    bool ended;  /* [A] the input has no more */
    bool broken; /* [A] nobody takes the output */
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
    }
    return ready;
}

static ssize_t host_write(struct console_port *port, struct iov_iter *from)
{
    struct host_stream *s = of_port(port);
    char chunk[512];
    ssize_t total = 0;
    size_t n;

    while (!s->broken && from->left) {
        if (!(plat.streams->poll(s->out, POLLOUT) & (POLLOUT | POLLERR | POLLHUP)))
            break;
        n = iter_read(from, chunk, min(from->left, sizeof(chunk)));
        if (!n)
            break;
        ssize_t done = plat.streams->write(s->out, chunk, n);
        iter_revert(from, n - (size_t)max(done, (ssize_t)0));
        s->broken = done < 0 && done != -EAGAIN;
        if (done <= 0)
            break;
        total += done;
    }
    return s->broken && !total ? -EPIPE : total;
}

static ssize_t host_read(struct console_port *port, struct iov_iter *to)
{
    struct host_stream *s = of_port(port);
    char chunk[512];

    if (s->ended || !to->left)
        return 0;
    if (!(plat.streams->poll(s->in, POLLIN) & (POLLIN | POLLHUP | POLLERR)))
        return 0;
    ssize_t n = plat.streams->read(s->in, chunk, min(to->left, sizeof(chunk)));
    s->ended = !n || (n < 0 && n != -EAGAIN);
    return n > 0 ? (ssize_t)iter_write(to, chunk, (size_t)n) : 0;
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

static u32 host_want(u32 stream)
{
    for (u32 i = 0; i < nr_streams; i++) {
        const struct host_stream *s = &streams[i];
        if (!waitq_has_waiters(&s->port.waitq))
            continue;
        if (s->in == stream && !s->ended)
            return POLLIN;
        if (s->out == stream && s->in == NO_STREAM)
            return POLLOUT;
    }
    return 0;
}

static void host_wake(u32 stream, u32 events)
{
    for (u32 i = 0; i < nr_streams; i++)
        if (streams[i].in == stream || streams[i].out == stream)
            waitq_wake_all(&streams[i].port.waitq, events);
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
    plat.streams->watch(host_want, host_wake);
}
