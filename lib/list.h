/* A circular doubly linked list whose links live in the listed objects.
 * The head is a link of its own; an unlinked entry points at itself, so removing twice is safe. */
#pragma once

#include "lib/types.h"

struct list_head {
    struct list_head *next, *prev;
};

#define LIST_INIT(head)                                                                            \
    {                                                                                              \
        &(head), &(head)                                                                           \
    }

/** An empty list, or an entry that is in none. */
static inline void list_init(struct list_head *head)
{
    head->next = head->prev = head;
}

/** Is nothing in the list; or is the entry in none? */
static inline bool list_empty(const struct list_head *head)
{
    return head->next == head;
}

/** Put @entry between two neighbours. */
static inline void list_insert_between(struct list_head *entry, struct list_head *prev,
                                       struct list_head *next)
{
    entry->prev = prev;
    entry->next = next;
    prev->next = entry;
    next->prev = entry;
}

/** Put @entry first. */
static inline void list_add(struct list_head *head, struct list_head *entry)
{
    list_insert_between(entry, head, head->next);
}

/** Put @entry last. */
static inline void list_add_tail(struct list_head *head, struct list_head *entry)
{
    list_insert_between(entry, head->prev, head);
}

/** Take @entry out of whatever list it is in and leave it unlinked. */
static inline void list_remove(struct list_head *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    list_init(entry);
}

#define list_entry(link, type, member) container_of(link, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member)  list_entry((head)->prev, type, member)

/** Walk the list; the entry at @pos must not be removed inside the loop. */
#define list_for_each(pos, head, member)                                                           \
    for (pos = list_first(head, typeof(*pos), member); &pos->member != (head);                     \
         pos = list_first(&pos->member, typeof(*pos), member))

/** As list_for_each, but @pos may be removed; @tmp is the walker's own. */
#define list_for_each_safe(pos, tmp, head, member)                                                 \
    for (pos = list_first(head, typeof(*pos), member),                                             \
        tmp = list_first(&pos->member, typeof(*pos), member);                                      \
         &pos->member != (head); pos = tmp, tmp = list_first(&tmp->member, typeof(*pos), member))
