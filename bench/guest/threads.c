/* What a thread that sleeps costs in memory: 10,000 of them with small stacks, of which the pages
 * that they touch are apart.  `threads N kernel_bytes B stack_bytes B`. As a guest's init, with the
 * argument "reboot", it ends the machine. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 10000, STACK = 16384 };

static long field(const char *path, const char *name)
{
    char line[200];
    long value = -1;
    FILE *file = fopen(path, "r");

    while (file && fgets(line, sizeof(line), file))
        if (!strncmp(line, name, strlen(name)))
            sscanf(line + strlen(name), "%ld", &value);
    if (file)
        fclose(file);
    return value; /* KiB */
}

/* By its memory Linux would allow fewer. */
static void allow_threads(void)
{
    FILE *file = fopen("/proc/sys/kernel/threads-max", "w");

    if (!file)
        return;
    fprintf(file, "%d\n", 2 * THREADS);
    fclose(file);
}

static pthread_barrier_t all_there;

static void *sleep_on(void *arg)
{
    pthread_barrier_wait(&all_there);
    pause();
    return arg;
}

int main(int argc, char **argv)
{
    pthread_attr_t attr;
    pthread_t thread;

    mkdir("/proc", 0755);
    (void)mount("proc", "/proc", "proc", 0, NULL); /* in our own guest it is there */
    allow_threads();
    pthread_attr_init(&attr);
    char *stacks = mmap(NULL, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    madvise(stacks, (size_t)THREADS * STACK, MADV_NOHUGEPAGE);
    pthread_barrier_init(&all_there, NULL, THREADS + 1);
    long free_before = field("/proc/meminfo", "MemFree:");
    long own_before = field("/proc/self/status", "VmRSS:");
    for (long i = 0; i < THREADS; i++) {
        pthread_attr_setstack(&attr, stacks + i * STACK, STACK);
        if (pthread_create(&thread, &attr, sleep_on, NULL)) {
            printf("threads %ld failed\n", i);
            break;
        }
    }
    pthread_barrier_wait(&all_there);
    long taken = free_before - field("/proc/meminfo", "MemFree:");
    long own = field("/proc/self/status", "VmRSS:") - own_before;
    printf("threads %d kernel_bytes %ld stack_bytes %ld\n", THREADS, (taken - own) * 1024 / THREADS,
           own * 1024 / THREADS);
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "reboot"))
        reboot(RB_AUTOBOOT);
    return 0;
}
