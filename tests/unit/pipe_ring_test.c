/* A pipe's bytes against a model that is one long array. */
#include "unit/test.h"

#include "fake/machine.h"
#include "fake/random.h"
#include "mm/page_priv.h"
#include "vfs/anon/pipe_ring.h"

enum { MODEL_BYTES = 1 << 22 };

static u8 model[MODEL_BYTES]; /* everything ever written */
static u32 written, taken;

static void start(void)
{
    static const struct mem_region ram = {0, 16 << 20};

    REQUIRE(machine_create(&ram, 1) == 0, "a machine");
    heap_init();
    written = taken = 0;
}

static size_t fill(struct pipe_ring *ring, size_t n)
{
    struct iov_iter from;
    struct iovec iov;

    for (size_t i = 0; i < n; i++)
        model[written + i] = (u8)fake_random();
    iter_init_kernel(&from, &iov, model + written, n);
    size_t done = pipe_ring_fill(ring, &from, n);
    written += (u32)done;
    return done;
}

static void drain(struct pipe_ring *ring, size_t n)
{
    static u8 out[1 << 20];
    struct iov_iter to;
    struct iovec iov;

    iter_init_kernel(&to, &iov, out, n);
    EXPECT_EQ(pipe_ring_drain(ring, &to, n), n, NULL);
    EXPECT_MEM(out, model + taken, n, "in order");
    taken += (u32)n;
}

/* What is unread, seen through peek, is what the model says. */
static void check_unread(struct pipe_ring *ring)
{
    u32 at = 0;
    size_t len;
    const char *piece;

    EXPECT_EQ(pipe_ring_used(ring), written - taken, "bytes in it");
    while ((piece = pipe_ring_peek(ring, at, &len)) != NULL) {
        EXPECT_MEM(piece, model + taken + at, len, "the piece");
        at += (u32)len;
    }
    EXPECT_EQ(at, written - taken, "all pieces");
}

TEST(bytes_come_out_as_they_went_in)
{
    struct pipe_ring ring;

    start();
    pipe_ring_init(&ring);
    for (int round = 0; round < 3000 && written < MODEL_BYTES - (64 << 10); round++) {
        size_t n = fake_random() % (round % 5 ? 300 : 60000);
        n = min(n, (size_t)pipe_ring_room(&ring));
        EXPECT_EQ(fill(&ring, n), n, NULL);
        check_unread(&ring);
        drain(&ring, fake_random() % (pipe_ring_used(&ring) + 1ull));
    }
    pipe_ring_fini(&ring);
}

TEST(reading_keeps_up_and_one_page_is_enough)
{
    struct pipe_ring ring;
    struct page_stats before, after;

    start();
    pipe_ring_init(&ring);
    fill(&ring, 1);
    drain(&ring, 1);
    page_get_stats(&before);
    for (int i = 0; i < 10000; i++) {
        fill(&ring, 7);
        drain(&ring, 7);
    }
    page_get_stats(&after);
    EXPECT_EQ(after.free, before.free, "no other page was taken");
    pipe_ring_fini(&ring);
}

TEST(resizing_keeps_the_bytes)
{
    struct pipe_ring ring;

    start();
    pipe_ring_init(&ring);
    for (int round = 0; round < 200 && written < MODEL_BYTES - (256 << 10); round++) {
        u32 size = 4096u << fake_random() % 6;
        int err = pipe_ring_resize(&ring, size);
        EXPECT_EQ(err, pipe_ring_used(&ring) > size ? -EBUSY : 0, NULL);
        fill(&ring, fake_random() % (pipe_ring_room(&ring) + 1ull));
        check_unread(&ring);
        drain(&ring, fake_random() % (pipe_ring_used(&ring) + 1ull));
    }
    pipe_ring_fini(&ring);
}

TEST(a_full_ring_takes_nothing_more)
{
    struct pipe_ring ring;
    size_t len;

    start();
    pipe_ring_init(&ring);
    fill(&ring, 65536);
    EXPECT_EQ(pipe_ring_room(&ring), 0, NULL);
    EXPECT_EQ(pipe_ring_reserve(&ring, &len), NULL, "no place");
    EXPECT_EQ(len, 0, NULL);
    drain(&ring, 65536);
    EXPECT_EQ(pipe_ring_room(&ring), 65536, NULL);
    pipe_ring_fini(&ring);
}
