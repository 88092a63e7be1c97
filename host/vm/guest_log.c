#include "vm/guest_log.h"

#include "lib/buf.h"
#include "vm/report.h"

#include <stdlib.h>
#include <string.h>

enum {
    STATUS_ENGINE = 125, /* the guest itself failed */
    STATUS_NOT_EXECUTABLE = 126,
    STATUS_NOT_FOUND = 127,
};

void guest_log_init(struct guest_log *log,
                    void (*line)(void *context, enum guest_line kind, const char *text),
                    void *context)
{
    memset(log, 0, sizeof(*log));
    log->line = line;
    log->context = context;
}

void guest_log_fini(struct guest_log *log)
{
    for (size_t i = 0; i < GUEST_LOG_TAIL; i++)
        free(log->tail[i]);
    free(log->why);
    memset(log, 0, sizeof(*log));
}

/* "[    0.001234] text": the text. */
static const char *guest_log_text(const char *line)
{
    if (*line != '[')
        return line;
    const char *end = line + 1 + strspn(line + 1, " 0123456789.");
    if (*end != ']')
        return line;
    return end + 1 + (end[1] == ' ');
}

static bool guest_log_number(const char *text, int max, int *number)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end || value < 0 || value > max)
        return false;
    *number = (int)value;
    return true;
}

static bool guest_log_final(struct guest_log *log, const char *text)
{
    if (!str_starts(text, "ingot: "))
        return false;
    text += strlen("ingot: ");
    if (str_starts(text, "exit ") && guest_log_number(text + 5, 255, &log->number)) {
        log->end = GUEST_EXIT;
        return true;
    }
    if (str_starts(text, "signal ") && guest_log_number(text + 7, 64, &log->number)) {
        log->end = GUEST_SIGNAL;
        return true;
    }
    bool panic = str_starts(text, "panic: ");
    if (!panic && !str_starts(text, "error: "))
        return false;
    log->end = panic ? GUEST_PANIC : GUEST_ERROR;
    free(log->why);
    log->why = str_dup(text + 7);
    return true;
}

static void guest_log_line(struct guest_log *log, const char *line)
{
    const char *text = guest_log_text(line);
    char **slot = &log->tail[log->nr_lines++ % GUEST_LOG_TAIL];
    enum guest_line kind = GUEST_LINE_KERNEL;

    free(*slot);
    *slot = str_dup(line);
    if (guest_log_final(log, text)) {
        kind = GUEST_LINE_FINAL;
    } else if (str_starts(text, "trace: ")) {
        kind = GUEST_LINE_TRACE;
        text += strlen("trace: ");
    } else if (str_starts(text, "missing: ")) {
        kind = GUEST_LINE_MISSING;
        text += strlen("missing: ");
    }
    if (log->line)
        log->line(log->context, kind, text);
}

/* A guest is not trusted: what would steer the user's terminal is shown as dots. */
static char guest_log_printable(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? '.' : c;
}

/* A record between two lines, or the rest of one. */
static bool guest_log_is_record(const struct guest_log *log, char next)
{
    return log->report && (report_is_inside(log->report) ||
                           (!log->partial_len && next == (char)(REPORT_MAGIC & 0xff)));
}

void guest_log_feed(struct guest_log *log, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (guest_log_is_record(log, bytes[i])) {
            i += report_feed(log->report, bytes + i, len - i) - 1;
        } else if (bytes[i] == '\n') {
            guest_log_flush(log);
        } else if (bytes[i] != '\r' && bytes[i] != 0 && log->partial_len < GUEST_LOG_LINE - 1) {
            log->partial[log->partial_len++] = guest_log_printable(bytes[i]);
        }
    }
}

void guest_log_flush(struct guest_log *log)
{
    if (!log->partial_len)
        return;
    log->partial[log->partial_len] = 0;
    log->partial_len = 0;
    guest_log_line(log, log->partial);
}

void guest_log_print_tail(const struct guest_log *log, FILE *to, const char *prefix,
                          void (*symbolize)(void *context, const char *line, char *out,
                                            size_t size),
                          void *context)
{
    char out[GUEST_LOG_LINE + 256];
    size_t first = log->nr_lines > GUEST_LOG_TAIL ? log->nr_lines - GUEST_LOG_TAIL : 0;

    for (size_t i = first; i < log->nr_lines; i++) {
        const char *line = log->tail[i % GUEST_LOG_TAIL];
        if (symbolize) {
            symbolize(context, line, out, sizeof(out));
            line = out;
        }
        fprintf(to, "%s%s\n", prefix, line);
    }
}

static bool guest_log_says(const struct guest_log *log, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (log->why && strcasestr(log->why, words[i]))
            return true;
    return false;
}

int guest_log_status(const struct guest_log *log)
{
    static const char *const not_found[] = {"no such file", "not found"};
    static const char *const not_executable[] = {"not executable", "permission denied",
                                                 "exec format", "is a directory"};

    if (log->end == GUEST_EXIT)
        return log->number;
    if (log->end == GUEST_SIGNAL)
        return 128 + log->number;
    if (log->end == GUEST_ERROR && guest_log_says(log, not_found, ARRAY_LEN(not_found)))
        return STATUS_NOT_FOUND;
    if (log->end == GUEST_ERROR && guest_log_says(log, not_executable, ARRAY_LEN(not_executable)))
        return STATUS_NOT_EXECUTABLE;
    return STATUS_ENGINE;
}
