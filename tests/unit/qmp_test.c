#include "lib/duration.h"
#include "lib/qmp.h"
#include "unit/test.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void nothing(int signal_number)
{
    (void)signal_number;
}

TEST(patience_ends_though_a_signal_came_between)
{
    const struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    const struct itimerval soon = {.it_value = {.tv_usec = 50000}};
    struct err err = {0};
    struct qmp qmp;
    int pair[2];

    REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "a monitor that says nothing");
    REQUIRE(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &soon, NULL), "a signal");
    u64 start = ticks_ms();
    EXPECT_EQ(qmp_open(&qmp, pair[0], 300, &err), -ETIMEDOUT, err.text);
    EXPECT_TRUE(ticks_ms() - start >= 300, "the signal does not shorten it either");
    qmp_close(&qmp);
    close(pair[1]);
}

TEST(events_come_between_a_command_and_its_answer)
{
    static const char said[] = "{\"QMP\": {}}\n{\"return\": {}}\n{\"event\": \"STOP\"}\n"
                               "{\"return\": {\"status\": \"paused\"}}\n";
    json_t *answer = NULL;
    struct err err = {0};
    struct qmp qmp;
    int pair[2];

    REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "a monitor");
    REQUIRE(write(pair[1], said, sizeof(said) - 1) == sizeof(said) - 1, "all it says");
    EXPECT_EQ(qmp_open(&qmp, pair[0], 1000, &err), 0, err.text);
    EXPECT_EQ(qmp_call(&qmp, "query-status", NULL, &answer, &err), 0, err.text);
    EXPECT_TRUE(!strcmp(json_str(answer, "status", ""), "paused"), "the answer, not the event");
    json_decref(answer);
    close(pair[1]);
    EXPECT_EQ(qmp_call(&qmp, "stop", NULL, NULL, &err), -EPIPE, "it has ended");
    qmp_close(&qmp);
}
