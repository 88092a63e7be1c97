#include "core/chart.h"

#include "arch/cpu.h"
#include "core/log.h"

enum { MAX_MARKS = 16 };

bool chart_wanted;

/* Only the start's thread, then whoever does something for the first time. */
static struct {
    const char *name;
    u64 tsc;
} marks[MAX_MARKS];
static u32 nr_marks;
static bool told;

static void tell(const char *name, u64 tsc)
{
    log_raw("boot: %lu %s", tsc, name);
}

void chart_note(const char *name)
{
    u64 tsc = rdtsc();

    if (told)
        tell(name, tsc);
    else if (nr_marks < MAX_MARKS) {
        marks[nr_marks].name = name;
        marks[nr_marks++].tsc = tsc;
    }
}

void chart_tell(void)
{
    for (u32 i = 0; i < nr_marks; i++)
        tell(marks[i].name, marks[i].tsc);
    told = true;
}
