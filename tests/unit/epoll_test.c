/* epoll against what epoll(7) promises, on files whose readiness the test sets. */
#include "unit/test.h"

#include "fake/random.h"
#include "fake/waiting.h"
#include "vfs/anon/epoll.h"

enum { MAX_EVENTS = 64 };

static struct epoll_event_abi got[MAX_EVENTS];

static int ctl(struct file *ep, int op, int fd, struct file *file, u32 events)
{
    struct epoll_event_abi event = {.events = events, .data = (u64)fd};

    return epoll_ctl(ep, op, fd, file, &event);
}

static int wait_some(struct file *ep, int max)
{
    memset(got, 0xee, sizeof(got));
    return epoll_wait(ep, (uaddr_t)(uintptr_t)got, max, 0);
}

static int wait_now(struct file *ep)
{
    return wait_some(ep, MAX_EVENTS);
}

TEST(level_triggered_is_told_as_long_as_it_lasts)
{
    struct file *ep = epoll_create();
    struct fake_file *f = fake_file_create();

    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN), 0, NULL);
    EXPECT_EQ(wait_now(ep), 0, "not ready");
    fake_file_set(f, POLLIN | POLLOUT);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(wait_now(ep), 1, NULL);
        EXPECT_EQ(got[0].events, POLLIN, "only what was asked for");
        EXPECT_EQ(got[0].data, 5, NULL);
    }
    f->ready_mask = 0; /* read empty: nobody is woken by that */
    EXPECT_EQ(wait_now(ep), 0, NULL);
    file_put(&f->file);
    file_put(ep);
}

TEST(edge_triggered_is_told_once_a_wake)
{
    struct file *ep = epoll_create();
    struct fake_file *f = fake_file_create();

    f->ready_mask = POLLIN;
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN | EPOLLET), 0, NULL);
    EXPECT_EQ(wait_now(ep), 1, "ready when it was added");
    EXPECT_EQ(wait_now(ep), 0, "told once");
    fake_file_set(f, POLLIN);
    EXPECT_EQ(wait_now(ep), 1, "more came");
    EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, 5, &f->file, POLLIN | EPOLLET), 0, NULL);
    EXPECT_EQ(wait_now(ep), 1, "a change looks anew");
    file_put(&f->file);
    file_put(ep);
}

TEST(oneshot_is_told_until_it_is_armed_again)
{
    struct file *ep = epoll_create();
    struct fake_file *f = fake_file_create();

    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN | EPOLLONESHOT), 0, NULL);
    fake_file_set(f, POLLIN);
    EXPECT_EQ(wait_now(ep), 1, NULL);
    fake_file_set(f, POLLIN | POLLHUP);
    EXPECT_EQ(wait_now(ep), 0, "not armed, not even for a hang-up");
    EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, 5, &f->file, POLLIN | EPOLLONESHOT), 0, NULL);
    EXPECT_EQ(wait_now(ep), 1, NULL);
    EXPECT_EQ(got[0].events, POLLIN | POLLHUP, NULL);
    file_put(&f->file);
    file_put(ep);
}

TEST(errors_and_hang_ups_are_told_unasked)
{
    struct file *ep = epoll_create();
    struct fake_file *f = fake_file_create();

    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &f->file, 0), 0, "no events at all");
    fake_file_set(f, POLLIN | POLLERR | POLLHUP);
    EXPECT_EQ(wait_now(ep), 1, NULL);
    EXPECT_EQ(got[0].events, POLLERR | POLLHUP, NULL);
    file_put(&f->file);
    file_put(ep);
}

TEST(refusals)
{
    static const struct file_ops regular_ops;
    struct file *ep = epoll_create();
    struct fake_file *f = fake_file_create(), *other = fake_file_create();
    struct file regular = {.ops = &regular_ops};

    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &regular, POLLIN), -EPERM, "always ready");
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, ep, POLLIN), -EINVAL, "itself");
    EXPECT_EQ(ctl(&f->file, EPOLL_CTL_ADD, 5, &other->file, POLLIN), -EINVAL, "no epoll");
    EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, 5, &f->file, POLLIN), -ENOENT, NULL);
    EXPECT_EQ(ctl(ep, EPOLL_CTL_DEL, 5, &f->file, POLLIN), -ENOENT, NULL);
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN), 0, NULL);
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN), -EEXIST, NULL);
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 6, &f->file, POLLIN), 0, "the same file by another number");
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &other->file, POLLIN), 0, "another file by the same");
    EXPECT_EQ(ctl(ep, 9, 5, &f->file, POLLIN), -EINVAL, "no such operation");
    EXPECT_EQ(ctl(ep, EPOLL_CTL_MOD, 5, &f->file, POLLIN | EPOLLEXCLUSIVE), -EINVAL, NULL);
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 7, &f->file, POLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), -EINVAL,
              NULL);
    file_put(&f->file);
    file_put(&other->file);
    file_put(ep);
}

TEST(a_closed_file_is_forgotten)
{
    struct file *ep = epoll_create();
    struct fake_file *f = fake_file_create();

    ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN);
    ctl(ep, EPOLL_CTL_ADD, 6, &f->file, POLLIN);
    fake_file_set(f, POLLIN);
    EXPECT_EQ(wait_now(ep), 2, NULL);
    file_put(&f->file);
    EXPECT_EQ(wait_now(ep), 0, NULL);
    file_put(ep);
}

TEST(a_closed_epoll_lets_go_of_its_files)
{
    struct fake_file *f = fake_file_create();

    for (int i = 0; i < 3; i++) {
        struct file *ep = epoll_create();
        for (int fd = 0; fd < 100; fd++)
            EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, fd, &f->file, POLLIN), 0, NULL);
        file_put(ep);
        EXPECT_TRUE(list_empty(&f->file.watchers), NULL);
        EXPECT_FALSE(waitq_has_waiters(&f->waitq), NULL);
    }
    file_put(&f->file);
}

TEST(few_places_are_shared_out_in_turn)
{
    struct file *ep = epoll_create();
    struct fake_file *f[5];
    u32 seen = 0;

    for (int i = 0; i < 5; i++) {
        f[i] = fake_file_create();
        f[i]->ready_mask = POLLIN;
        ctl(ep, EPOLL_CTL_ADD, i, &f[i]->file, POLLIN);
    }
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(wait_some(ep, 1), 1, NULL);
        seen |= 1u << got[0].data;
    }
    EXPECT_EQ(seen, 31, "each had its turn");
    for (int i = 0; i < 5; i++)
        file_put(&f[i]->file);
    file_put(ep);
}

TEST(a_bad_address_loses_no_event)
{
    struct file *ep = epoll_create();
    struct fake_file *f = fake_file_create();

    f->ready_mask = POLLIN;
    ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN | EPOLLET);
    EXPECT_EQ(epoll_wait(ep, 0, 1, 0), -EFAULT, NULL);
    EXPECT_EQ(wait_now(ep), 1, "it is still there");
    file_put(&f->file);
    file_put(ep);
}

static struct fake_file *to_be_ready;

static void make_ready(void)
{
    fake_file_set(to_be_ready, POLLIN);
}

TEST(a_wait_ends_when_a_file_becomes_ready)
{
    struct file *ep = epoll_create();
    struct fake_file *f = to_be_ready = fake_file_create();

    ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN);
    fake_wakes = 0;
    fake_world = make_ready;
    EXPECT_EQ(epoll_wait(ep, (uaddr_t)(uintptr_t)got, 8, NO_DEADLINE), 1, NULL);
    EXPECT_EQ(fake_wakes, 1, "woken once");
    f->ready_mask = 0;
    EXPECT_EQ(epoll_wait(ep, (uaddr_t)(uintptr_t)got, 8, 1), 0, "else the time runs out");
    file_put(&f->file);
    file_put(ep);
}

TEST(an_epoll_in_an_epoll_tells_of_what_is_below)
{
    struct file *top = epoll_create(), *ep = epoll_create();
    struct fake_file *f = fake_file_create();

    EXPECT_EQ(ctl(top, EPOLL_CTL_ADD, 1, ep, POLLIN), 0, NULL);
    EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, 5, &f->file, POLLIN), 0, NULL);
    EXPECT_EQ(wait_now(top), 0, NULL);
    fake_file_set(f, POLLIN);
    EXPECT_EQ(wait_now(top), 1, NULL);
    EXPECT_EQ(got[0].data, 1, NULL);
    EXPECT_EQ(wait_now(ep), 1, "and it is still to be had below");
    f->ready_mask = 0;
    EXPECT_EQ(file_ready(ep), 0, "asked, it looks again");
    EXPECT_EQ(wait_now(top), 0, NULL);
    file_put(&f->file);
    file_put(ep);
    file_put(top);
}

TEST(loops_and_towers_of_epolls_are_refused)
{
    struct file *ep[8];

    for (int i = 0; i < 8; i++)
        ep[i] = epoll_create();
    EXPECT_EQ(ctl(ep[0], EPOLL_CTL_ADD, 1, ep[1], POLLIN), 0, NULL);
    EXPECT_EQ(ctl(ep[1], EPOLL_CTL_ADD, 2, ep[2], POLLIN), 0, NULL);
    EXPECT_EQ(ctl(ep[2], EPOLL_CTL_ADD, 0, ep[0], POLLIN), -ELOOP, "a loop of three");
    EXPECT_EQ(ctl(ep[1], EPOLL_CTL_ADD, 0, ep[0], POLLIN), -ELOOP, "a loop of two");
    int err = 0;
    for (int i = 2; i < 7 && !err; i++)
        err = ctl(ep[i], EPOLL_CTL_ADD, i, ep[i + 1], POLLIN);
    EXPECT_EQ(err, -ELOOP, "built downward");
    for (int i = 0; i < 8; i++)
        file_put(ep[i]);
    for (int i = 0; i < 8; i++)
        ep[i] = epoll_create();
    for (err = 0; err == 0;)
        for (int i = 6; i >= 0 && !err; i--)
            err = ctl(ep[i], EPOLL_CTL_ADD, i, ep[i + 1], POLLIN);
    EXPECT_EQ(err, -ELOOP, "built upward");
    for (int i = 0; i < 8; i++)
        file_put(ep[i]);
}

/* Random operations against a model of level triggering. */
TEST(a_storm_of_operations_agrees_with_a_model)
{
    enum { FILES = 32 };
    struct file *ep = epoll_create();
    struct fake_file *f[FILES];
    bool watched[FILES] = {0};

    for (int i = 0; i < FILES; i++)
        f[i] = fake_file_create();
    for (int round = 0; round < 20000; round++) {
        int i = (int)(fake_random() % FILES);
        switch (fake_random() % 4) {
        case 0:
            EXPECT_EQ(ctl(ep, EPOLL_CTL_ADD, i, &f[i]->file, POLLIN), watched[i] ? -EEXIST : 0,
                      NULL);
            watched[i] = true;
            break;
        case 1:
            EXPECT_EQ(ctl(ep, EPOLL_CTL_DEL, i, &f[i]->file, 0), watched[i] ? 0 : -ENOENT, NULL);
            watched[i] = false;
            break;
        case 2:
            fake_file_set(f[i], POLLIN);
            break;
        default:
            f[i]->ready_mask = 0;
        }
        int want = 0;
        for (int k = 0; k < FILES; k++)
            want += watched[k] && f[k]->ready_mask;
        EXPECT_EQ(wait_now(ep), want, NULL);
    }
    for (int i = 0; i < FILES; i++)
        file_put(&f[i]->file);
    file_put(ep);
}
