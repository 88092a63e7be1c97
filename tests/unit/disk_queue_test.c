/* The queue that drivers of disks share, over a device that is played here. */
#include "drv/disk_queue.h"

#include "abi/errno.h"
#include "drv/scsi.h"
#include "fake/net_world.h"
#include "test.h"

#include <string.h>

enum { NR_SLOTS = 2, MOST = 4096 }; /* bytes of one command */

static struct disk_queue queue;
static struct block_dev disk;
static u32 given[16], nr_given;    /* slots, in the order of their commands */
static u32 answers[4], nr_answers; /* slots that are through */
static u32 nr_done, nr_shut_off;
static u64 covered;

static int start(struct disk_queue *q, u32 slot)
{
    struct disk_piece walk = disk_piece_first(&q->slots[slot]);
    u64 pa;
    u32 len;

    while (disk_piece_peek(&walk, MOST - walk.bytes, &pa, &len))
        disk_piece_take(&walk, len);
    disk_slot_took(&q->slots[slot], &walk);
    covered += walk.bytes;
    given[nr_given++ % 16] = slot;
    return q->slots[slot].request->op == BLOCK_DISCARD ? -EOPNOTSUPP : 0;
}

static void collect(struct disk_queue *q)
{
    for (u32 i = 0, n = nr_answers; i < n && !q->broken; i++) {
        nr_answers = 0;
        if (!disk_queue_is_busy(q, answers[i]))
            disk_queue_break(q, "it finished a request that was never made");
        else
            disk_queue_finish(q, answers[i], 0);
    }
}

static void shut_off(struct disk_queue *q)
{
    (void)q;
    nr_shut_off++;
}

static const struct disk_queue_ops ops = {.start = start, .collect = collect, .shut_off = shut_off};

static void done(struct block_request *request)
{
    (void)request;
    nr_done++;
}

static u8 memory[4 * MOST];

/* Two segments that begin and end in the middle of commands. */
static struct block_request request_of(enum block_op op)
{
    struct block_request r = {.op = op, .nr_segments = 2, .done = done, .status = 1};

    r.segments[0] = (struct block_segment){memory, MOST + 512};
    r.segments[1] = (struct block_segment){memory + 2 * MOST, MOST};
    return r;
}

static void answer(u32 slot)
{
    answers[0] = slot;
    nr_answers = 1;
    disk_queue_advance(&queue);
}

static void set_up(void)
{
    world_up("off");
    disk_queue_init(&queue, "disk", &ops, NULL, NR_SLOTS);
}

TEST(disk_queue_cuts_a_request_into_commands)
{
    struct block_request r = request_of(BLOCK_WRITE);

    set_up();
    disk_queue_submit(&queue, &disk, &r);
    EXPECT_EQ(nr_given, 1, "the first command");
    answer(0);
    EXPECT_EQ(nr_given, 2, "the second");
    EXPECT_EQ(queue.slots[0].done, MOST, "where it begins");
    answer(0);
    EXPECT_EQ(nr_given, 3, "the last");
    EXPECT_EQ(nr_done, 0, "not through");
    answer(0);
    EXPECT_EQ(nr_done, 1, "through");
    EXPECT_EQ(r.status, 0, NULL);
    EXPECT_EQ(covered, 2 * MOST + 512, "every byte once");
}

TEST(disk_queue_lets_requests_wait_for_a_slot)
{
    struct block_request r[4];

    set_up();
    for (u32 i = 0; i < 4; i++) {
        r[i] = (struct block_request){.op = BLOCK_FLUSH, .done = done};
        disk_queue_submit(&queue, &disk, &r[i]);
    }
    EXPECT_EQ(nr_given, NR_SLOTS, "no more than the device takes");
    answer(1);
    EXPECT_EQ(nr_given, 3, "the next one");
    EXPECT_EQ(given[2], 1, "in the free slot");
    r[0] = request_of(BLOCK_DISCARD);
    answer(0);
    answer(0);
    answer(1);
    EXPECT_EQ(nr_done, 4, "all");
    disk_queue_submit(&queue, &disk, &r[0]);
    EXPECT_EQ(r[0].status, -EOPNOTSUPP, "what the driver refuses");
}

TEST(disk_queue_shuts_off_a_device_that_lies)
{
    struct block_request r[3] = {request_of(BLOCK_READ), request_of(BLOCK_READ),
                                 request_of(BLOCK_READ)};

    set_up();
    for (u32 i = 0; i < 3; i++)
        disk_queue_submit(&queue, &disk, &r[i]);
    answer(17);
    EXPECT_EQ(nr_shut_off, 1, "once");
    EXPECT_EQ(nr_done, 3, "those with it, and the one that waits");
    EXPECT_EQ(r[2].status, -EIO, NULL);
    disk_queue_submit(&queue, &disk, &r[0]);
    EXPECT_EQ(nr_done, 4, "whoever comes later too");
    EXPECT_EQ(nr_given, NR_SLOTS, "it is asked no more");
}

TEST(disk_queue_shuts_off_a_device_that_does_not_answer)
{
    struct block_request r = request_of(BLOCK_READ);

    set_up();
    disk_queue_submit(&queue, &disk, &r);
    for (u32 s = 0; s < 25; s += 5)
        world_pass(5 * NSEC_PER_SEC);
    EXPECT_EQ(nr_done, 0, "slow is no crime");
    for (u32 s = 0; s < 15; s += 5)
        world_pass(5 * NSEC_PER_SEC);
    EXPECT_EQ(nr_shut_off, 1, NULL);
    EXPECT_EQ(r.status, -EIO, NULL);
    EXPECT_EQ(nr_done, 1, NULL);
}

TEST(disk_queue_finds_an_answer_whose_interrupt_was_lost)
{
    struct block_request r = {.op = BLOCK_FLUSH, .done = done};

    set_up();
    disk_queue_submit(&queue, &disk, &r);
    answers[0] = 0;
    nr_answers = 1;
    world_pass(6 * NSEC_PER_SEC);
    EXPECT_EQ(nr_done, 1, NULL);
    EXPECT_EQ(r.status, 0, NULL);
}

TEST(scsi_sense_in_both_formats)
{
    static const struct {
        u8 sense[16];
        int err;
    } cases[] = {
        {{0x70, 0, 0x03, [12] = 0x11}, -EIO}, /* medium error */
        {{0x70, 0, 0x07, [12] = 0x27}, -EROFS},  {{0x70, 0, 0x07, [12] = 0x27, [13] = 7}, -ENOSPC},
        {{0x70, 0, 0x06, [12] = 0x29}, -EAGAIN}, /* unit attention */
        {{0x72, 0x06, 0x29}, -EAGAIN},           {{0x72, 0x05, 0x20}, -EOPNOTSUPP},
        {{0x72, 0x02, 0x3a}, -ENOMEDIUM},        {{0x70, 0, 0x01}, 0}, /* recovered */
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_EQ(scsi_sense_to_errno(cases[i].sense, 16), cases[i].err, NULL);
    EXPECT_EQ(scsi_sense_to_errno(cases[0].sense, 0), -EIO, "none at all");
    EXPECT_EQ(scsi_sense_to_errno(cases[0].sense, 3), -EIO, "cut off");
}
