/* Lines to a daemon of the host: syslog (RFC 3164 as libc writes it to /dev/log) and journald (its
 * native protocol, systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a line, never waiting. */
#include "instance/log_priv.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    FACILITY_DAEMON = 3,
    PRIORITY_ERROR = 3,
    PRIORITY_INFO = 6,
};

static void connect_daemon(struct log_writer *log)
{
    const struct log_options *options = log->options;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *usual = options->kind == LOG_SYSLOG ? "/dev/log" : "/run/systemd/journal/socket";

    str_copy(address.sun_path, *options->address ? options->address : usual,
             sizeof(address.sun_path));
    log->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (log->fd >= 0 && connect(log->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fd_close(&log->fd), log->fd = -1;
}

static void format_syslog(struct buf *out, const struct log_options *options, int priority)
{
    char when[32];
    struct tm tm;
    time_t now = time(NULL);

    localtime_r(&now, &tm);
    strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
    buf_printf(out, "<%d>%s %s[%d]: ", FACILITY_DAEMON * 8 + priority, when, options->tag,
               (int)getpid());
}

static void format_journal(struct buf *out, const struct log_options *options, int priority)
{
    buf_printf(out, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nCONTAINER_NAME=%s\nMESSAGE=", priority,
               options->tag, options->tag);
}

static bool send_once(struct log_writer *log, const struct buf *message)
{
    if (log->fd < 0)
        connect_daemon(log);
    return log->fd >= 0 && send(log->fd, message->data, message->len, MSG_NOSIGNAL) >= 0;
}

bool log_send(struct log_writer *log, enum log_stream stream, const char *line, size_t len)
{
    struct buf message CLEANUP(buf_free) = {0};
    int priority = stream == LOG_STDERR ? PRIORITY_ERROR : PRIORITY_INFO;
    bool journal = log->options->kind == LOG_JOURNALD;

    if (journal)
        format_journal(&message, log->options, priority);
    else
        format_syslog(&message, log->options, priority);
    buf_add(&message, line, len);
    if (journal)
        buf_puts(&message, "\n");
    if (send_once(log, &message))
        return true;
    if (errno == EAGAIN || errno == EMSGSIZE)
        return false;
    fd_close(&log->fd); /* the daemon was restarted: its socket is another one */
    log->fd = -1;
    return send_once(log, &message);
}
