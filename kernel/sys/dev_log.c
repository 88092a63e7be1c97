/* What programs say through syslog(3): a line "PROGRAM: text" on standard error for each message,
 * whatever its priority.  Messages are as RFC 3164 has them and libc writes them,
 * "<30>Nov  2 09:15:00 PROGRAM[42]: text"; all but the text may be missing, and the machine's name
 * may come after the time. */
#include "core/hostname.h"
#include "drv/console.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "sys/socket_file.h"

enum {
    TEXT_MAX = 8192,                                /* what is longer is cut, as rsyslogd does */
    FRONT = sizeof(((struct thread *)0)->name) + 2, /* for a program's name and ": " */
    BACK = 2,                                       /* stdio_say() ends the line */
};

/* All these: what comes after it where @text begins with it, else @text, which ends in a zero. */

static char *skip_priority(char *text)
{
    char *end = *text == '<' ? strchr(text, '>') : NULL;

    return end && end - text <= 4 ? end + 1 : text;
}

static char *skip_time(char *text)
{
    static const char form[] = "Mmm dd hh:mm:ss ";

    if (strlen(text) < sizeof(form) - 1)
        return text;
    for (u32 i = 0; form[i]; i++)
        if ((form[i] == ' ' || form[i] == ':') && text[i] != form[i])
            return text;
    return text + sizeof(form) - 1;
}

static char *skip_hostname(char *text)
{
    size_t n = strlen(hostname);

    return n && !strncmp(text, hostname, n) && text[n] == ' ' ? text + n + 1 : text;
}

/* Put the program's name in front of @text, without a process's number: where the line begins. */
static char *name_program(char *text)
{
    char *end = text, *name = current->name;

    while (*end > ' ' && *end != ':')
        end++;
    size_t n = strnlen(name, sizeof(current->name));
    if (end > text && end[0] == ':' && end[1] == ' ') {
        char *pid = strchr(text, '[');
        name = text;
        n = (size_t)((pid && pid < end ? pid : end) - text);
        text = end + 2;
    }
    text -= 2;
    memcpy(text, ": ", 2);
    return memmove(text - n, name, n);
}

int dev_log_send(struct iov_iter *from, u32 len, bool wait)
{
    size_t n = min(len, (u32)TEXT_MAX);
    char *room = kmalloc(FRONT + n + 1 + BACK);
    int err = room ? 0 : -ENOBUFS;

    if (room && iter_read(from, room + FRONT, n) < n)
        err = -EFAULT;
    if (!err) {
        char *text = room + FRONT, *end = text + n;
        while (end > text && (u8)end[-1] <= ' ') /* a zero, or a newline */
            end--;
        for (char *at = text; at < end; at++)
            if ((u8)*at < ' ' && *at != '\t')
                *at = ' ';
        *end = 0;
        text = name_program(skip_hostname(skip_time(skip_priority(text))));
        err = stdio_say(text, (size_t)(end - text), wait);
    }
    kfree(room);
    return err;
}
