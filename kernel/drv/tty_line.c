/* The line discipline.  A line is typed into the ring between line_end and head, where it can be
 * edited; its last character moves line_end behind it.  The place of an end of file holds a NUL
 * that is marked as an end and never given to the reader. */
#include "drv/tty_line.h"

#include "abi/signal.h"
#include "lib/string.h"

enum { CTRL_D = 4, TAB_STOP = TTY_OUTPUT_MAX, DEL = 0x7f };

static bool is_end(const struct tty_line *line, u32 at)
{
    at %= TTY_RING;
    return line->ends[at / 64] >> (at % 64) & 1;
}

static void set_end(struct tty_line *line, u32 at, bool end)
{
    at %= TTY_RING;
    if (end)
        line->ends[at / 64] |= BIT(at % 64);
    else
        line->ends[at / 64] &= ~BIT(at % 64);
}

static u8 char_at(const struct tty_line *line, u32 at)
{
    return line->ring[at % TTY_RING];
}

static bool local(const struct tty_line *line, u32 flag)
{
    return line->t.lflag & flag;
}

/* A control character that is typed: 0 in cc[] means none is set. */
static bool is_cc(const struct tty_line *line, enum tty_cc which, u8 c)
{
    return c && line->t.cc[which] == c;
}

static bool is_control(u8 c)
{
    return c < ' ' || c == DEL;
}

static bool shown_as_caret(const struct tty_line *line, u8 c)
{
    return local(line, TTY_ECHOCTL) && is_control(c) && c != '\t' && c != '\n';
}

static bool is_continuation(const struct tty_line *line, u8 c)
{
    return (line->t.iflag & TTY_IUTF8) && (c & 0xc0) == 0x80;
}

void tty_line_init(struct tty_line *line)
{
    static const u8 cc[TTY_NCCS] = {
        [TTY_VINTR] = 3,     [TTY_VQUIT] = 28,    [TTY_VERASE] = DEL, [TTY_VKILL] = 21,
        [TTY_VEOF] = CTRL_D, [TTY_VMIN] = 1,      [TTY_VSTART] = 17,  [TTY_VSTOP] = 19,
        [TTY_VSUSP] = 26,    [TTY_VREPRINT] = 18, [TTY_VWERASE] = 23, [TTY_VLNEXT] = 22,
    };

    memset(line, 0, sizeof(*line));
    line->t.iflag = TTY_ICRNL | TTY_IXON | TTY_IUTF8;
    line->t.oflag = TTY_OPOST | TTY_ONLCR;
    line->t.cflag = TTY_B38400 | TTY_CS8 | TTY_CREAD | TTY_HUPCL;
    line->t.lflag = TTY_ISIG | TTY_ICANON | TTY_ECHO | TTY_ECHOE | TTY_ECHOK | TTY_ECHOCTL |
                    TTY_ECHOKE | TTY_IEXTEN;
    memcpy(line->t.cc, cc, sizeof(cc));
}

/* Follow the cursor over one byte that goes to the terminal. */
static void track_column(struct tty_line *line, u8 c)
{
    if (c == '\r')
        line->column = 0;
    else if (c == '\b')
        line->column -= line->column > 0;
    else if (c == '\t')
        line->column = ALIGN_DOWN(line->column, TAB_STOP) + TAB_STOP;
    else if (!is_control(c) && !is_continuation(line, c))
        line->column++;
}

/* One byte of the program's into @out of at least 8 bytes; its length. */
static size_t output_char(struct tty_line *line, u8 c, u8 *out)
{
    u32 flags = line->t.oflag;
    size_t n = 0;

    if (!(flags & TTY_OPOST)) {
        out[0] = c;
        return 1;
    }
    if (c == '\r' && (flags & TTY_ONOCR) && line->column == 0)
        return 0;
    if (c == '\r' && (flags & TTY_OCRNL))
        c = '\n';
    if (c == '\t' && (flags & TTY_XTABS) == TTY_XTABS) {
        do
            out[n++] = ' ';
        while ((line->column + n) % TAB_STOP);
        line->column += n;
        return n;
    }
    if (c == '\n' && (flags & (TTY_ONLCR | TTY_ONLRET)))
        line->column = 0;
    if (c == '\n' && (flags & TTY_ONLCR))
        out[n++] = '\r';
    out[n++] = c;
    track_column(line, c);
    return n;
}

size_t tty_line_output(struct tty_line *line, const u8 *in, size_t n, u8 *out, size_t size,
                       size_t *made)
{
    size_t used = 0, len = 0;

    while (used < n && len + TAB_STOP <= size)
        len += output_char(line, in[used++], out + len);
    *made = len;
    return used;
}

static void echo_bytes(struct tty_line *line, const char *text)
{
    line->echo(line, (const u8 *)text, strlen(text));
}

static void echo_char(struct tty_line *line, u8 c)
{
    u8 out[TAB_STOP];

    if (shown_as_caret(line, c)) {
        out[0] = '^';
        out[1] = c ^ 0x40;
        line->column += 2;
        line->echo(line, out, 2);
        return;
    }
    line->echo(line, out, output_char(line, c, out));
}

/* Columns that the typed characters from @from to @to take, the cursor having begun at @column. */
static u32 columns_of(const struct tty_line *line, u32 from, u32 to, u32 column)
{
    u32 start = column;

    for (; from != to; from++) {
        u8 c = char_at(line, from);
        if (c == '\t')
            column = ALIGN_DOWN(column, TAB_STOP) + TAB_STOP;
        else if (shown_as_caret(line, c))
            column += 2;
        else if (!is_control(c) && !is_continuation(line, c))
            column++;
    }
    return column - start;
}

/* Drop the last typed character, all its bytes. */
static void drop_char(struct tty_line *line)
{
    do
        line->head--;
    while (line->head != line->line_end && is_continuation(line, char_at(line, line->head)));
}

/* Rub out on the terminal what was dropped behind head, which ended at @old_head. */
static void echo_rubout(struct tty_line *line, u32 old_head)
{
    u32 before = columns_of(line, line->line_end, line->head, line->canon_column);
    u32 n = columns_of(line, line->head, old_head, line->canon_column + before);
    bool tab = old_head - line->head == 1 && char_at(line, line->head) == '\t';

    for (u32 i = 0; i < n; i++)
        echo_bytes(line, tab ? "\b" : "\b \b");
    line->column -= min(n, line->column);
}

static bool is_word(u8 c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
           c >= 0x80;
}

static void erase_char(struct tty_line *line)
{
    u32 old = line->head;

    if (old == line->line_end)
        return;
    drop_char(line);
    if (!local(line, TTY_ECHO))
        return;
    if (local(line, TTY_ECHOE))
        echo_rubout(line, old);
    else
        echo_char(line, line->t.cc[TTY_VERASE]);
}

static void erase_word(struct tty_line *line)
{
    bool seen = false;

    while (line->head != line->line_end) {
        bool word = is_word(char_at(line, line->head - 1));
        if (seen && !word)
            return;
        seen |= word;
        erase_char(line);
    }
}

static void erase_line(struct tty_line *line)
{
    if (local(line, TTY_ECHO) && local(line, TTY_ECHOKE) && local(line, TTY_ECHOE)) {
        while (line->head != line->line_end)
            erase_char(line);
        return;
    }
    line->head = line->line_end;
    if (!local(line, TTY_ECHO))
        return;
    echo_char(line, line->t.cc[TTY_VKILL]);
    if (local(line, TTY_ECHOK))
        echo_char(line, '\n');
}

static void reprint_line(struct tty_line *line)
{
    echo_char(line, line->t.cc[TTY_VREPRINT]);
    echo_char(line, '\n');
    line->canon_column = line->column;
    for (u32 at = line->line_end; at != line->head; at++)
        echo_char(line, char_at(line, at));
}

static void store(struct tty_line *line, u8 c, bool end)
{
    line->ring[line->head % TTY_RING] = c;
    set_end(line, line->head, end);
    line->head++;
    if (end || !local(line, TTY_ICANON))
        line->line_end = line->head;
}

/* Room for @c; the last place is kept for the end of the line. */
static bool has_room(const struct tty_line *line, bool end)
{
    return line->head - line->tail < (u32)TTY_RING - (end ? 0 : 1);
}

static void end_line(struct tty_line *line, u8 stored, bool echo)
{
    if (!has_room(line, true))
        return;
    if (echo)
        echo_char(line, stored);
    store(line, stored, true);
    line->canon_column = line->column;
}

static void add_char(struct tty_line *line, u8 c)
{
    if (!has_room(line, false)) {
        if (local(line, TTY_ICANON) && local(line, TTY_ECHO))
            echo_bytes(line, "\a");
        return;
    }
    if (line->head == line->line_end)
        line->canon_column = line->column;
    if (local(line, TTY_ECHO))
        echo_char(line, c);
    store(line, c, false);
}

/* The characters that edit or end a line. True if @c was one. */
static bool edit_line(struct tty_line *line, u8 c)
{
    bool extended = local(line, TTY_IEXTEN);

    if (is_cc(line, TTY_VERASE, c))
        erase_char(line);
    else if (is_cc(line, TTY_VKILL, c))
        erase_line(line);
    else if (is_cc(line, TTY_VWERASE, c) && extended)
        erase_word(line);
    else if (is_cc(line, TTY_VREPRINT, c) && extended && local(line, TTY_ECHO))
        reprint_line(line);
    else if (is_cc(line, TTY_VEOF, c))
        end_line(line, 0, false);
    else if (c == '\n')
        end_line(line, c, local(line, TTY_ECHO) || local(line, TTY_ECHONL));
    else if (is_cc(line, TTY_VEOL, c) || (is_cc(line, TTY_VEOL2, c) && extended))
        end_line(line, c, local(line, TTY_ECHO));
    else
        return false;
    return true;
}

static void send_signal(struct tty_line *line, int sig, u8 c)
{
    if (!local(line, TTY_NOFLSH))
        tty_line_flush(line);
    line->stopped = false;
    if (local(line, TTY_ECHO))
        echo_char(line, c);
    line->signal(line, sig);
}

static bool signal_char(struct tty_line *line, u8 c)
{
    if (!local(line, TTY_ISIG))
        return false;
    if (is_cc(line, TTY_VINTR, c))
        send_signal(line, SIGINT, c);
    else if (is_cc(line, TTY_VQUIT, c))
        send_signal(line, SIGQUIT, c);
    else if (is_cc(line, TTY_VSUSP, c))
        send_signal(line, SIGTSTP, c);
    else
        return false;
    return true;
}

static bool flow_char(struct tty_line *line, u8 c)
{
    if (!(line->t.iflag & TTY_IXON))
        return false;
    if (is_cc(line, TTY_VSTART, c))
        line->stopped = false;
    else if (is_cc(line, TTY_VSTOP, c))
        line->stopped = true;
    else
        return false;
    return true;
}

static bool take_literal(struct tty_line *line, u8 c)
{
    if (line->literal) {
        line->literal = false;
        add_char(line, c);
        return true;
    }
    if (!is_cc(line, TTY_VLNEXT, c) || !local(line, TTY_IEXTEN) || !local(line, TTY_ICANON))
        return false;
    line->literal = true;
    if (local(line, TTY_ECHO) && local(line, TTY_ECHOCTL))
        echo_bytes(line, "^\b");
    return true;
}

void tty_line_input(struct tty_line *line, u8 c)
{
    u32 flags = line->t.iflag;

    if (flags & TTY_ISTRIP)
        c &= 0x7f;
    if (take_literal(line, c) || flow_char(line, c))
        return;
    if ((flags & TTY_IXON) && (flags & TTY_IXANY))
        line->stopped = false;
    if (signal_char(line, c))
        return;
    if (c == '\r' && (flags & TTY_IGNCR))
        return;
    if (c == '\r' && (flags & TTY_ICRNL))
        c = '\n';
    else if (c == '\n' && (flags & TTY_INLCR))
        c = '\r';
    if (local(line, TTY_ICANON) && edit_line(line, c))
        return;
    add_char(line, c);
}

bool tty_line_readable(const struct tty_line *line)
{
    return line->line_end != line->tail;
}

u32 tty_line_bytes(const struct tty_line *line)
{
    u32 n = line->line_end - line->tail;

    for (u32 at = line->tail; at != line->line_end; at++)
        n -= !char_at(line, at) && is_end(line, at);
    return n;
}

size_t tty_line_read(struct tty_line *line, u8 *buf, size_t n, bool *end)
{
    size_t done = 0;

    *end = false;
    while (line->tail != line->line_end && !*end) {
        u8 c = char_at(line, line->tail);
        *end = local(line, TTY_ICANON) && is_end(line, line->tail);
        bool eof = *end && !c;
        if (!eof && done == n) {
            *end = false;
            break;
        }
        line->tail++;
        if (!eof)
            buf[done++] = c;
    }
    return done;
}

void tty_line_set(struct tty_line *line, const struct termios_abi *t)
{
    bool was_canon = local(line, TTY_ICANON);

    line->t = *t;
    if (!(t->iflag & TTY_IXON))
        line->stopped = false;
    if (was_canon && !(t->lflag & TTY_ICANON)) {
        line->line_end = line->head;
        line->literal = false;
    }
}

void tty_line_flush(struct tty_line *line)
{
    line->head = line->line_end = line->tail = 0;
    line->literal = false;
    line->canon_column = line->column;
    memset(line->ends, 0, sizeof(line->ends));
}
