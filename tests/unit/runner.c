/* Runs every registered test in a child of its own and prints `ok NAME` or `not ok NAME`.
 *     PROGRAM [--here] [NAME...]     only the named ones; --here: no child, for a debugger */
#include "unit/test.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEST_SECONDS = 180 }; /* the longest takes a few */

static struct test *tests;
static unsigned int failed_expectations;

void test_register(struct test *test)
{
    struct test **last = &tests;
    while (*last)
        last = &(*last)->next;
    *last = test;
}

bool test_has_failed(void)
{
    return failed_expectations != 0;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;

    failed_expectations++;
    printf("    %s:%d: ", file, line);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

bool test_equal(const char *file, int line, s64 got, s64 want, const char *text, const char *why)
{
    if (got == want)
        return true;
    test_fail(file, line, "%s: got %lld (%#llx), want %lld (%#llx)%s%s", text, (long long)got,
              (unsigned long long)got, (long long)want, (unsigned long long)want, why ? ": " : "",
              why ? why : "");
    return false;
}

bool test_equal_str(const char *file, int line, const char *got, const char *want, const char *text,
                    const char *why)
{
    if (got && want ? !strcmp(got, want) : got == want)
        return true;
    test_fail(file, line, "%s: got \"%s\", want \"%s\"%s%s", text, got ? got : "(null)",
              want ? want : "(null)", why ? ": " : "", why ? why : "");
    return false;
}

bool test_equal_mem(const char *file, int line, const void *got, const void *want, size_t len,
                    const char *text, const char *why)
{
    const u8 *a = got, *b = want;

    for (size_t i = 0; i < len; i++) {
        if (a[i] == b[i])
            continue;
        test_fail(file, line, "%s: byte %zu is %#x, want %#x%s%s", text, i, a[i], b[i],
                  why ? ": " : "", why ? why : "");
        return false;
    }
    return true;
}

static int run_here(const struct test *test)
{
    failed_expectations = 0;
    test->run();
    return failed_expectations ? 1 : 0;
}

static int run_in_child(const struct test *test)
{
    int status;

    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        return 1;
    if (pid == 0) {
        alarm(TEST_SECONDS);
        exit(run_here(test));
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        printf("    died of signal %d%s\n", WTERMSIG(status),
               WTERMSIG(status) == SIGALRM ? " (hung)" : "");
    return status ? 1 : 0;
}

static bool is_wanted(const struct test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], test->name))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    unsigned int failed = 0;
    bool here = argc > 1 && !strcmp(argv[1], "--here");

    if (here) {
        argc--;
        argv++;
    }
    for (struct test *test = tests; test; test = test->next) {
        if (!is_wanted(test, argc, argv))
            continue;
        int err = here ? run_here(test) : run_in_child(test);
        printf("%s %s\n", err ? "not ok" : "ok", test->name);
        failed += err != 0;
    }
    return failed ? 1 : 0;
}
