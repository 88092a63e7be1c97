#include "drv/screen.h"

#include "abi/poll.h"
#include "core/cmdline.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "drv/console_port.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum { CELL_WIDTH = 8, CELL_HEIGHT = 16, SCROLL_LINES = 8, TAB = 8, CHUNK = 64 };
enum { INK = 0xd0d0d0, PAPER = 0x000000, NOTHING = 0 };
enum escape { ESCAPE_NONE, ESCAPE_SEEN, ESCAPE_SEQUENCE };

/* Fields: [I], [L] under .lock. */
static struct screen {
    struct console_port port;
    struct spinlock lock; /* a leaf */
    volatile u32 *dots;   /* [I] NULL: no screen */
    u32 stride;           /* [I] dots from a line to the next */
    u32 columns, rows;    /* [I] of letters */
    u32 column, row;      /* [L] where the next one goes */
    u32 rows_used;        /* [L] rows from here on show what the firmware has left */
    u8 escape;            /* [L] enum escape */
    u8 *cells;            /* [L] what is shown; NOTHING: paper */
} screen;

static const u8 *glyph_of(u8 c)
{
    static const u8 unknown[8] = {0x00, 0x7e, 0x42, 0x42, 0x42, 0x42, 0x7e, 0x00};

    return c >= ' ' && c <= '~' ? screen_font[c - ' '] : unknown;
}

/* Two dots at a time: a line of text is drawn while a program waits for it. */
static void draw_cell(u32 column, u32 row, u8 c)
{
    static const u64 pairs[] = {0, (u64)INK << 32, INK, (u64)INK << 32 | INK}; /* on paper */
    const u8 *glyph = glyph_of(c ? c : ' ');
    volatile u32 *line =
        screen.dots + (size_t)row * CELL_HEIGHT * screen.stride + (size_t)column * CELL_WIDTH;

    for (u32 y = 0; y < CELL_HEIGHT; y++, line += screen.stride) {
        u32 dots = glyph[y / 2];
        volatile u64 *at = (volatile u64 *)line;
        at[0] = pairs[dots >> 6];
        at[1] = pairs[dots >> 4 & 3];
        at[2] = pairs[dots >> 2 & 3];
        at[3] = pairs[dots & 3];
    }
}
static_assert(PAPER == 0, "pairs");

static void set_cell(u32 column, u32 row, u8 c)
{
    u8 *cell = &screen.cells[row * screen.columns + column];

    if (*cell == c)
        return;
    *cell = c;
    draw_cell(column, row, c);
}

/* To clear the whole screen at the start would cost more than the rest of a start. */
static void clear_row(u32 row)
{
    volatile u32 *line = screen.dots + (size_t)row * CELL_HEIGHT * screen.stride;

    for (u32 y = 0; y < CELL_HEIGHT; y++, line += screen.stride) {
        volatile u64 *at = (volatile u64 *)line, *end = at + screen.columns * CELL_WIDTH / 2;
        while (at < end)
            *at++ = PAPER;
    }
}

/* Several lines at once: each costs a redrawing of what differs. */
static void scroll(void)
{
    u32 lines = min((u32)SCROLL_LINES, screen.rows - 1);

    for (u32 row = 0; row < screen.rows; row++)
        for (u32 column = 0; column < screen.columns; column++)
            set_cell(column, row,
                     row + lines < screen.rows
                         ? screen.cells[(row + lines) * screen.columns + column]
                         : NOTHING);
    screen.row -= lines;
}

static void next_row(void)
{
    screen.column = 0;
    if (++screen.row == screen.rows)
        scroll();
}

static void put_letter(u8 c)
{
    if (screen.column == screen.columns)
        next_row();
    for (; screen.rows_used <= screen.row; screen.rows_used++)
        clear_row(screen.rows_used);
    set_cell(screen.column++, screen.row, c == ' ' ? NOTHING : c);
}

/* Of control sequences (ECMA-48, 5.4) only the end is looked for. */
static bool in_escape(u8 c)
{
    if (screen.escape == ESCAPE_NONE && c != 0x1b)
        return false;
    if (screen.escape == ESCAPE_NONE)
        screen.escape = ESCAPE_SEEN;
    else if (screen.escape == ESCAPE_SEEN)
        screen.escape = c == '[' ? ESCAPE_SEQUENCE : ESCAPE_NONE;
    else if (c >= 0x40 && c <= 0x7e)
        screen.escape = ESCAPE_NONE;
    return true;
}

static void put_byte(u8 c)
{
    if (in_escape(c))
        return;
    switch (c) {
    case '\n':
        next_row();
        break;
    case '\r':
        screen.column = 0;
        break;
    case '\b':
        screen.column -= screen.column != 0;
        break;
    case '\t':
        do
            put_letter(' ');
        while (screen.column % TAB && screen.column < screen.columns);
        break;
    default:
        if (c >= ' ' && c != 0x7f)
            put_letter(c);
    }
}

/* A panic may interrupt a holder of the lock: after a while it goes on without. */
static void screen_write(const char *text, size_t len)
{
    u32 tries = 0;
    bool locked;

    while (!(locked = spin_trylock(&screen.lock)) && tries++ < 1000000)
        cpu_relax();
    for (size_t i = 0; i < len; i++)
        put_byte((u8)text[i]);
    if (locked)
        spin_unlock(&screen.lock);
}

/* ---- console port "tty0", for machines without a serial line ---- */

static ssize_t port_write(struct console_port *port, struct iov_iter *from)
{
    char chunk[CHUNK];
    ssize_t total = 0;
    size_t n;

    (void)port; /* the only one */
    while ((n = iter_read(from, chunk, min(from->left, sizeof(chunk)))) > 0) {
        screen_write(chunk, n);
        total += (ssize_t)n;
    }
    return total;
}

static ssize_t port_read(struct console_port *port, struct iov_iter *to)
{
    (void)port;
    (void)to;
    return 0; /* there is no keyboard */
}

static u32 port_ready(struct console_port *port)
{
    (void)port;
    return POLLOUT;
}

static void port_nothing(struct console_port *port)
{
    (void)port; /* there is no input, and output is out when write returns */
}

static const struct console_port_ops port_ops = {
    .write = port_write,
    .read = port_read,
    .ready = port_ready,
    .start_input = port_nothing,
    .drain = port_nothing,
};

/* ---- start ---- */

bool screen_is_done(void)
{
    const char *word = cmdline_get("ingot.screen");

    return screen.dots || (word && !strcmp(word, "off"));
}

void screen_start(u64 pa, u32 width, u32 height, u32 stride)
{
    u32 columns = width / CELL_WIDTH, rows = height / CELL_HEIGHT;

    if (screen_is_done() || !columns || rows < 2 || width > 16384 || height > 16384 ||
        stride % sizeof(u32) || stride / sizeof(u32) < width)
        return;
    volatile u32 *dots = plat.map_device(pa, (u64)stride * height);
    u8 *cells = kzalloc((size_t)columns * rows);
    if (!dots || !cells) {
        log_warn("screen: the frame buffer at %#lx cannot be used", pa);
        kfree(cells);
        return;
    }
    screen.dots = dots;
    screen.stride = stride / (u32)sizeof(u32);
    screen.columns = columns;
    screen.rows = rows;
    screen.cells = cells;
    spin_init(&screen.lock);
    str_copy(screen.port.name, "tty0", sizeof(screen.port.name));
    screen.port.ops = &port_ops;
    waitq_init(&screen.port.waitq);
    console_port_add(&screen.port);
    plat_screen_write = screen_write;
    log_debug("screen: %u by %u letters", columns, rows);
}

void screen_init(void)
{
    const struct plat_screen *s = &boot_info.screen;

    if (s->pa)
        screen_start(s->pa, s->width, s->height, s->stride);
}
