/* The instructions of an image that a process executes, each once, in the order of their first
 * turn: `bench-steps ADDRESS PROGRAM ARGUMENTS...` prints their offsets from that address, and
 * behind a '=' those of the words there that are not zero in the end.  One step at a time, without
 * random addresses; descriptors are passed on. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IMAGE_MAX = 4 << 20 };

static unsigned long image;

static pid_t start(char **argv)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    personality(ADDR_NO_RANDOMIZE);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execv(argv[0], argv);
    _exit(127);
}

static void look(pid_t pid)
{
    static unsigned char seen[IMAGE_MAX];
    struct user_regs_struct regs;

    ptrace(PTRACE_GETREGS, pid, NULL, &regs);
    unsigned long at = regs.rip - image;
    if (at < IMAGE_MAX && !seen[at]) {
        seen[at] = 1;
        fprintf(stderr, "%lx\n", at);
    }
}

static void tell_memory(pid_t pid)
{
    static unsigned long words[IMAGE_MAX / sizeof(long)];
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int fd = open(path, O_RDONLY);
    ssize_t len = pread(fd, words, sizeof(words), (off_t)image);
    for (ssize_t i = 0; i < len / (ssize_t)sizeof(long); i++)
        if (words[i])
            fprintf(stderr, "=%zx\n", (size_t)i * sizeof(long));
    close(fd);
}

/* It starts a child, which goes its own way at full speed. */
static void let_go(pid_t pid)
{
    enum { TRAP_FLAG = 0x100 };
    struct user_regs_struct regs;
    unsigned long child;

    ptrace(PTRACE_GETEVENTMSG, pid, NULL, &child);
    waitpid((pid_t)child, NULL, __WALL);
    ptrace(PTRACE_GETREGS, (pid_t)child, NULL, &regs);
    regs.eflags &= ~(unsigned long)TRAP_FLAG;
    regs.r11 &= ~(unsigned long)TRAP_FLAG; /* what a system call leaves of them */
    ptrace(PTRACE_SETREGS, (pid_t)child, NULL, &regs);
    ptrace(PTRACE_DETACH, (pid_t)child, NULL, NULL);
}

int main(int argc, char **argv)
{
    int status = 0, sig = 0;

    if (argc < 3)
        return 2;
    image = strtoul(argv[1], NULL, 16);
    pid_t pid = start(argv + 2);
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACEEXIT | PTRACE_O_TRACEVFORK);
    while (WIFSTOPPED(status)) {
        ptrace(PTRACE_SINGLESTEP, pid, NULL, sig);
        if (waitpid(pid, &status, 0) < 0)
            break;
        sig = WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
            tell_memory(pid);
        else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_VFORK << 8))
            let_go(pid);
        else if (WIFSTOPPED(status))
            look(pid);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
