/* What a program sees of the console ports.  A one-way stream looks like a pipe whose other end is
 * the runner; the rest are terminals. */
#include "drv/console.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/cmdline.h"
#include "drv/console_port.h"
#include "drv/memdev.h"
#include "drv/pty.h"
#include "drv/tty.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/anon/anon_inode.h"
#include "vfs/anon/pipe.h"
#include "vfs/device.h"
#include "vfs/fd.h"
#include "vfs/path.h"

static u32 stream_ready(struct file *file)
{
    struct console_port *port = file->data;
    u32 ready = port->ops->ready(port), mask = 0;

    if (file->mode & FILE_READ)
        mask |= ready & (POLLIN | POLLHUP) ? (ready & (POLLIN | POLLHUP)) | POLLRDNORM : 0;
    if (file->mode & FILE_WRITE)
        mask |= ready & POLLHUP ? POLLERR | POLLOUT : ready & POLLOUT ? POLLOUT | POLLWRNORM : 0;
    return mask;
}

static ssize_t stream_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    struct console_port *port = file->data;

    for (;;) {
        u32 ready = port->ops->ready(port); /* before the read: what came first is not lost */
        ssize_t n = port->ops->read(port, to);
        if (n || !to->left || (ready & POLLHUP))
            return n;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int err = wait_event(&port->waitq, port->ops->ready(port) & (POLLIN | POLLHUP), true,
                             NO_DEADLINE);
        if (err)
            return -ERESTARTSYS;
    }
}

static ssize_t stream_write(struct file *file, struct iov_iter *from,
                            s64 *pos __attribute__((unused)))
{
    struct console_port *port = file->data;
    size_t want = from->left;

    while (from->left) {
        ssize_t n = port->ops->write(port, from);
        ssize_t done = (ssize_t)(want - from->left);
        if (n == -EPIPE && !done)
            return pipe_broken();
        if (n < 0)
            return done ? done : n;
        if (n)
            continue;
        if (file->flags & O_NONBLOCK)
            return done ? done : -EAGAIN;
        int err = wait_event(&port->waitq, port->ops->ready(port) & (POLLOUT | POLLHUP), true,
                             NO_DEADLINE);
        if (err)
            return done ? done : -ERESTARTSYS;
    }
    return (ssize_t)want;
}

static const struct file_ops stream_ops = {
    .read = stream_read,
    .write = stream_write,
    .ready = stream_ready,
};

/* /dev/stdout and its like, opened by name. */
static int stream_open(struct inode *inode, struct file *file)
{
    struct console_port *port = inode->data;

    file->ops = &stream_ops;
    file->data = port;
    file->waitq = &port->waitq;
    file->anon_name = "pipe";
    return 0;
}

static const struct anon_kind stream_kind = {.ops = {.open = stream_open}};

static struct file *stream_create(struct console_port *port, u32 flags)
{
    struct inode *inode = anon_inode_create(S_IFIFO | 0600, &stream_kind, port);
    struct file *file = inode ? anon_inode_file(inode, &stream_ops, "pipe", flags) : NULL;

    if (file)
        file->waitq = &port->waitq;
    inode_put(inode);
    return file;
}

static struct file *null_create(u32 flags)
{
    struct file *file;

    return vfs_open("/dev/null", flags, 0, &file) ? NULL : file;
}

/* Takes the reference. */
static int install(struct file *file, int fd)
{
    if (!file)
        return -ENOMEM;
    int err = fd_install_at(file, fd, false);
    if (err < 0)
        file_put(file);
    return min(err, 0);
}

static int open_streams(struct console_port *const ports[3])
{
    for (int fd = 0; fd < 3; fd++) {
        u32 flags = fd ? O_WRONLY : O_RDONLY;
        struct file *file = ports[fd] ? stream_create(ports[fd], flags) : null_create(flags);
        int err = install(file, fd);
        if (err)
            return err;
    }
    if (ports[0])
        ports[0]->ops->start_input(ports[0]);
    return 0;
}

/* A file on the terminal, by its name where there is a /dev. */
static struct file *terminal_create(struct tty *tty)
{
    struct file *file;

    if (!vfs_open("/dev/console", O_RDWR, 0, &file))
        return file;
    file = file_create_anon(&tty_file_ops, tty, "/dev/console", O_RDWR);
    if (file)
        tty_open_file(tty, file);
    return file;
}

/* One open file in all three descriptors, as a login gives them. */
static int open_terminal(struct console_port *port)
{
    struct tty *tty = tty_of_port(port);
    struct file *file = tty ? terminal_create(tty) : NULL;

    if (!file)
        return -ENOMEM;
    tty_take_session(tty);
    for (int fd = 0; fd < 3; fd++) {
        file_get(file);
        int err = install(file, fd);
        if (err) {
            file_put(file);
            return err;
        }
    }
    file_put(file);
    return 0;
}

/* The port of the last console= that there is; "ttyS0,115200" names ttyS0. */
static struct console_port *console_of_cmdline(void)
{
    struct console_port *found = NULL;
    const char *value;
    u32 pos = 0;

    while ((value = cmdline_next("console", &pos)) != NULL) {
        char name[32];
        str_copy(name, value, sizeof(name));
        char *comma = strchr(name, ',');
        if (comma)
            *comma = 0;
        struct console_port *port = console_port_find(name);
        found = port ? port : found;
    }
    return found;
}

static struct console_port *terminal_port(void)
{
    struct console_port *port = console_port_find("ingot.tty");

    if (!port)
        port = console_of_cmdline();
    if (!port)
        port = console_port_find("ttyS0");
    return port ? port : console_port_find("tty0");
}

int stdio_open(void)
{
    struct console_port *ports[3] = {
        console_port_find("ingot.stdin"),
        console_port_find("ingot.stdout"),
        console_port_find("ingot.stderr"),
    };

    if (ports[0] || ports[1] || ports[2])
        return open_streams(ports);
    struct console_port *port = terminal_port();
    return port ? open_terminal(port) : open_streams(ports);
}

int stdio_say(char *line, size_t n, bool wait)
{
    struct console_port *port = console_port_find("ingot.stderr");
    struct iovec iov;
    struct iov_iter from;

    if (!port && !console_port_find("ingot.stdout") && (port = terminal_port()))
        line[n++] = '\r';
    if (!port)
        return 0;
    line[n++] = '\n';
    iter_init_kernel(&from, &iov, line, n);
    while (from.left && port->ops->write(port, &from) >= 0 && from.left) {
        if (!wait)
            return -EAGAIN;
        if (wait_event(&port->waitq, port->ops->ready(port) & (POLLOUT | POLLHUP), true,
                       NO_DEADLINE))
            break;
    }
    return 0;
}

static int open_tty_of(struct console_port *port, struct file *file)
{
    struct tty *tty = port ? tty_of_port(port) : NULL;

    if (!tty)
        return port ? -ENOMEM : -ENXIO;
    tty_open_file(tty, file);
    return 0;
}

static int open_port_device(struct char_device *dev, struct file *file)
{
    return open_tty_of(dev->data, file);
}

static int open_console(struct char_device *dev __attribute__((unused)), struct file *file)
{
    return open_tty_of(terminal_port(), file);
}

/* /dev/tty: the terminal of the session. */
static int open_controlling(struct char_device *dev __attribute__((unused)), struct file *file)
{
    struct tty *tty = tty_of_session(current_process()->sid);

    if (!tty)
        return -ENXIO;
    tty_open_file(tty, file);
    return 0;
}

enum { MAJOR_TTY = 4, MAJOR_TTY_AUX = 5, MAJOR_HVC = 229, MINOR_SERIAL = 64 };

static void add_device(const char *name, u64 rdev, u32 mode,
                       int (*open)(struct char_device *, struct file *), void *data)
{
    struct char_device *dev = kzalloc(sizeof(*dev));

    if (!dev)
        return;
    *dev = (struct char_device){
        .name = name, .rdev = rdev, .mode = mode, .ops = &tty_file_ops, .open = open, .data = data};
    char_device_add(dev);
}

void console_init(void)
{
    struct console_port *serial = console_port_find("ttyS0");
    struct console_port *tty = console_port_find("ingot.tty");
    struct console_port *screen = console_port_find("tty0");

    memdev_init();
    pty_init();
    add_device("tty", dev_make(MAJOR_TTY_AUX, 0), 0666, open_controlling, NULL);
    add_device("console", dev_make(MAJOR_TTY_AUX, 1), 0600, open_console, NULL);
    if (serial)
        add_device("ttyS0", dev_make(MAJOR_TTY, MINOR_SERIAL), 0660, open_port_device, serial);
    if (screen)
        add_device("tty0", dev_make(MAJOR_TTY, 0), 0620, open_port_device, screen);
    if (tty)
        add_device("hvc0", dev_make(MAJOR_HVC, 0), 0660, open_port_device, tty);
}
