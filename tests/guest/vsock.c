/* AF_VSOCK within one machine (VMADDR_CID_LOCAL). On a Linux without vsock_loopback there is
 * nothing to compare with, and the cases pass without having done anything. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>

static struct sockaddr_vm address(unsigned int cid, unsigned int port)
{
    return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

static int listener(unsigned int *port)
{
    struct sockaddr_vm vm = address(VMADDR_CID_ANY, VMADDR_PORT_ANY);
    socklen_t len = sizeof(vm);
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

    if (fd >= 0 && (bind(fd, (void *)&vm, sizeof(vm)) || listen(fd, 2) ||
                    getsockname(fd, (void *)&vm, &len))) {
        close(fd);
        return -1;
    }
    *port = vm.svm_port;
    return fd;
}

static int connected(unsigned int port)
{
    struct sockaddr_vm vm = address(VMADDR_CID_LOCAL, port);
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

    if (fd >= 0 && connect(fd, (void *)&vm, sizeof(vm))) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

/* Is there anything to test? */
static bool works(void)
{
    unsigned int port;
    int l = listener(&port), c = l < 0 ? -1 : connected(port);

    close(c);
    close(l);
    return c >= 0;
}

static bool pair(int fds[2])
{
    unsigned int port;
    int l = listener(&port);

    fds[0] = l < 0 ? -1 : connected(port);
    fds[1] = fds[0] < 0 ? -1 : accept(l, NULL, NULL);
    close(l);
    return fds[1] >= 0;
}

static short ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

CASE(a_stream_has_two_named_ends)
{
    struct sockaddr_vm vm;
    socklen_t len = sizeof(vm);
    char buf[16];
    int fds[2];
    if (!works())
        return;
    NEED(pair(fds));
    CHECK_EQ(getpeername(fds[1], (void *)&vm, &len), 0);
    CHECK_EQ(vm.svm_cid, VMADDR_CID_LOCAL);
    CHECK_EQ(write(fds[0], "hello", 5), 5);
    CHECK_EQ(write(fds[0], " you", 4), 4);
    CHECK_EQ(recv(fds[1], buf, 9, MSG_WAITALL), 9);
    CHECK(!memcmp(buf, "hello you", 9));
    CHECK_ERR(recv(fds[1], buf, 9, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(shutdown(fds[0], SHUT_WR), 0);
    CHECK_EQ(read(fds[1], buf, 9), 0);
    CHECK_EQ(write(fds[1], "bye", 3), 3);
    CHECK_EQ(recv(fds[0], buf, 3, MSG_WAITALL), 3);
    CHECK_ERR(send(fds[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(fds[1]);
    CHECK_EQ(read(fds[0], buf, 9), 0);
    close(fds[0]);
}

CASE(who_is_not_there_resets)
{
    struct sockaddr_vm vm = address(VMADDR_CID_LOCAL, 1);
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (!works())
        return;
    CHECK_ERR(connect(fd, (void *)&vm, sizeof(vm)), ECONNRESET);
    CHECK_ERR(write(fd, "x", 1), ENOTCONN);
    CHECK_ERR(connect(fd, (void *)&vm, sizeof(vm) - 1), EINVAL);
    close(fd);
    unsigned int port;
    int l = listener(&port), other = socket(AF_VSOCK, SOCK_STREAM, 0);
    vm = address(VMADDR_CID_ANY, port);
    CHECK_ERR(bind(other, (void *)&vm, sizeof(vm)), EADDRINUSE);
    close(l);
    close(other);
    CHECK_ERR(connected(port), ECONNRESET);
}

struct stream {
    int fd;
    unsigned long long sum, bytes;
};

static void *reader(void *arg)
{
    struct stream *s = arg;
    static unsigned char buf[100000];
    ssize_t n;
    while ((n = read(s->fd, buf, 1 + (size_t)(s->bytes * 7919 % sizeof(buf)))) > 0)
        for (ssize_t i = 0; i < n; i++)
            s->sum = s->sum * 31 + buf[i], s->bytes++;
    return NULL;
}

CASE(megabytes_pass_unchanged_and_credit_holds_the_writer_back)
{
    static unsigned char block[70001];
    unsigned long long sum = 0, sent = 0;
    int fds[2];
    pthread_t thread;
    if (!works())
        return;
    NEED(pair(fds));
    for (int k = 0; k < 1000000 && ready(fds[0], POLLOUT) & POLLOUT; k++) {
        block[0] = (unsigned char)k;
        if (send(fds[0], block, 1, MSG_DONTWAIT) != 1)
            break;
        sum = sum * 31 + block[0], sent++;
    }
    CHECK(sent > 1000 && sent < 1000000);
    CHECK_ERR(send(fds[0], block, 1, MSG_DONTWAIT), EAGAIN);
    struct stream s = {.fd = fds[1]};
    NEED(!pthread_create(&thread, NULL, reader, &s));
    for (int k = 0; k < 60; k++) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = (unsigned char)(i * 13 + (size_t)k);
        size_t len = sizeof(block) - (size_t)k * 1000;
        NEED(write(fds[0], block, len) == (ssize_t)len);
        for (size_t i = 0; i < len; i++)
            sum = sum * 31 + block[i];
        sent += len;
    }
    close(fds[0]);
    pthread_join(thread, NULL);
    CHECK_EQ(s.bytes, sent);
    CHECK(s.sum == sum);
    close(fds[1]);
}

CASE(a_backlog_is_accepted_in_order_and_the_rest_refused)
{
    unsigned int port;
    int l = listener(&port), c[3];
    char byte = 0;
    if (!works())
        return;
    NEED(l >= 0);
    CHECK_EQ(ready(l, POLLIN), 0);
    for (int i = 0; i < 2; i++) {
        c[i] = connected(port);
        CHECK_EQ(write(c[i], i ? "b" : "a", 1), 1);
    }
    CHECK_EQ(ready(l, POLLIN), POLLIN);
    for (int i = 0; i < 2; i++) {
        int s = accept(l, NULL, NULL);
        CHECK_EQ(read(s, &byte, 1), 1);
        CHECK_EQ(byte, "ab"[i]);
        close(s);
        close(c[i]);
    }
    c[2] = connected(port); /* the port goes on after the first ones are gone */
    CHECK(c[2] >= 0);
    close(l);
    CHECK_EQ(read(c[2], &byte, 1) <= 0, 1);
    close(c[2]);
}
