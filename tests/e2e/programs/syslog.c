/* What comes of messages to /dev/log; each line of output is one answer. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

static const struct sockaddr_un place = {AF_UNIX, "/dev/log"};

static void tell(const char *what, long got)
{
    if (got < 0)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %ld\n", what, got);
}

static void say(int fd, const char *text, size_t len, int flags)
{
    if (sendto(fd, text, len, flags, (const void *)&place, sizeof(place)) != (ssize_t)len)
        tell("sendto", -1);
}

int main(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), stream = socket(AF_UNIX, SOCK_STREAM, 0);
    int own = socket(AF_UNIX, SOCK_DGRAM, 0), second = socket(AF_UNIX, SOCK_DGRAM, 0);
    char *big = malloc(20000), got[64] = "";
    struct stat st;

    tell("is a socket", stat("/dev/log", &st) ? -1 : S_ISSOCK(st.st_mode));
    tell("stream", connect(stream, (const void *)&place, sizeof(place)));
    close(STDERR_FILENO); /* as daemons do */
    syslog(LOG_ERR, "without a name");
    openlog("given/name", LOG_PID, LOG_DAEMON);
    syslog(LOG_DEBUG, "two\nlines\n");
    closelog();
    say(fd, "<13>Jan  1 00:00:00 here tag[1]: with the machine's name", 56, 0);
    say(fd, "<13>python's\0", 13, 0);
    say(fd, "\033[1m", 4, MSG_DONTWAIT);
    say(fd, "", 0, 0);
    memset(big, 'x', 20000);
    memcpy(big, "<13>big: ", 9);
    say(fd, big, 20000, 0);
    mkdir("/tmp/root", 0755);
    tell("chroot", chroot("/tmp/root"));
    syslog(LOG_INFO, "of another root");
    closelog();
    tell("bind", bind(own, (const void *)&place, sizeof(place)));
    tell("bind again", bind(second, (const void *)&place, sizeof(place)));
    say(fd, "to who serves it", 16, 0);
    tell("received", recv(own, got, sizeof(got), 0));
    close(own);
    say(fd, "nobody: serves it", 17, 0);
    return strcmp(got, "to who serves it") != 0;
}
