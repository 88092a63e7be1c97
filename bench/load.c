/* Asks a server the same thing again and again over connections that stay open, one request at a
 * time on each, and says how long that took.
 *
 *     bench-load ADDRESS PORT CONNECTIONS REQUESTS REQUEST
 *
 * Waits until the server takes connections (60 s at most).  The first answer is read until it has
 * been quiet for QUIET_MS, and every later one must have as many bytes.  Then each connection is
 * made and asked once, as a server may take up few at a time, before the clock starts.  Prints the
 * seconds that REQUESTS took and the bytes of an answer. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, QUIET_MS = 300, STUCK_MS = 20000, WAIT_S = 60, SMALL = 1000 };

static struct sockaddr_in server;
static const char *request;
static char buffer[1 << 18];

static void die(const char *what)
{
    fprintf(stderr, "bench-load: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void ask(int fd)
{
    size_t length = strlen(request);
    if (send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
        die("the request was not taken");
}

/* The rest of an answer may wait for the acknowledgement of its small beginning (Nagle), which our
 * kernel would delay by 40 ms. */
static void acknowledge(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

static int open_link(void)
{
    for (double end = now() + WAIT_S; now() < end; usleep(50000)) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(fd, (struct sockaddr *)&server, sizeof(server)))
            return fd;
        close(fd);
    }
    die("nobody takes connections");
    return -1;
}

/* The bytes of one answer. */
static long learn(void)
{
    int fd = open_link();
    long total = 0;
    struct timeval patience = {.tv_sec = STUCK_MS / 1000};

    ask(fd);
    for (;;) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
        if (got <= 0)
            break;
        total += got;
        patience = (struct timeval){.tv_usec = QUIET_MS * 1000};
    }
    close(fd);
    return total;
}

static long left[CONNECTIONS_MAX];
static int fds[CONNECTIONS_MAX];

static void connect_all(int poll, long connections)
{
    for (long i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        fds[i] = open_link();
        epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
    }
}

/* Some of an answer came. True: it was the rest of it. */
static int take(uint32_t i)
{
    ssize_t got = recv(fds[i], buffer, sizeof(buffer), 0);

    if (got < 0)
        die("a connection was reset");
    if (!got)
        die(left[i] ? "a connection was closed in the midst of an answer or before it"
                    : "a connection was closed while nothing was asked");
    if (got > left[i])
        die("an answer is too long");
    left[i] -= got;
    if (left[i] && got < SMALL)
        acknowledge(fds[i]);
    return !left[i];
}

static void load(int poll, long connections, long requests, long answer)
{
    struct epoll_event events[64];
    long asked = 0, answered = 0;

    for (long i = 0; i < connections && asked < requests; i++, asked++) {
        left[i] = answer;
        ask(fds[i]);
    }
    while (answered < requests) {
        int ready = epoll_wait(poll, events, 64, STUCK_MS);
        if (ready <= 0)
            die("no answer any more");
        for (int e = 0; e < ready; e++) {
            uint32_t i = events[e].data.u32;
            if (!take(i))
                continue;
            answered++;
            if (asked < requests) {
                left[i] = answer;
                ask(fds[i]);
                asked++;
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("usage: bench-load ADDRESS PORT CONNECTIONS REQUESTS REQUEST");
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    long connections = atol(argv[3]), requests = atol(argv[4]);
    request = argv[5];
    if (!inet_aton(argv[1], &server.sin_addr) || connections < 1 || connections > CONNECTIONS_MAX)
        die("a bad address or number of connections");

    long answer = learn();
    if (!answer)
        die("no answer");
    int poll = epoll_create1(0);
    connect_all(poll, connections);
    load(poll, connections, connections, answer);
    double start = now();
    load(poll, connections, requests, answer);
    printf("%.6f %ld\n", now() - start, answer);
    return 0;
}
