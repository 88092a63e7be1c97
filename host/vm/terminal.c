#include "vm/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static int terminal_fd = -1;
static struct termios terminal_before;

/* A bug of ours must not leave the user without echo; the default action then tells of it. */
static void terminal_crashed(int signal_number)
{
    terminal_restore();
    raise(signal_number);
}

static void terminal_guard(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    static bool guarded;
    struct sigaction action = {.sa_handler = terminal_crashed,
                               .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};

    if (guarded)
        return;
    guarded = true;
    atexit(terminal_restore);
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        sigaction(fatal[i], &action, NULL);
}

int terminal_raw(int fd)
{
    struct termios raw;

    if (terminal_fd >= 0)
        return 0;
    if (tcgetattr(fd, &terminal_before) < 0)
        return -errno;
    terminal_guard();
    raw = terminal_before;
    cfmakeraw(&raw);
    terminal_fd = fd;
    if (tcsetattr(fd, TCSADRAIN, &raw) < 0) {
        terminal_fd = -1;
        return -errno;
    }
    return 0;
}

void terminal_restore(void)
{
    int fd = terminal_fd;

    if (fd < 0)
        return;
    terminal_fd = -1;
    (void)tcsetattr(fd, TCSADRAIN, &terminal_before); /* there is nobody to tell */
}

bool terminal_size(int fd, unsigned *columns, unsigned *rows)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row)
        return false;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return true;
}
