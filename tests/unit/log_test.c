/* The kernel's log: who reads and writes it goes on though its lock is never let go of, for a panic
 * or the watchdog may have interrupted its holder. */
#include "core/log.h"
#include "core/time.h"
#include "plat/plat.h"
#include "unit/test.h"

static bool interrupted;
static char seen[128];
static size_t nr_read;

u64 time_ns(void)
{
    return 0;
}

/* Called with the lock held: what is asked here is asked by who interrupted its holder. */
static void write_console(const char *text, size_t len)
{
    char buf[64];
    u64 pos = 0;

    snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s", (int)len, text);
    if (interrupted)
        return;
    interrupted = true;
    nr_read = log_read(&pos, buf, sizeof(buf));
    for (int i = 0; i < 100; i++)
        log_end();
    log_raw("inner");
}

struct plat_ops plat = {.console_write = write_console};

TEST(log_goes_on_without_its_lock)
{
    u64 pos = 0;
    char buf[64];

    log_raw("outer");
    EXPECT_STR(seen, "outer\ninner\n", NULL);
    EXPECT_EQ(nr_read, 6, "what lay in the ring");
    EXPECT_EQ(log_read(&pos, buf, sizeof(buf)), 12, NULL);
    EXPECT_EQ(log_end(), 12, NULL);
    log_raw("later"); /* the lock is free again */
    EXPECT_STR(seen, "outer\ninner\nlater\n", NULL);
}
