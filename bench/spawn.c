/* Start to exit of a command, many times: `bench-spawn ROUNDS COMMAND...` prints the least and the
 * median in microseconds.  vfork and wait only, since posix_spawn from a large process costs as
 * much as what is measured.  Descriptors are passed on; standard output goes to /dev/null. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double run(char **argv, int null)
{
    double start = now_us();
    int status;
    pid_t pid = vfork();

    if (pid == 0) {
        dup2(null, STDOUT_FILENO);
        execve(argv[0], argv, environ);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "%s: it failed\n", argv[0]);
        exit(1);
    }
    return now_us() - start;
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[1]) : 0, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    double *times = calloc((size_t)(rounds > 0 ? rounds : 1), sizeof(*times));

    if (rounds < 1 || null < 0 || !times)
        return 2;
    for (int i = 0; i < rounds; i++)
        times[i] = run(argv + 2, null);
    qsort(times, (size_t)rounds, sizeof(*times), compare);
    printf("%.1f %.1f\n", times[0], times[rounds / 2]);
    return 0;
}
