/* The line discipline, by a table of what is typed, what the terminal then shows, and what a
 * program reads.  In the tables a line's end is shown as the reader sees it; "|" parts two reads.
 */
#include "unit/test.h"

#include "drv/tty_line.h"

enum { SIG_INT = 2, SIG_QUIT = 3, SIG_TSTP = 20 };

static char shown[4096];
static size_t shown_len;
static int last_signal;

static void echo(struct tty_line *line, const u8 *buf, size_t n)
{
    (void)line;
    memcpy(shown + shown_len, buf, n);
    shown_len += n;
    shown[shown_len] = 0;
}

static void got_signal(struct tty_line *line, int sig)
{
    (void)line;
    last_signal = sig;
}

static struct tty_line *fresh_line(void)
{
    static struct tty_line line;

    tty_line_init(&line);
    line.echo = echo;
    line.signal = got_signal;
    shown_len = 0;
    shown[0] = 0;
    last_signal = 0;
    return &line;
}

static void type_bytes(struct tty_line *line, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tty_line_input(line, (u8)text[i]);
}

static void type(struct tty_line *line, const char *text)
{
    type_bytes(line, text, strlen(text));
}

/* All that can be read, reads parted by "|". */
static const char *read_all(struct tty_line *line, size_t chunk)
{
    static char out[8192];
    size_t len = 0;
    bool end;

    out[0] = 0;
    while (tty_line_readable(line)) {
        if (len)
            out[len++] = '|';
        len += tty_line_read(line, (u8 *)out + len, chunk, &end);
        out[len] = 0;
    }
    return out;
}

TEST(a_line_is_edited_before_it_is_read)
{
    static const struct {
        const char *typed, *shown, *read, *why;
    } table[] = {
        {"hello\n", "hello\r\n", "hello\n", "a plain line"},
        {"hello\r", "hello\r\n", "hello\n", "return is a new line"},
        {"hello", "hello", "", "no line yet"},
        {"ab\177c\n", "ab\b \bc\r\n", "ac\n", "erase"},
        {"\177\n", "\r\n", "\n", "nothing to erase"},
        {"a\n\177\n", "a\r\n\r\n", "a\n|\n", "a line that is ended cannot be erased"},
        {"abc\025x\n", "abc\b \b\b \b\b \bx\r\n", "x\n", "kill the line"},
        {"one two\027x\n", "one two\b \b\b \b\b \bx\r\n", "one x\n", "erase a word"},
        {"one  \027x\n", "one  \b \b\b \b\b \b\b \b\b \bx\r\n", "x\n", "and blanks behind it"},
        {"\001\177\n", "^A\b \b\b \b\r\n", "\n", "a control character takes two columns"},
        {"\303\244\177\n", "\303\244\b \b\r\n", "\n", "UTF-8: two bytes, one column"},
        {"a\tb\177\177\n", "a\tb\b \b\b\b\b\b\b\b\b\r\n", "a\n", "a tab goes back to where it was"},
        {"ab\022\n", "ab^R\r\nab\r\n", "ab\n", "reprint"},
        {"a\026\003b\n", "a^\b^Cb\r\n", "a\003b\n", "literal next"},
        {"ab\004", "ab", "ab", "end of file behind bytes: a line without its end"},
        {"\004", "", "", "end of file: a read of nothing"},
        {"a\nb\n", "a\r\nb\r\n", "a\n|b\n", "one line a read"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct tty_line *line = fresh_line();
        type(line, table[i].typed);
        EXPECT_STR(shown, table[i].shown, table[i].why);
        EXPECT_STR(read_all(line, 512), table[i].read, table[i].why);
    }
}

TEST(end_of_file_is_readable_and_gives_nothing_once)
{
    struct tty_line *line = fresh_line();
    bool end = false;
    u8 buf[8];

    type(line, "\004");
    EXPECT_TRUE(tty_line_readable(line), "the end is there to be read");
    EXPECT_EQ(tty_line_bytes(line), 0, "FIONREAD counts bytes only");
    EXPECT_EQ(tty_line_read(line, buf, sizeof(buf), &end), 0, NULL);
    EXPECT_TRUE(end, "an end, not an empty queue");
    EXPECT_FALSE(tty_line_readable(line), "once");
}

TEST(a_read_that_a_line_fills_takes_its_end_of_file_along)
{
    struct tty_line *line = fresh_line();
    bool end = false;
    u8 buf[8];

    type(line, "abc\004def\n");
    EXPECT_EQ(tty_line_read(line, buf, 3, &end), 3, NULL);
    EXPECT_TRUE(end, "no empty read is left behind");
    EXPECT_EQ(tty_line_read(line, buf, 8, &end), 4, "the next line");
}

TEST(a_long_line_is_read_in_parts)
{
    struct tty_line *line = fresh_line();

    type(line, "abcdef\n");
    EXPECT_STR(read_all(line, 3), "abc|def|\n", NULL);
}

TEST(signal_characters_flush_and_signal)
{
    static const struct {
        const char *typed;
        int sig;
        const char *shown;
    } table[] = {
        {"ab\003", SIG_INT, "ab^C"}, {"ab\034", SIG_QUIT, "ab^\\"}, {"ab\032", SIG_TSTP, "ab^Z"}};

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct tty_line *line = fresh_line();
        type(line, table[i].typed);
        EXPECT_EQ(last_signal, table[i].sig, NULL);
        EXPECT_STR(shown, table[i].shown, NULL);
        type(line, "x\n");
        EXPECT_STR(read_all(line, 64), "x\n", "what was typed before is gone");
    }
}

TEST(without_isig_they_are_bytes)
{
    struct tty_line *line = fresh_line();
    struct termios_abi t = line->t;

    t.lflag &= ~(u32)TTY_ISIG;
    tty_line_set(line, &t);
    type(line, "\003\n");
    EXPECT_EQ(last_signal, 0, NULL);
    EXPECT_STR(read_all(line, 64), "\003\n", NULL);
}

TEST(raw_mode_gives_each_byte_at_once)
{
    struct tty_line *line = fresh_line();
    struct termios_abi t = line->t;

    t.lflag &= ~(u32)(TTY_ICANON | TTY_ECHO | TTY_ISIG | TTY_IEXTEN);
    t.iflag &= ~(u32)(TTY_ICRNL | TTY_IXON);
    tty_line_set(line, &t);
    type(line, "a\r\003\177\004");
    EXPECT_STR(read_all(line, 64), "a\r\003\177\004", NULL);
    EXPECT_STR(shown, "", "no echo");
    type_bytes(line, "\0", 1);
    EXPECT_EQ(tty_line_bytes(line), 1, "a NUL is a byte too");
}

TEST(leaving_canonical_mode_gives_what_was_typed)
{
    struct tty_line *line = fresh_line();
    struct termios_abi t = line->t;

    type(line, "part");
    EXPECT_FALSE(tty_line_readable(line), NULL);
    t.lflag &= ~(u32)TTY_ICANON;
    tty_line_set(line, &t);
    EXPECT_STR(read_all(line, 64), "part", NULL);
}

TEST(an_overlong_line_is_cut_but_still_ends)
{
    struct tty_line *line = fresh_line();
    static u8 buf[TTY_RING];
    bool end = false;
    size_t n = 0;

    line->t.lflag &= ~(u32)TTY_ECHO;
    for (int i = 0; i < 2 * TTY_RING; i++)
        tty_line_input(line, 'x');
    tty_line_input(line, '\n');
    while (!end)
        n += tty_line_read(line, buf, sizeof(buf), &end);
    EXPECT_EQ(n, TTY_RING, "4095 characters and the end");
    type(line, "ok\n");
    EXPECT_STR(read_all(line, 64), "ok\n", "and it goes on");
}

TEST(flow_control_stops_and_starts_output)
{
    struct tty_line *line = fresh_line();

    type(line, "\023");
    EXPECT_TRUE(line->stopped, "^S");
    type(line, "\021");
    EXPECT_FALSE(line->stopped, "^Q");
    EXPECT_STR(shown, "", "neither is shown");
}

static const char *printed(struct tty_line *line, const char *text)
{
    static char out[256];
    size_t made;

    tty_line_output(line, (const u8 *)text, strlen(text), (u8 *)out, sizeof(out) - 1, &made);
    out[made] = 0;
    return out;
}

TEST(output_is_processed)
{
    struct tty_line *line = fresh_line();

    EXPECT_STR(printed(line, "a\nb"), "a\r\nb", "ONLCR");
    line->t.oflag |= TTY_XTABS;
    EXPECT_STR(printed(line, "\tc"), "       c", "a tab from column 1 to 8");
    line->t.oflag = 0;
    EXPECT_STR(printed(line, "a\n\t"), "a\n\t", "raw");
}

TEST(output_never_overflows_its_buffer)
{
    struct tty_line *line = fresh_line();
    u8 out[16];
    size_t made, used;

    used =
        tty_line_output(line, (const u8 *)"\n\n\n\n\n\n\n\n\n\n\n\n", 12, out, sizeof(out), &made);
    EXPECT_TRUE(made <= sizeof(out), NULL);
    EXPECT_EQ(made, used * 2, NULL);
    EXPECT_TRUE(used < 12, "the rest waits for the next call");
}
