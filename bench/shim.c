/* Stands in for qemu-system-x86_64 in a PATH of our own: notes when QEMU is started, adds the
 * options in BENCH_QEMU_OPTIONS (separated by blanks), and becomes the real one, named by
 * BENCH_QEMU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OPTIONS_MAX = 256 };

static void note_start(const char *path)
{
    struct timespec ts;
    FILE *f = fopen(path, "w");

    if (!f)
        return;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    fprintf(f, "%lld\n", ts.tv_sec * 1000000000LL + ts.tv_nsec);
    fclose(f);
}

int main(int argc, char **argv)
{
    const char *real = getenv("BENCH_QEMU"), *start = getenv("BENCH_START");
    char *options = getenv("BENCH_QEMU_OPTIONS"), *all[OPTIONS_MAX];
    int count = 0;

    if (!real)
        return 127;
    for (int i = 0; i < argc && count < OPTIONS_MAX / 2; i++)
        all[count++] = argv[i];
    for (char *word = options ? strtok(options, " ") : NULL; word && count < OPTIONS_MAX - 1;
         word = strtok(NULL, " "))
        all[count++] = word;
    all[count] = NULL;
    if (start)
        note_start(start);
    execv(real, all);
    perror(real);
    return 127;
}
