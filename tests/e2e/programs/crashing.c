/* Dies in a way that a debugger must be able to explain: crashing KIND [THREADS] [limit|private].
 * Built with debug information. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int global_number = 41;
static const char *volatile global_text = "a text";

static _Atomic pid_t sleepers[8];

/* Wait until the thread has come to where it sleeps. */
static void wait_asleep(pid_t tid)
{
    char path[64], text[256];
    char state = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
    for (int tries = 0; tries < 10000 && state != 'S'; tries++) {
        FILE *file = fopen(path, "r");
        const char *name_end = file && fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
        state = name_end ? name_end[2] : 0;
        if (file)
            fclose(file);
        usleep(1000);
    }
}

static void *sleeping_thread(void *arg)
{
    volatile long own_number = (long)arg;
    sleepers[own_number] = gettid();
    pause();
    return (void *)own_number;
}

static void *busy_thread(void *arg)
{
    volatile unsigned long *turns = arg;
    for (;;)
        ++*turns;
}

static void *crashing_thread(void *arg)
{
    wait_asleep(getpid()); /* main() waits for us */
    *(volatile int *)arg = 1;
    return NULL;
}

__attribute__((noinline)) static void innermost(int depth, const char *kind)
{
    static volatile unsigned long turns;
    char *volatile heap_text = strdup("text on the heap");
    pthread_t thread;

    global_number++;
    if (depth) {
        innermost(depth - 1, kind);
        return;
    }
    if (strcmp(kind, "abort") == 0)
        abort();
    if (strcmp(kind, "thread") == 0 && pthread_create(&thread, NULL, crashing_thread, NULL) == 0)
        pthread_join(thread, NULL);
    if (strcmp(kind, "busy") == 0 &&
        pthread_create(&thread, NULL, busy_thread, (void *)&turns) == 0)
        while (!turns)
            usleep(1000);
    *(volatile char *)NULL = heap_text[0];
}

static void limit(const char *how)
{
    const struct rlimit none = {0, RLIM_INFINITY};

    if (how && strcmp(how, "limit") == 0)
        setrlimit(RLIMIT_CORE, &none);
    if (how && strcmp(how, "private") == 0)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* More than any small disk has room for, of bytes that are no zeros. */
static void fill_memory(void)
{
    enum { SIZE = 24 << 20 };
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(memory, 7, SIZE);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    const char *kind = argc > 1 ? argv[1] : "";

    if (strcmp(kind, "panic") == 0) {
        FILE *trigger = fopen("/proc/sysrq-trigger", "w");
        fputs("c", trigger);
        fclose(trigger);
    }
    if (strcmp(kind, "child") == 0) {
        if (fork() == 0)
            innermost(0, "");
        int status;
        wait(&status);
        printf("the child died of %d%s\n", WTERMSIG(status), WCOREDUMP(status) ? ", core" : "");
        return 0;
    }
    for (long i = 0; argc > 2 && i < atoi(argv[2]); i++) {
        pthread_create(&thread, NULL, sleeping_thread, (void *)i);
        while (!sleepers[i])
            usleep(1000);
        wait_asleep(sleepers[i]);
    }
    limit(argc > 3 ? argv[3] : NULL);
    if (strcmp(kind, "big") == 0)
        fill_memory();
    innermost(3, kind);
    return 0;
}
