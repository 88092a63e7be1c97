/* Digits and a unit, again and again. */
#include "lib/duration.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DURATION_MAX = 1000000000, /* of any one unit, so that no sum overflows */
};

/* Milliseconds of the unit that @text begins with, @len letters long; 0: there is none. */
static u64 unit_ms(const char *text, size_t len)
{
    static const struct {
        const char *name;
        u64 ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == len && strncmp(units[i].name, text, len) == 0)
            return units[i].ms;
    return len ? 0 : 1000;
}

bool duration_parse(const char *text, u64 *ms)
{
    const char *at = text;
    u64 total = 0;

    do {
        char *end;
        if (!isdigit((unsigned char)*at))
            return false;
        unsigned long value = strtoul(at, &end, 10);
        size_t len = strcspn(end, "0123456789");
        u64 unit = unit_ms(end, len);
        if (!unit || value > DURATION_MAX || total > (u64)DURATION_MAX * 86400000)
            return false;
        total += value * unit;
        at = end + len;
    } while (*at);
    *ms = total;
    return true;
}

u64 ticks_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}
