/* The arithmetic of interval timers against a model that counts one by one. */
#include "unit/test.h"

#include "fake/random.h"
#include "vfs/anon/timerfd_math.h"

TEST(a_single_shot_expires_once)
{
    u64 due = 100;

    EXPECT_EQ(timerfd_expire(&due, 0, 99), 0, "not yet");
    EXPECT_EQ(due, 100, NULL);
    EXPECT_EQ(timerfd_expire(&due, 0, 100), 1, "on time");
    EXPECT_EQ(due, UINT64_MAX, "and never again");
    EXPECT_EQ(timerfd_expire(&due, 0, 1000), 0, NULL);
}

TEST(an_interval_counts_what_was_missed)
{
    for (int round = 0; round < 10000; round++) {
        u64 due = fake_random() % 1000, interval = fake_random() % 50 + 1;
        u64 now = fake_random() % 2000, model_due = due, model = 0;
        for (; model_due <= now; model_due += interval)
            model++;
        EXPECT_EQ(timerfd_expire(&due, interval, now), model, "expirations");
        EXPECT_EQ(due, model_due, "the next one");
    }
}

TEST(the_end_of_time_does_not_wrap)
{
    u64 due = UINT64_MAX - 10;

    EXPECT_EQ(timerfd_expire(&due, 100, UINT64_MAX - 5), 1, NULL);
    EXPECT_EQ(due, UINT64_MAX, "the sum wraps: never again");
    due = 0;
    EXPECT_EQ(timerfd_expire(&due, 1, UINT64_MAX - 1), UINT64_MAX, NULL);
}

TEST(wall_times_become_monotonic_ones)
{
    EXPECT_EQ(timerfd_to_mono(1500, 1000), 500, NULL);
    EXPECT_EQ(timerfd_to_mono(500, 1000), 0, "before the start: it is due");
    EXPECT_EQ(timerfd_to_mono(UINT64_MAX, 1000), UINT64_MAX, "never stays never");
}
