/* One line a request, one answer each, in order.  Nothing here is quick or often used; whoever has
 * the other end owns the machine, so the words are few to keep them simple, not to keep him out. */
#include "drv/operator.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/hostname.h"
#include "core/init.h"
#include "core/log.h"
#include "core/random.h"
#include "core/time.h"
#include "drv/console_port.h"
#include "drv/tty.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/identity.h"
#include "net/netif.h"
#include "sched/thread.h"
#include "vfs/path.h"

enum { REQUEST_MAX = 512, ANSWER_MAX = 64 << 10, TAG_MAX = 32, MAX_SIZE = 0xffff };
#define PATIENCE_NS (2 * NSEC_PER_SEC)

/* Only its own thread touches it. */
struct listener {
    struct console_port *port;
    size_t len;
    bool skip;       /* the rest of a line that was too long */
    const char *tag; /* "#WORD" of this request, in .line; NULL: it has none */
    char line[REQUEST_MAX];
};

static void send(struct listener *op, void *bytes, size_t len)
{
    struct console_port *port = op->port;
    struct iov_iter from;
    struct iovec iov;

    iter_init_kernel(&from, &iov, bytes, len);
    while (from.left) {
        /* That he is there comes by another queue than what he says, and maybe later. */
        u64 deadline = time_after_ns(PATIENCE_NS);
        if (wait_event(&port->waitq, port->ops->ready(port) & POLLOUT, false, deadline) ||
            port->ops->write(port, &from) < 0)
            return; /* he has hung up, or reads nothing */
    }
}

/* The first line of an answer, behind the request's tag: who gave up waiting for the last answer
 * finds his own by it. */
static void send_text(struct listener *op, const char *text)
{
    char copy[128];
    int len = format(copy, sizeof(copy), op->tag ? "%s %s" : "%s%s", op->tag ? op->tag : "", text);

    send(op, copy, min((size_t)len, sizeof(copy) - 1));
}

/* The next word of *@rest, or NULL. */
static char *next_word(char **rest)
{
    char *word = *rest;

    while (*word == ' ')
        word++;
    if (!*word)
        return NULL;
    char *end = strchr(word, ' ');
    *rest = end ? end + 1 : word + strlen(word);
    if (end)
        *end = 0;
    return word;
}

/* Only files of the whole machine: those of a process expect a process to ask.  But for where the
 * program lies, which a debugger needs. */
static bool may_read(const char *path)
{
    const char *name = path + strlen("/proc/");

    if (!strcmp(path, "/proc/1/maps"))
        return true;
    return str_starts(path, "/proc/") && !strstr(path, "..") && !(*name >= '0' && *name <= '9') &&
           !str_starts(name, "self") && !str_starts(name, "thread-self");
}

/* "cat /proc/NAME": "ok LENGTH", then the file. */
static void answer_file(struct listener *op, const char *path)
{
    struct file *file;
    char head[32];

    if (str_starts(path, "/proc/net/") && !net_is_started()) {
        send_text(op, "ok 0\n"); /* a look from outside is no use of the network */
        return;
    }
    if (!may_read(path)) {
        send_text(op, "error only machine-wide files of /proc can be read\n");
        return;
    }
    char *text = kmalloc(ANSWER_MAX);
    int err = text ? vfs_open(path, O_RDONLY, 0, &file) : -ENOMEM;
    if (err) {
        kfree(text);
        send_text(op, err == -ENOMEM ? "error no memory\n" : "error no such file\n");
        return;
    }
    ssize_t len = 0, got;
    while (len < ANSWER_MAX &&
           (got = file_read_kernel(file, text + len, (size_t)(ANSWER_MAX - len), len)) > 0)
        len += got;
    file_put(file);
    format(head, sizeof(head), "ok %zd\n", len);
    send_text(op, head);
    send(op, text, (size_t)len);
    kfree(text);
}

/* Everything that a copy of a machine must not share with the other, and what it slept through. */
static void resume_word(const char *word)
{
    u64 ns;

    if (str_starts(word, "time=") && !str_to_u64(word + strlen("time="), &ns))
        time_set_real(ns);
    else if (str_starts(word, "seed="))
        random_add_entropy(word, strlen(word));
    else if (str_starts(word, "hostname="))
        str_copy(hostname, word + strlen("hostname="), sizeof(hostname));
    else
        log_warn("operator: resume: '%s' is not known", word);
}

static int announce(struct netif *netif, void *unused)
{
    (void)unused;
    if (netif->flags & NETIF_UP)
        netif_announce(netif);
    return 0;
}

/* Returns the answer. */
static const char *change_identity(const char *mac_text, const char *ip)
{
    u8 mac[6];

    if (!net_parse_mac(mac_text, mac))
        return "error mac= is no address of one host\n";
    return net_change_identity(mac, ip) ? "error it has no interface\n" : "ok 0\n";
}

static void answer_resume(struct listener *op, char *rest)
{
    const char *mac = NULL, *ip = NULL, *result = "ok 0\n";

    for (char *word = next_word(&rest); word; word = next_word(&rest)) {
        if (str_starts(word, "mac="))
            mac = word + strlen("mac=");
        else if (str_starts(word, "ip="))
            ip = word + strlen("ip=");
        else
            resume_word(word);
    }
    if (mac)
        result = change_identity(mac, ip); /* after the seed: it draws random numbers */
    netif_for_each(announce, NULL);
    send_text(op, result);
}

/* "size COLUMNS ROWS".  Who attaches to a terminal sees nothing of it before the program draws it
 * anew, so that is told in any case. */
static const char *change_size(char *rest)
{
    struct console_port *port = console_port_find("ingot.tty");
    struct tty *tty = port ? tty_of_port(port) : NULL;
    const char *columns = next_word(&rest), *rows = columns ? next_word(&rest) : NULL;
    u64 x, y;

    if (!tty)
        return "error it has no terminal\n";
    if (!rows || str_to_u64(columns, &x) || str_to_u64(rows, &y) || x > MAX_SIZE || y > MAX_SIZE)
        return "error size COLUMNS ROWS\n";
    tty_set_size(tty, &(struct winsize_abi){.cols = (u16)x, .rows = (u16)y}, true);
    return "ok 0\n";
}

static void answer(struct listener *op)
{
    char *rest = op->line, *word = next_word(&rest), *argument;

    op->tag = word && *word == '#' && strlen(word) <= TAG_MAX ? word : NULL;
    if (op->tag)
        word = next_word(&rest);
    if (!word)
        return;
    if (!strcmp(word, "cat") && (argument = next_word(&rest)))
        answer_file(op, argument);
    else if (!strcmp(word, "resume"))
        answer_resume(op, rest);
    else if (!strcmp(word, "size"))
        send_text(op, change_size(rest));
    else
        send_text(op, "error unknown request\n");
}

static void take(struct listener *op, char c)
{
    if (c != '\n') {
        op->skip |= op->len == REQUEST_MAX - 1;
        if (!op->skip)
            op->line[op->len++] = c;
        return;
    }
    op->line[op->len] = 0;
    op->tag = NULL;
    if (op->skip)
        send_text(op, "error too long a line\n");
    else
        answer(op);
    op->len = 0;
    op->skip = false;
}

static void operator_thread(void *arg)
{
    struct listener *op = arg;
    struct console_port *port = op->port;
    char bytes[64];

    port->ops->start_input(port);
    for (;;) {
        struct iov_iter to;
        struct iovec iov;
        wait_event(&port->waitq, port->ops->ready(port) & POLLIN, false, NO_DEADLINE);
        iter_init_kernel(&to, &iov, bytes, sizeof(bytes));
        ssize_t got = port->ops->read(port, &to);
        for (ssize_t i = 0; i < got; i++)
            take(op, bytes[i]);
    }
}

void operator_init(void)
{
    struct console_port *port = console_port_find("ingot.guest");
    struct listener *op = port ? kzalloc(sizeof(*op)) : NULL;

    if (!op)
        return;
    op->port = port;
    struct thread *thread = thread_create_kernel(operator_thread, op, "operator");
    if (thread)
        thread_start(thread);
}
