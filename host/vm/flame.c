#include "vm/flame.h"

#include "vm/svg.h"

#include <stdio.h>
#include <string.h>

enum {
    WIDTH = 1200,
    MARGIN = 10,
    ROW = 17,
    TOP = 40,
    LETTER = 7, /* width of one */
};

struct drawing {
    struct buf *out;
    const struct flame_stack *stacks;
    double per_sample;
    unsigned depth; /* of the deepest stack */
    u64 all;
};

/* Where place number @depth of a stack begins, or NULL: it has fewer. */
static const char *place_at(const char *text, unsigned depth)
{
    while (depth-- && text) {
        text = strchr(text, ';');
        text = text ? text + 1 : NULL;
    }
    return text;
}

static size_t place_len(const char *place)
{
    return strcspn(place, ";");
}

/* One colour a name, whatever the drawing; the kernel's are blue. */
static const char *colour_of(const char *name, size_t len)
{
    static const char *const warm[] = {"#f4a259", "#e8875b", "#f2c14e", "#e4694a",
                                       "#f7b267", "#ee9b53", "#dd7f4f", "#f0d078"};
    unsigned hash = 5381;

    if (str_starts(name, "[kernel]"))
        return "#7aa6d9";
    for (size_t i = 0; i < len; i++)
        hash = hash * 33 + (unsigned char)name[i];
    return warm[hash % ARRAY_LEN(warm)];
}

static void draw_place(const struct drawing *d, const char *place, size_t len, unsigned depth,
                       double x, u64 count)
{
    double width = (double)count * d->per_sample;
    double y = TOP + (double)(d->depth - depth) * ROW;
    size_t letters = width > 2 * LETTER ? (size_t)(width / LETTER) - 1 : 0;
    char title[512], label[256];

    snprintf(title, sizeof(title), "%.*s: %llu samples, %.2f %%", (int)min(len, (size_t)400), place,
             (unsigned long long)count, 100.0 * (double)count / (double)d->all);
    svg_box(d->out, x, y, max(width - 0.5, 0.3), ROW - 1, colour_of(place, len), title);
    if (letters < 3)
        return;
    if (letters < len)
        snprintf(label, sizeof(label), "%.*s..", (int)min(letters - 2, (size_t)250), place);
    else
        snprintf(label, sizeof(label), "%.*s", (int)min(len, (size_t)255), place);
    svg_text(d->out, x + 3, y + 12, label);
}

/* Sorted, so that those with the same place here, below the same callers, stand together. */
static void draw_level(const struct drawing *d, size_t from, size_t to, unsigned depth, double x)
{
    while (from < to) {
        const char *place = place_at(d->stacks[from].text, depth);
        size_t len = place ? place_len(place) : 0, end = from;
        u64 count = 0;
        for (; end < to; end++) {
            const char *other = place_at(d->stacks[end].text, depth);
            if (!place != !other ||
                (place && (place_len(other) != len || memcmp(place, other, len) != 0)))
                break;
            count += d->stacks[end].count;
        }
        if (place) {
            draw_place(d, place, len, depth, x, count);
            draw_level(d, from, end, depth + 1, x);
        }
        x += (double)count * d->per_sample;
        from = end;
    }
}

void flame_draw(struct buf *out, const struct flame_stack *stacks, size_t n)
{
    struct drawing d = {.out = out, .stacks = stacks};
    char title[128];

    for (size_t i = 0; i < n; i++) {
        unsigned depth = 0;
        for (const char *c = stacks[i].text; *c; c++)
            depth += *c == ';';
        d.depth = max(d.depth, depth);
        d.all += stacks[i].count;
    }
    d.per_sample = d.all ? (WIDTH - 2.0 * MARGIN) / (double)d.all : 0;
    svg_begin(out, WIDTH, TOP + (d.depth + 2) * ROW);
    snprintf(title, sizeof(title), "%llu samples, one a millisecond of CPU time",
             (unsigned long long)d.all);
    svg_text(out, MARGIN, 22, title);
    draw_level(&d, 0, n, 0, MARGIN);
    svg_end(out);
}
