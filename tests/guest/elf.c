/* What any ELF program may count on when it starts, however it was linked.  Run with the arguments
 * `one`, `two words` and an empty one. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static int failures, cases;

static void check(int good, const char *name)
{
    printf("%s %s\n", good ? "ok" : "not ok", name);
    failures += !good;
    cases++;
}

static int constructed;
__attribute__((constructor)) static void construct(void)
{
    constructed++;
}

static int zeros[10000];
static int *const relocated[] = {&zeros[1], &zeros[2]};
static __thread int tls_data = 1234;
static __thread int tls_zeros[100];

static void *in_thread(void *arg)
{
    (void)arg;
    return (void *)(long)(tls_data == 1234 && tls_zeros[50] == 0);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void at_exit(void)
{
    printf("1..%d\n", cases);
    fflush(stdout);
    _exit(failures);
}

int main(int argc, char **argv)
{
    static const int random_order[] = {5, 3, 9, 1};
    int numbers[4];
    pthread_t thread;
    void *good = NULL;

    setvbuf(stdout, NULL, _IOLBF, 0);
    atexit(at_exit);
    check(argc == 4 && argv[4] == NULL, "argc");
    check(argc == 4 && !strcmp(argv[1], "one") && !strcmp(argv[2], "two words") && !argv[3][0],
          "argv");
    check(getenv("PATH") != NULL, "environment");
    check(constructed == 1, "constructors");
    check(relocated[0] == &zeros[1] && *relocated[1] == 0, "relocations_and_bss");
    check(tls_data == 1234 && tls_zeros[99] == 0, "tls_of_main");
    tls_data = 0;
    check(!pthread_create(&thread, NULL, in_thread, NULL) && !pthread_join(thread, &good) && good,
          "tls_of_a_thread");
    check(getauxval(AT_PAGESZ) == 4096, "auxv_page_size");
    check(getauxval(AT_RANDOM) != 0, "auxv_random");
    check(getauxval(AT_PHDR) != 0 && getauxval(AT_PHNUM) > 2 &&
              getauxval(AT_PHENT) == sizeof(ElfW(Phdr)),
          "auxv_program_headers");
    check(getauxval(AT_SYSINFO_EHDR) != 0, "auxv_vdso");
    check(getauxval(AT_EXECFN) != 0 && strstr((char *)getauxval(AT_EXECFN), "elf-"), "auxv_name");
    check(getauxval(AT_SECURE) == 0, "auxv_secure");
    check((uintptr_t)__builtin_frame_address(0) % 16 == 0, "stack_alignment");
    memcpy(numbers, random_order, sizeof(numbers));
    qsort(numbers, 4, sizeof(int), compare);
    check(numbers[0] == 1 && numbers[3] == 9, "library_call");
    volatile double two = 2.0;
    char text[32];
    snprintf(text, sizeof(text), "%.3f", sqrt(two) * two);
    check(!strcmp(text, "2.828"), "floating_point");
    errno = 0;
    check(close(-1) == -1 && errno == EBADF, "errno");
    return 0;
}
