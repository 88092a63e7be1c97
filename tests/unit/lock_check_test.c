#include "unit/test.h"

#include <asm/prctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/lock_check.h"
#include "core/panic.h"
#include "core/percpu.h"

static struct cpu cpu;
static struct locks_held thread_holds;
static jmp_buf on_panic;
static char said[256];

_Noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
    longjmp(on_panic, 1);
}

static struct locks_held *by_thread(void)
{
    return &thread_holds;
}

static int words[3];
static struct lock_class first = {.name = "first", .file = "x.c", .line = 1};
static struct lock_class second = {.name = "second", .file = "x.c", .line = 2};
static struct lock_class third = {.name = "third", .file = "x.c", .line = 3};

static void start(void)
{
    cpu.arch.self = &cpu.arch;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu);
    lock_check_set_thread(by_thread);
}

static void take(int word, struct lock_class *class, bool sleeps)
{
    lock_check_order(&words[word], class, sleeps);
    lock_check_taken(&words[word], class, sleeps, 0);
}

static void release(int word, bool sleeps)
{
    lock_check_released(&words[word], sleeps);
}

TEST(two_locks_both_ways_round_are_reported)
{
    start();
    take(0, &first, false);
    take(1, &second, false);
    release(1, false);
    release(0, false);
    take(1, &second, false);
    if (!setjmp(on_panic)) {
        take(0, &first, false);
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "first (x.c:1) is taken with second (x.c:2) held") != NULL, said);
}

TEST(a_circle_of_three_is_reported)
{
    start();
    take(0, &first, true);
    take(1, &second, true);
    release(0, true);
    take(2, &third, true);
    release(1, true);
    if (!setjmp(on_panic)) {
        take(0, &first, true);
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "lock order") != NULL, said);
}

TEST(a_lock_taken_twice_is_reported)
{
    start();
    take(0, &first, false);
    if (!setjmp(on_panic)) {
        take(0, &first, false);
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "by who holds it") != NULL, said);
}

TEST(to_sleep_with_a_lock_that_spins_is_reported)
{
    start();
    lock_check_may_sleep();
    take(0, &first, false);
    if (!setjmp(on_panic)) {
        take(1, &second, true);
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "may sleep with lock first") != NULL, said);
}

TEST(memory_wanted_with_a_lock_that_caches_take_is_reported)
{
    start();
    lock_check_may_reclaim();
    lock_check_reclaim(true);
    take(0, &first, false);
    release(0, false);
    lock_check_reclaim(false);
    take(1, &second, false);
    lock_check_may_reclaim(); /* no cache wants that one */
    release(1, false);
    take(0, &first, false);
    if (!setjmp(on_panic)) {
        lock_check_may_reclaim();
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "memory that caches give back") != NULL, said);
}

TEST(to_sleep_while_caches_give_memory_back_is_reported)
{
    start();
    lock_check_reclaim(true);
    if (!setjmp(on_panic)) {
        lock_check_may_sleep();
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "may sleep with lock") != NULL, said);
}

TEST(handlers_that_run_with_a_lock_held_are_reported)
{
    start();
    take(0, &first, true);
    lock_check_safe_point(); /* one that sleeps may be held */
    take(1, &second, false);
    if (!setjmp(on_panic)) {
        lock_check_safe_point();
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "lock second (x.c:2) held") != NULL, said);
}

TEST(a_lock_of_an_interrupt_taken_with_interrupts_on_is_reported)
{
    start();
    lock_check_interrupt(true);
    take(0, &first, false);
    release(0, false);
    lock_check_interrupt(false);
    take(1, &second, false);
    release(1, false);
    if (!setjmp(on_panic)) {
        take(0, &first, false);
        REQUIRE(false, "not reported");
    }
    EXPECT_TRUE(strstr(said, "lock first (x.c:1) is taken in an interrupt") != NULL, said);
}

TEST(one_order_and_locks_of_one_class_are_fine)
{
    start();
    for (int i = 0; i < 3; i++) {
        take(0, &first, true);
        take(1, &first, true);
        take(2, &second, false);
        release(0, true); /* not in the order of taking */
        release(2, false);
        release(1, true);
    }
    EXPECT_EQ(thread_holds.count, 0, "all released");
    EXPECT_EQ(lock_class_get(1)->taken, 6, "of the first class");
    EXPECT_EQ(lock_class_get(2)->taken, 3, "of the second");
    EXPECT_TRUE(!lock_class_get(3), "there is no third");
}
