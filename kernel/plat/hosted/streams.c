/* The program's standard streams, the operator's line, and the sleep of an idle CPU: descriptors 0
 * to 2 of the process, as whoever started it left them, and another. They may be shared with
 * others, so they stay blocking; we look before we leap. */
#include "abi/errno.h"
#include "abi/poll.h"
#include "abi/time.h"
#include "core/irq.h"
#include "plat/hosted/hosted.h"

enum {
    REST_NS = 50000000, /* many programs look at their clock each tenth of a second */
    NR_STREAMS = 3,
    OPERATOR = NR_STREAMS,
    MAX_POLLED = NR_STREAMS + 2, /* the operator's line, and the interrupts of devices */
    PIPE_CHUNK = 4096,           /* what poll(2) promises that a pipe takes: PIPE_BUF */
};

static u32 (*wanted)(u32 stream);
static void (*tell_ready)(u32 stream, u32 events);

static u32 fd_of(u32 stream)
{
    return stream == OPERATOR ? (u32)hosted_boot->operator_fd : stream;
}

static bool is_file(u32 stream)
{
    return hosted_boot->file_streams & BIT(stream);
}

/* Not host_wait(), which does not ask if an interrupt is pending: who is woken by another CPU again
 * and again would find the stream never ready, and sleep again. */
static u32 stream_poll(u32 stream, u32 events)
{
    static const struct linux_timespec none;
    struct host_pollfd fd = {.fd = (s32)fd_of(stream), .events = (s16)events};

    if (is_file(stream))
        return events;
    long got = host_call(HOST_PPOLL, (u64)(uintptr_t)&fd, 1, (u64)(uintptr_t)&none, 0, 0, 0);
    return got > 0 ? (u32)(u16)fd.revents : 0;
}

static ssize_t stream_read(u32 stream, void *buf, size_t len)
{
    long n = host_call(HOST_READ, fd_of(stream), (u64)(uintptr_t)buf, len, 0, 0, 0);

    return n == -EINTR ? -EAGAIN : n;
}

static ssize_t stream_write(u32 stream, const void *buf, size_t len)
{
    size_t n = is_file(stream) ? len : min(len, (size_t)PIPE_CHUNK);
    long done = host_call(HOST_WRITE, fd_of(stream), (u64)(uintptr_t)buf, n, 0, 0, 0);

    return done == -EINTR ? -EAGAIN : done;
}

static void stream_watch(u32 (*want)(u32 stream), void (*ready)(u32 stream, u32 events))
{
    wanted = want;
    tell_ready = ready;
}

/* What the host says of the streams and devices: how many are ready, 0 after @timeout, or a
 * negative errno.  @idle: wait even if there is nothing to look at. */
static long look_at_streams(const struct linux_timespec *timeout, bool idle)
{
    struct host_pollfd fds[MAX_POLLED];
    u32 streams[MAX_POLLED], n = 0, nr_fds;
    u32 nr_streams = hosted_streams.operator_line ? OPERATOR + 1 : NR_STREAMS;

    for (u32 i = 0; wanted && i < nr_streams; i++) {
        u32 events = wanted(i);
        if (!events)
            continue;
        streams[n] = i;
        fds[n++] = (struct host_pollfd){.fd = (s32)fd_of(i), .events = (s16)events};
    }
    nr_fds = n;
    if (hosted_devices_fd() >= 0)
        fds[nr_fds++] = (struct host_pollfd){.fd = hosted_devices_fd(), .events = POLLIN};
    if (!nr_fds && !idle)
        return 0;
    long got = host_wait(fds, nr_fds, timeout);
    for (u32 i = 0; got > 0 && i < n; i++)
        if (fds[i].revents)
            tell_ready(streams[i], (u32)(u16)fds[i].revents);
    if (got > 0 && nr_fds > n && fds[n].revents)
        hosted_devices_ready((u32)(u16)fds[n].revents);
    return got;
}

static void forget(u64 start, u64 len)
{
    host_call(HOST_MADVISE, start, len, HOST_DONTNEED, 0, 0, 0);
}

/* A guest that rests for the first time needs little of our code, of the layers and of its
 * program's files for a while, and the host has mapped nearly all of it: what is wanted comes back
 * from its page cache.  But for a debugger, whose breakpoints lie there. */
static void forget_start(void)
{
    if (hosted_boot->kernel_base == HOSTED_DEBUGGED_KERNEL)
        return;
    forget((u64)(uintptr_t)kernel_start, (u64)(kernel_text_end - kernel_start));
    if (hosted_boot->initrd_len)
        forget(hosted_boot->direct_base + hosted_boot->initrd_pa, hosted_boot->initrd_len);
    if (plat.rest)
        plat.rest();
}

void hosted_streams_wait(void)
{
    static const struct linux_timespec a_rest = {0, REST_NS};
    static bool has_rested;

    if (look_at_streams(has_rested ? NULL : &a_rest, true) || has_rested)
        return;
    has_rested = true;
    forget_start();
}

void hosted_streams_look(void)
{
    static const struct linux_timespec none;

    look_at_streams(&none, false);
}

struct plat_streams hosted_streams = {
    .read = stream_read,
    .write = stream_write,
    .poll = stream_poll,
    .watch = stream_watch,
};
