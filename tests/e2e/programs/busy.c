/* Computes for a while, or (with "on") for ever, in functions whose names a profile or debugger
 * must show, or (with "listen") opens a socket. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

__attribute__((noinline)) static void innermost(int turns)
{
    for (int i = 0; i < turns; i++)
        sink += (unsigned long)i * sink;
}

__attribute__((noinline)) static void much_work(void)
{
    innermost(30000000);
    sink++;
}

__attribute__((noinline)) static void little_work(void)
{
    innermost(3000000);
    sink++;
}

__attribute__((noinline)) static void calls(void)
{
    static char bytes[65536];
    int ends[2];

    if (pipe(ends))
        return;
    /* Long enough for some samples, however quick a call is, and though the host stands still. */
    clock_t end = clock() + CLOCKS_PER_SEC / 20;
    for (int i = 0; i < 10000 || clock() < end; i++)
        if (write(ends[1], bytes, 4096) != 4096 || read(ends[0], bytes, 4096) != 4096)
            return;
    sink++;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "listen") == 0)
        return listen(socket(AF_INET, SOCK_STREAM, 0), 5);
    for (int i = 0; i < 5 || (argc > 1 && strcmp(argv[1], "on") == 0); i++) {
        much_work();
        little_work();
    }
    calls();
    puts("done");
    return 0;
}
