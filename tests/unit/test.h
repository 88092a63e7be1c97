/* The unit-test harness: one executable a module, each test in a child process of its own, so that
 * a crash, a hang or a sanitizer report costs one test and leaks are counted a test.
 *
 *     TEST(list_remove_twice_is_safe)
 *     {
 *         EXPECT_EQ(f(1), 0, "the plain case");
 *     }
 *
 * Name a test for the behaviour it proves.  An expectation that does not hold is printed and the
 * test goes on; REQUIRE ends it. */
#pragma once

#include "abi/errno.h" /* first: its enum and the macros of <errno.h> go together only so */
#include "fake/fault.h"
#include "lib/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

/** Called by TEST() before main. */
void test_register(struct test *test);

/** Count and print one failed expectation of the running test. */
void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Has an expectation of the running test failed? For a test that ends its process itself. */
bool test_has_failed(void);

/** Compare and report; true when equal.  The text is the expression as the test has it. */
bool test_equal(const char *file, int line, s64 got, s64 want, const char *text, const char *why);
bool test_equal_str(const char *file, int line, const char *got, const char *want, const char *text,
                    const char *why);
bool test_equal_mem(const char *file, int line, const void *got, const void *want, size_t len,
                    const char *text, const char *why);

#define TEST(id)                                                                                   \
    static void test_##id(void);                                                                   \
    __attribute__((constructor)) static void test_register_##id(void)                              \
    {                                                                                              \
        static struct test test = {.name = #id, .run = test_##id};                                 \
        test_register(&test);                                                                      \
    }                                                                                              \
    static void test_##id(void)

/** Integers (of any width and sign) or pointers; @why may be NULL. */
#define EXPECT_EQ(got, want, why)                                                                  \
    ({                                                                                             \
        s64 test_got = (s64)(got); /* before the others: it may decide what fault.err is */        \
        test_equal(__FILE__, __LINE__, test_got, (s64)(want), #got, why);                          \
    })
#define EXPECT_TRUE(cond, why)     test_equal(__FILE__, __LINE__, !!(cond), 1, #cond, why)
#define EXPECT_FALSE(cond, why)    test_equal(__FILE__, __LINE__, !!(cond), 0, #cond, why)
#define EXPECT_STR(got, want, why) test_equal_str(__FILE__, __LINE__, got, want, #got, why)
#define EXPECT_MEM(got, want, len, why)                                                            \
    test_equal_mem(__FILE__, __LINE__, got, want, len, #got, why)

/** As EXPECT_TRUE, but the test ends here when it does not hold. */
#define REQUIRE(cond, why)                                                                         \
    do {                                                                                           \
        if (!EXPECT_TRUE(cond, why))                                                               \
            exit(1);                                                                               \
    } while (0)
