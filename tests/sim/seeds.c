#include "sim/seeds.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void seed_fail(void)
{
    fflush(NULL);
    _exit(1);
}

bool seed_passes(u64 seed, void (*fn)(u64), unsigned seconds)
{
    int status = -1;

    alarm(0); /* the harness's: here it is each seed that has a limit */
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        alarm(seconds);
        fn(seed);
        exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    if (status)
        printf("    seed %llu: %s %d\n", (unsigned long long)seed,
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return !status;
}
