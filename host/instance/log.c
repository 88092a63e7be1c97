/* Lines to files, with rotation: `log` is written, `log.1` was before it, and so on.
 * A write that the disk took only in part is taken back, so that every line is whole. */
#include "instance/log.h"

#include "instance/instance.h"
#include "instance/log_priv.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const stream_names[] = {[LOG_STDOUT] = "stdout", [LOG_STDERR] = "stderr"};

static bool is_file(const struct log_writer *log)
{
    return log->options->kind == LOG_JSON || log->options->kind == LOG_TEXT;
}

static void open_file(struct log_writer *log)
{
    struct stat st;

    log->fd = openat(log->dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log->size = log->fd >= 0 && fstat(log->fd, &st) == 0 ? (u64)st.st_size : 0;
}

void log_init(struct log_writer *log, const struct log_options *options, int dir)
{
    *log = (struct log_writer){.options = options, .dir = dir, .fd = -1};
    if (is_file(log))
        open_file(log);
}

static void rotate(struct log_writer *log)
{
    char from[24], to[24];

    fd_close(&log->fd);
    log->fd = -1;
    for (unsigned i = log->options->max_files - 1; i > 0; i--) {
        snprintf(from, sizeof(from), i > 1 ? "log.%u" : "log", i - 1);
        snprintf(to, sizeof(to), "log.%u", i);
        renameat(log->dir, from, log->dir, to); /* those that are not there yet need no place */
    }
    if (log->options->max_files == 1)
        unlinkat(log->dir, "log", 0);
    open_file(log);
}

/* Length of the UTF-8 sequence at @s, 0 if it is none: RFC 3629, 4. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (!len || len > left || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

static void add_json_string(struct buf *out, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;

    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(s + i, len - i);
        if (s[i] == '"' || s[i] == '\\')
            buf_printf(out, "\\%c", s[i]);
        else if (!n)
            buf_puts(out, "\\ufffd");
        else if (n == 1 && s[i] < 0x20)
            buf_printf(out, "\\u%04x", s[i]);
        else
            buf_add(out, s + i, n);
        i += n ? n : 1;
    }
}

static void format_line(struct log_writer *log, enum log_stream stream, const char *line,
                        size_t len, bool whole)
{
    struct buf *out = &log->out;
    char time[40];

    instance_time(instance_clock(), time);
    if (log->options->kind == LOG_TEXT) {
        buf_printf(out, "%s %s %c ", time, stream_names[stream], whole ? 'F' : 'P');
        buf_add(out, line, len);
        buf_puts(out, "\n");
        return;
    }
    buf_puts(out, "{\"log\":\"");
    add_json_string(out, line, len);
    buf_printf(out, "%s\",\"stream\":\"%s\",\"time\":\"%s\"}\n", whole ? "\\n" : "",
               stream_names[stream], time);
}

/* All lines that one piece of output made, in one write. */
static void write_out(struct log_writer *log)
{
    struct buf *out = &log->out;

    if (!out->len)
        return;
    if (log->fd < 0)
        open_file(log);
    if (log->options->max_size && log->size && log->size + out->len > log->options->max_size)
        rotate(log);
    ssize_t put = log->fd < 0 ? -1 : write(log->fd, out->data, out->len);
    if (put == (ssize_t)out->len) {
        log->size += (u64)put;
    } else {
        if (put > 0 && ftruncate(log->fd, (off_t)log->size) < 0)
            log->size += (u64)put; /* half a line stays, and readers pass over it */
        log->lost += log->out_lines;
    }
    out->len = 0;
    log->out_lines = 0;
}

static void take_line(struct log_writer *log, enum log_stream stream, const char *line, size_t len,
                      bool whole)
{
    if (log->options->kind == LOG_NONE)
        return;
    if (!is_file(log)) {
        log->lost += !log_send(log, stream, line, len);
        return;
    }
    format_line(log, stream, line, len, whole);
    log->out_lines++;
    if (log->out.len > LOG_LINE_MAX * 4)
        write_out(log);
}

static void take_partial(struct log_writer *log, enum log_stream stream, bool whole)
{
    struct buf *partial = &log->partial[stream];

    take_line(log, stream, buf_text(partial), partial->len, whole);
    partial->len = 0;
}

void log_feed(struct log_writer *log, enum log_stream stream, const char *bytes, size_t len)
{
    struct buf *partial = &log->partial[stream];

    while (len) {
        const char *end = memchr(bytes, '\n', len);
        size_t piece = min(end ? (size_t)(end - bytes) : len, LOG_LINE_MAX - partial->len);
        bool whole = end && bytes + piece == end;
        buf_add(partial, bytes, piece);
        bytes += piece + whole;
        len -= piece + whole;
        if (whole || partial->len >= LOG_LINE_MAX)
            take_partial(log, stream, whole);
    }
    if (is_file(log))
        write_out(log);
}

void log_flush(struct log_writer *log)
{
    for (int stream = 0; stream < NR_LOG_STREAMS; stream++)
        if (log->partial[stream].len)
            take_partial(log, (enum log_stream)stream, false);
    if (is_file(log))
        write_out(log);
}

void log_fini(struct log_writer *log)
{
    log_flush(log);
    for (int stream = 0; stream < NR_LOG_STREAMS; stream++)
        buf_free(&log->partial[stream]);
    buf_free(&log->out);
    fd_close(&log->fd);
}
