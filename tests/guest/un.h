/* What the tests of AF_UNIX share: names, and sockets that are bound, listen or connect. */
#pragma once

#include "t.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

__attribute__((unused)) static socklen_t name_addr(struct sockaddr_un *addr, const char *path)
{
    memset(addr, 0, sizeof(*addr));
    addr->sun_family = AF_UNIX;
    strcpy(addr->sun_path, path);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

__attribute__((unused)) static socklen_t abstract_addr(struct sockaddr_un *addr, const char *name)
{
    memset(addr, 0, sizeof(*addr));
    addr->sun_family = AF_UNIX;
    strcpy(addr->sun_path + 1, name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

__attribute__((unused)) static int bound(int type, const char *path)
{
    struct sockaddr_un addr;
    socklen_t len = name_addr(&addr, path);
    int fd = socket(AF_UNIX, type, 0);

    unlink(path);
    if (fd >= 0 && bind(fd, (void *)&addr, len)) {
        close(fd);
        return -1;
    }
    return fd;
}

__attribute__((unused)) static int listener(int type, const char *path, int backlog)
{
    int fd = bound(type, path);

    if (fd >= 0 && listen(fd, backlog)) {
        close(fd);
        return -1;
    }
    return fd;
}

__attribute__((unused)) static int connected(int type, const char *path)
{
    struct sockaddr_un addr;
    socklen_t len = name_addr(&addr, path);
    int fd = socket(AF_UNIX, type, 0);

    if (fd >= 0 && connect(fd, (void *)&addr, len)) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

__attribute__((unused)) static int ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI};

    return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}
