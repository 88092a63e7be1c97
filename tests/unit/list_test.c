#include "unit/test.h"

#include "abi/errno.h"
#include "lib/list.h"

struct item {
    int value;
    struct list_head link;
};

/* The values of the list as a string, first to last. */
static const char *values(struct list_head *head)
{
    static char text[64];
    struct item *item;
    size_t len = 0;

    text[0] = 0;
    list_for_each(item, head, link)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%d ", item->value);
    return text;
}

TEST(list_keeps_the_order_of_both_ends)
{
    struct list_head head = LIST_INIT(head);
    struct item one = {1}, two = {2}, three = {3};

    EXPECT_TRUE(list_empty(&head), "a new list");
    list_add(&head, &two.link);
    list_add_tail(&head, &three.link);
    list_add(&head, &one.link);
    EXPECT_STR(values(&head), "1 2 3 ", "first to last");
    EXPECT_EQ(list_first(&head, struct item, link), &one, NULL);
    EXPECT_EQ(list_last(&head, struct item, link), &three, NULL);
}

TEST(list_remove_twice_is_safe)
{
    struct list_head head = LIST_INIT(head);
    struct item one = {1}, two = {2};

    list_add_tail(&head, &one.link);
    list_add_tail(&head, &two.link);
    list_remove(&one.link);
    list_remove(&one.link);
    EXPECT_STR(values(&head), "2 ", "only the other is left");
    EXPECT_TRUE(list_empty(&one.link), "points at itself");
}

TEST(list_for_each_safe_survives_removal_of_its_entry)
{
    struct list_head head = LIST_INIT(head);
    struct item items[4], *item, *next;

    for (int i = 0; i < 4; i++) {
        items[i].value = i;
        list_add_tail(&head, &items[i].link);
    }
    list_for_each_safe(item, next, &head, link) if (item->value % 2) list_remove(&item->link);
    EXPECT_STR(values(&head), "0 2 ", "the even ones");
}

TEST(for_each_fault_visits_every_point_and_then_none)
{
    unsigned int runs = 0;

    FOR_EACH_FAULT(fault) {
        int err = fault_point(-ENOMEM, "first");
        if (!err)
            err = fault_point(-EIO, "second");
        EXPECT_EQ(err, fault.err, fault.what);
        runs++;
    }
    EXPECT_EQ(runs, 3, "two failures and a success");
}
