/* A timer lies at the level that its distance needs; as time reaches a slot of a higher level, what
 * is in it moves down. */
#include "net/wheel.h"

enum { SLOT_MASK = WHEEL_SLOTS - 1 };
#define WHEEL_REACH ((1u << (WHEEL_LEVELS * WHEEL_SLOT_BITS)) - 1)

void wheel_init(struct wheel *wheel, u32 now)
{
    wheel->now = now;
    wheel->count = 0;
    for (u32 level = 0; level < WHEEL_LEVELS; level++) {
        wheel->used[level] = 0;
        for (u32 slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

static u32 level_of(u32 distance)
{
    u32 level = 0;

    while (distance >> ((level + 1) * WHEEL_SLOT_BITS))
        level++;
    return level;
}

/* @timer->tick is at or after .now and within reach. */
static void place(struct wheel *wheel, struct wheel_timer *timer)
{
    u32 level = level_of(timer->tick - wheel->now);
    u32 slot = (timer->tick >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK;

    list_add_tail(&wheel->slots[level][slot], &timer->node);
    wheel->used[level] |= 1ull << slot;
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, u32 tick, u32 now)
{
    wheel_cancel(wheel, timer);
    if (!wheel->count && (s32)(now - wheel->now) > 0)
        wheel->now = now;
    if ((s32)(tick - wheel->now) <= 0)
        tick = wheel->now + 1;
    if (tick - wheel->now > WHEEL_REACH)
        tick = wheel->now + WHEEL_REACH;
    timer->tick = tick;
    place(wheel, timer);
    wheel->count++;
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    if (!wheel_timer_is_set(timer))
        return;
    list_remove(&timer->node);
    wheel->count--;
}

/* Let what lies in the slot that .now has reached fall to lower levels. */
static void cascade(struct wheel *wheel, u32 level)
{
    u32 slot = (wheel->now >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK;
    struct list_head *head = &wheel->slots[level][slot];
    struct list_head moved = LIST_INIT(moved);

    wheel->used[level] &= ~(1ull << slot);
    if (list_empty(head))
        return;
    list_add(head, &moved); /* into the ring in the head's place */
    list_remove(head);
    while (!list_empty(&moved)) {
        struct wheel_timer *timer = list_first(&moved, struct wheel_timer, node);
        list_remove(&timer->node);
        place(wheel, timer);
    }
}

/* The first tick after .now at which a slot that may hold something is reached. */
static bool next_event(const struct wheel *wheel, u32 *tick)
{
    bool found = false;

    for (u32 level = 0; level < WHEEL_LEVELS; level++) {
        u32 shift = level * WHEEL_SLOT_BITS;
        u32 index = (wheel->now >> shift) & SLOT_MASK;
        u32 turn = (index + 1) & SLOT_MASK;
        u64 used = wheel->used[level];
        if (!used)
            continue;
        if (turn)
            used = used >> turn | used << (WHEEL_SLOTS - turn);
        u32 at = ((wheel->now >> shift) + 1 + (u32)__builtin_ctzll(used)) << shift;
        if (!found || (s32)(at - *tick) < 0)
            *tick = at;
        found = true;
    }
    return found;
}

bool wheel_next(const struct wheel *wheel, u32 *tick)
{
    return wheel->count && next_event(wheel, tick);
}

struct wheel_timer *wheel_pop(struct wheel *wheel, u32 now)
{
    for (;;) {
        u32 slot = wheel->now & SLOT_MASK, tick;
        struct list_head *head = &wheel->slots[0][slot];
        if (!list_empty(head)) {
            struct wheel_timer *timer = list_first(head, struct wheel_timer, node);
            list_remove(&timer->node);
            wheel->count--;
            return timer;
        }
        wheel->used[0] &= ~(1ull << slot);
        if ((s32)(now - wheel->now) <= 0)
            return NULL;
        if (!wheel->count || !next_event(wheel, &tick) || (s32)(tick - now) > 0) {
            wheel->now = now; /* no slot is reached on the way */
            return NULL;
        }
        wheel->now = tick;
        for (u32 level = WHEEL_LEVELS - 1; level; level--)
            if (!(tick & ((1u << (level * WHEEL_SLOT_BITS)) - 1)))
                cascade(wheel, level);
    }
}
