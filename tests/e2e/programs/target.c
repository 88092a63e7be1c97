/* A server to be stormed: one thread, epoll, as many connections as there are descriptors.
 *   7  says everything back       9  takes connections and never reads, until they are reset
 *   8  likewise, every byte, and one connection at a time
 *  13  says one line and closes  79  reads a path, sends that file, closes */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 20000, ECHO = 7, WHOLE = 8, HOLD = 9, LINE = 13, FILES = 79 };

static unsigned char service[MOST]; /* by descriptor */
static int epoll;

static void watch(int fd, int port, unsigned events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    service[fd] = (unsigned char)port;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        close(fd);
}

static void serve(int port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 4096) < 0) {
        perror("listen");
        exit(1);
    }
    watch(fd, port | 128, EPOLLIN);
}

static void say_all_back(int fd)
{
    static char data[65536];

    fcntl(fd, F_SETFL, 0);
    for (ssize_t len; (len = read(fd, data, sizeof(data))) > 0;) {
        for (ssize_t at = 0, n; at < len; at += n) {
            n = write(fd, data + at, (size_t)(len - at));
            if (n < 0) {
                close(fd);
                return;
            }
        }
    }
    close(fd);
}

static void take(int listener, int port)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MOST || port == LINE) {
            (void)!write(fd, "one line\n", 9); /* reset already: it missed something */
            close(fd);
        } else if (port == WHOLE) {
            say_all_back(fd);
        } else {
            watch(fd, port, port == HOLD ? 0 : EPOLLIN);
        }
    }
}

static void send_file(int fd, char *path, ssize_t len)
{
    char data[8192];

    path[len] = 0;
    path[strcspn(path, "\r\n")] = 0;
    fcntl(fd, F_SETFL, 0);
    int file = open(path, O_RDONLY);
    while (file >= 0 && (len = read(file, data, sizeof(data))) > 0)
        if (write(fd, data, (size_t)len) != len)
            break;
    if (file >= 0)
        close(file);
    close(fd);
}

/* What the other side does not read is let go of: a storm's echo need not be whole. */
static void hear(int fd)
{
    static char data[65536];
    ssize_t len = service[fd] == HOLD ? 0 : read(fd, data, sizeof(data) - 1);

    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0)
        close(fd);
    else if (service[fd] == FILES)
        send_file(fd, data, len);
    else if (write(fd, data, (size_t)len) < 0 && errno != EAGAIN)
        close(fd);
}

int main(void)
{
    struct rlimit files = {MOST, MOST};
    struct epoll_event events[256];

    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(0);
    serve(ECHO);
    serve(WHOLE);
    serve(HOLD);
    serve(LINE);
    serve(FILES);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (service[fd] & 128)
                take(fd, service[fd] & 127);
            else
                hear(fd);
        }
    }
}
