/* Programs that die: `crash KIND`.  A shell shows 128 + the signal's number. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned char code[] = {0xc3}; /* ret, in writable data */

static void crash_segv(void)
{
    *(volatile int *)(uintptr_t)0x10 = 1;
}

static void crash_null_call(void)
{
    void (*volatile nothing)(void) = NULL;
    nothing();
}

static void crash_far_call(void)
{
    void (*volatile nowhere)(void) = (void (*)(void))UINTPTR_MAX;
    nowhere();
}

static void crash_write_text(void)
{
    *(volatile char *)(uintptr_t)&crash_null_call = 0;
}

static void crash_exec_data(void)
{
    ((void (*)(void))(uintptr_t)code)();
}

static volatile int bottomless = 1;
static void crash_stack_overflow(void)
{
    volatile char fill[4096];
    fill[0] = 1;
    if (bottomless)
        crash_stack_overflow();
    bottomless = fill[0];
}

static void crash_div0(void)
{
    int quotient = 1, rest = 0;
    __asm__ volatile("idivl %%ecx" : "+a"(quotient), "+d"(rest) : "c"(0));
}

static void crash_illegal(void)
{
    __asm__ volatile("ud2");
}

static void crash_trap(void)
{
    __asm__ volatile("int3");
}

static void crash_kill(void)
{
    kill(getpid(), SIGKILL);
}

static void crash_term(void)
{
    raise(SIGTERM);
}

static void *segv_thread(void *arg)
{
    (void)arg;
    crash_segv();
    return NULL;
}

static void crash_thread_segv(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, segv_thread, NULL);
    pthread_join(thread, NULL);
}

static const struct {
    const char *kind;
    void (*crash)(void);
} crashes[] = {
    {"segv", crash_segv},
    {"null-call", crash_null_call},
    {"far-call", crash_far_call},
    {"write-text", crash_write_text},
    {"exec-data", crash_exec_data},
    {"stack-overflow", crash_stack_overflow},
    {"abort", abort},
    {"div0", crash_div0},
    {"illegal", crash_illegal},
    {"trap", crash_trap},
    {"kill", crash_kill},
    {"term", crash_term},
    {"thread-segv", crash_thread_segv},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        if (strcmp(argv[1], crashes[i].kind))
            continue;
        printf("about to crash: %s\n", argv[1]);
        fflush(stdout);
        crashes[i].crash();
        printf("still here\n");
        return 0;
    }
    fprintf(stderr, "usage: crash KIND\n");
    return 2;
}
