/* Threads that count, each first in a page of its own of one file and then in that of another,
 * while the process ends.  What the files hold then is what was there at one moment: each pair is
 * equal, or the first is one ahead.  A large file between them makes the writing last. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 3, PAGE = 4096, FILLER = 16 << 20 };

static volatile uint64_t *first, *second;

static void *count(void *arg)
{
    size_t word = (size_t)arg * PAGE / sizeof(*first);

    for (uint64_t n = 1;; n++) {
        first[word] = n;
        second[word] = n;
    }
    return NULL;
}

static void *map(const char *path, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    void *at = fd >= 0 && !ftruncate(fd, (off_t)size)
                   ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                   : MAP_FAILED;
    if (at == MAP_FAILED) {
        perror(path);
        _exit(2);
    }
    memset(at, 1, size);
    return at;
}

int main(void)
{
    pthread_t thread;

    first = map("first", THREADS * PAGE);
    map("filler", FILLER);
    second = map("second", THREADS * PAGE);
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, count, (void *)i))
            return 2;
    usleep(300000);
    _exit(0);
}
