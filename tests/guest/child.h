/* What the tests of processes share: children, and the program itself as a worker: "--do WHAT ARG".
 */
#pragma once

#include "t.h"

#include <signal.h>
#include <sys/wait.h>

__attribute__((unused)) static char self[] = "/proc/self/exe";

__attribute__((unused)) static void ignore_it(int sig)
{
    (void)sig;
}

/* ---- the worker that execve starts ---- */

static int say_what(const char *what, const char *arg, char **envp)
{
    struct sigaction sa;
    if (!strcmp(what, "exit"))
        return atoi(arg);
    if (!strcmp(what, "open")) /* is the descriptor still there? */
        return fcntl(atoi(arg), F_GETFD) >= 0;
    if (!strcmp(what, "signals")) { /* caught ones are reset, ignored ones stay */
        sigaction(SIGUSR1, NULL, &sa);
        bool reset = sa.sa_handler == SIG_DFL;
        sigaction(SIGUSR2, NULL, &sa);
        bool kept = sa.sa_handler == SIG_IGN;
        sigset_t set;
        sigprocmask(SIG_BLOCK, NULL, &set);
        return reset && kept && sigismember(&set, SIGWINCH) ? 0 : 1;
    }
    if (!strcmp(what, "stay"))
        pause();
    if (!strcmp(what, "env"))
        return envp[0] && !strcmp(envp[0], arg) && !envp[1] ? 0 : 1;
    if (!strcmp(what, "tid"))
        return gettid() == getpid() && getpid() == atoi(arg) ? 0 : 1;
    if (!strcmp(what, "threads"))
        return strstr(get_file("/proc/self/status"), "Threads:\t1\n") ? 0 : 1;
    return 99;
}

__attribute__((constructor(101))) static void maybe_worker(int argc, char **argv, char **envp)
{
    if (argc == 4 && !strcmp(argv[1], "--do"))
        _exit(say_what(argv[2], argv[3], envp));
}

static int status_of(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

/** The exit code of a child that runs @fn. */
__attribute__((unused)) static int in_child(int (*fn)(void *), void *arg)
{
    pid_t pid = fork();
    if (!pid)
        _exit(fn(arg));
    int status = status_of(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** The exit code of "--do what arg", started by execve in a child. */
__attribute__((unused)) static int run_worker(const char *what, const char *arg)
{
    char *argv[] = {(char *)"worker", (char *)"--do", (char *)what, (char *)arg, NULL};
    char *envp[] = {(char *)"ONLY=this", NULL};
    pid_t pid = fork();
    if (!pid) {
        execve(self, argv, envp);
        _exit(98);
    }
    int status = status_of(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
