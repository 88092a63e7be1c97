#include "vm/chart.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "vm/svg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

enum {
    WIDTH = 1200,
    ROW = 22,
    TOP = 60,
    LEFT = 20,
    BARS = 800, /* what the whole time takes, so that words have room behind the last bar */
};

static double since_start(const struct chart *chart, u64 tsc)
{
    return chart->tsc_khz ? (double)(s64)(tsc - chart->start_tsc) / (double)chart->tsc_khz : 0;
}

static void chart_add(struct chart *chart, const char *name, double ms, bool guest)
{
    size_t at = chart->nr_marks;

    if (at == CHART_MAX)
        return;
    str_copy(chart->marks[at].name, name, sizeof(chart->marks[at].name));
    chart->marks[at].ms = ms;
    chart->marks[at].seen = since_start(chart, __rdtsc());
    chart->marks[at].guest = guest;
    chart->nr_marks++;
}

void chart_now(struct chart *chart, const char *name)
{
    chart_add(chart, name, since_start(chart, __rdtsc()), false);
}

void chart_begin(struct chart *chart, u64 tsc_khz, bool process)
{
    *chart = (struct chart){.tsc_khz = tsc_khz, .start_tsc = __rdtsc(), .process = process};
    chart_now(chart, process ? "sandbox" : "VMM");
}

bool chart_line(struct chart *chart, const char *line)
{
    char *end;

    if (!str_starts(line, "boot: "))
        return false;
    u64 tsc = strtoull(line + strlen("boot: "), &end, 10);
    if (*end != ' ')
        return false;
    double ms = chart->process   ? since_start(chart, tsc)
                : chart->tsc_khz ? (double)tsc / (double)chart->tsc_khz
                                 : 0;
    chart_add(chart, end + 1, ms, true);
    return true;
}

/* The clock of a VM begins with its machine, which was when its marks were heard of soonest. */
static void settle_clocks(struct chart *chart)
{
    double late = -1;
    size_t first = chart->nr_marks;

    for (size_t i = chart->nr_marks; i-- > 0;) {
        if (!chart->marks[i].guest)
            continue;
        double delay = chart->marks[i].seen - chart->marks[i].ms;
        late = late < 0 ? delay : min(late, delay);
        first = i;
    }
    if (chart->process || first == chart->nr_marks)
        return;
    for (size_t i = 0; i < chart->nr_marks; i++)
        if (chart->marks[i].guest)
            chart->marks[i].ms += max(late, 0.0);
    if (chart->nr_marks == CHART_MAX)
        return;
    memmove(&chart->marks[first + 1], &chart->marks[first],
            (chart->nr_marks++ - first) * sizeof(chart->marks[0]));
    str_copy(chart->marks[first].name, "firmware", sizeof(chart->marks[first].name));
    chart->marks[first].ms = max(late, 0.0);
}

static void draw_bar(struct buf *out, const struct chart *chart, size_t i, double all)
{
    double from = chart->marks[i].ms, to = i + 1 < chart->nr_marks ? chart->marks[i + 1].ms : from;
    double left = LEFT + from / all * BARS, width = max((to - from) / all * BARS, 1.0);
    char text[128];

    snprintf(text, sizeof(text), "%s: %.3f ms, at %.3f ms", chart->marks[i].name, to - from, from);
    svg_box(out, left, TOP + (double)i * ROW, width, ROW - 2,
            chart->marks[i].guest ? "#5b9bd5" : "#b0b7c3", text);
    svg_text(out, left + width + 4, TOP + (double)i * ROW + 15, text);
}

int chart_write(struct chart *chart, const char *path, struct err *err)
{
    struct buf out CLEANUP(buf_free) = {0};
    char title[96];

    if (chart->nr_marks < 2)
        return err_set(err, EINVAL, "--boot-chart: the guest did not come so far");
    settle_clocks(chart);
    double all = max(chart->marks[chart->nr_marks - 1].ms, 0.001);
    svg_begin(&out, WIDTH, (unsigned)(TOP + (chart->nr_marks + 1) * ROW));
    snprintf(title, sizeof(title), "start in %s: %.3f ms", chart->process ? "a process" : "a VM",
             all);
    svg_text(&out, LEFT, 30, title);
    for (size_t i = 0; i < chart->nr_marks; i++)
        draw_bar(&out, chart, i, all);
    svg_end(&out);
    return fs_write(path, out.data, out.len, 0644, err);
}
