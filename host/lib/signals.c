#include "lib/signals.h"

#include "lib/types.h"

#include <signal.h>
#include <stddef.h>

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

void signals_hold(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
        struct sigaction action;
        if (sigaction(ending[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, ending[i]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
}

bool signals_came(void)
{
    sigset_t pending;
    bool any = false;

    sigemptyset(&pending);
    sigpending(&pending);
    for (size_t i = 0; i < ARRAY_LEN(ending); i++)
        any |= sigismember(&pending, ending[i]) == 1;
    return any;
}

void signals_release(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(ending); i++)
        sigaddset(&set, ending[i]);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
