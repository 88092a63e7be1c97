/* /proc/lock_stat of the debug kernel: a line a class of locks that was ever taken.  Times are
 * ticks of the TSC. */
#include "core/lock_check.h"
#include "fs/proc.h"

int proc_show_lock_stat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    const struct lock_class *class;

    text_add(out, "taken contended waited held held-max lock\n");
    for (u32 id = 1; (class = lock_class_get(id)); id++)
        text_add(out, "%lu %lu %lu %lu %lu %s %s:%u\n", class->taken, class->contended,
                 class->wait_ticks, class->hold_ticks, class->hold_max, class->name, class->file,
                 class->line);
    return 0;
}
