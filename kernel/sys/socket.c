/* The calls that make, name, join and set up sockets.  socket_msg.c has those that move bytes. */
#include "sys/socket_file.h"

#include "abi/packet.h"
#include "core/chart.h"
#include "core/init.h"
#include "net/ip.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

enum { FLAGS_OK = SOCK_CLOEXEC | SOCK_NONBLOCK };

/* What socket(2)'s first arguments mean. 0 or the errno. */
static int find_proto(int domain, int type, int protocol, const struct proto_ops **out)
{
    int err = -EAFNOSUPPORT, kind = type & SOCK_TYPE_MASK;

    if (type & ~(SOCK_TYPE_MASK | FLAGS_OK) || kind >= SOCK_MAX)
        return -EINVAL;
    if (domain == AF_UNIX && kind == SOCK_RAW)
        kind = SOCK_DGRAM;
    if (protocol < 0)
        return -EINVAL;
    if (domain != AF_UNIX) {
        net_init(); /* the stack is made when somebody has use for it */
        if (!net_is_started())
            return -ENOMEM;
    }
    *out = proto_find(domain, kind, protocol, &err);
    return *out ? 0 : err;
}

static int create(const struct proto_ops *ops, int type, int protocol, struct file **out)
{
    int err = socket_file_create(ops, protocol, (u32)type & SOCK_NONBLOCK, out);

    if (err)
        return err;
    err = ops->create((*out)->data);
    if (err)
        file_put(*out);
    return err;
}

/* Takes the reference. */
static int install(struct file *file, int flags)
{
    int fd = fd_install(file, 0, flags & SOCK_CLOEXEC);

    if (fd < 0)
        file_put(file);
    return fd;
}

long sys_socket(int domain, int type, int protocol)
{
    const struct proto_ops *ops;
    struct file *file;
    int err = find_proto(domain, type, protocol, &ops);

    if (!err)
        err = create(ops, type, protocol, &file);
    return err ? err : install(file, type);
}

static int create_pair(int domain, int type, int protocol, struct file *files[2])
{
    const struct proto_ops *ops;
    int err = find_proto(domain, type, protocol, &ops);

    if (err)
        return err;
    if (!ops->pair)
        return -EOPNOTSUPP;
    err = create(ops, type, protocol, &files[0]);
    if (err)
        return err;
    err = create(ops, type, protocol, &files[1]);
    if (err)
        goto put_first;
    err = ops->pair(files[0]->data, files[1]->data);
    if (!err)
        return 0;
    file_put(files[1]);
put_first:
    file_put(files[0]);
    return err;
}

long sys_socketpair(int domain, int type, int protocol, uaddr_t fds)
{
    struct file *files[2];
    int fd[2], err = create_pair(domain, type, protocol, files);

    if (err)
        return err;
    fd[0] = install(files[0], type);
    if (fd[0] < 0) {
        file_put(files[1]);
        return fd[0];
    }
    fd[1] = install(files[1], type);
    if (fd[1] >= 0 && !copy_to_user(fds, fd, sizeof(fd)))
        return 0;
    fd_close(fd[0]);
    if (fd[1] < 0)
        return fd[1];
    fd_close(fd[1]);
    return -EFAULT;
}

/* ---- addresses ---- */

int sock_addr_from_user(struct sock_addr *out, uaddr_t addr, int len)
{
    if (len < 0 || len > (int)sizeof(out->bytes))
        return -EINVAL;
    out->family = AF_UNSPEC;
    out->len = (u32)len;
    return copy_from_user(out->bytes, addr, (size_t)len);
}

int sock_addr_to_user(const struct sock_addr *from, uaddr_t addr, uaddr_t len_at)
{
    int room, len = (int)from->len;

    if (copy_from_user(&room, len_at, sizeof(room)))
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    if (copy_to_user(addr, from->bytes, (size_t)min(room, len)))
        return -EFAULT;
    return copy_to_user(len_at, &len, sizeof(len));
}

long sys_bind(int fd, uaddr_t addr, int len)
{
    struct sock_addr to;
    struct socket *sock;
    struct fd_ref ref;
    int err = socket_borrow(fd, &ref, &sock);

    if (err)
        return err;
    err = sock_addr_from_user(&to, addr, len);
    if (!err)
        err = sock->ops->bind ? sock->ops->bind(sock, &to) : -EOPNOTSUPP;
    fd_return(ref);
    return err;
}

long sys_connect(int fd, uaddr_t addr, int len)
{
    struct sock_addr to;
    struct socket *sock;
    struct fd_ref ref;
    int err = socket_borrow(fd, &ref, &sock);

    if (err)
        return err;
    err = sock_addr_from_user(&to, addr, len);
    if (!err)
        err = sock->ops->connect ? sock->ops->connect(sock, &to) : -EOPNOTSUPP;
    fd_return(ref);
    return err;
}

static long get_name(int fd, uaddr_t addr, uaddr_t len, bool peer)
{
    struct sock_addr name;
    struct socket *sock;
    struct fd_ref ref;
    int err = socket_borrow(fd, &ref, &sock);

    if (err)
        return err;
    err = sock->ops->name ? sock->ops->name(sock, &name, peer) : -EOPNOTSUPP;
    if (!err)
        err = sock_addr_to_user(&name, addr, len);
    fd_return(ref);
    return err;
}

long sys_getsockname(int fd, uaddr_t addr, uaddr_t len)
{
    return get_name(fd, addr, len, false);
}

long sys_getpeername(int fd, uaddr_t addr, uaddr_t len)
{
    return get_name(fd, addr, len, true);
}

/* ---- connections ---- */

static void mark_first_listen(void)
{
    static bool done; /* [A] */

    if (!__atomic_exchange_n(&done, true, __ATOMIC_RELAXED))
        chart_mark("it listens");
}

long sys_listen(int fd, int backlog)
{
    struct socket *sock;
    struct fd_ref ref;
    int err = socket_borrow(fd, &ref, &sock);

    if (err)
        return err;
    if ((u32)backlog > SOMAXCONN)
        backlog = SOMAXCONN;
    err = sock->ops->listen ? sock->ops->listen(sock, backlog) : -EOPNOTSUPP;
    if (!err)
        __atomic_store_n(&sock->listening, true, __ATOMIC_RELEASE);
    if (unlikely(chart_wanted))
        mark_first_listen();
    fd_return(ref);
    return err;
}

/* The peer's address for the program; a connection that is gone already has none. */
static int put_peer(struct socket *fresh, uaddr_t addr, uaddr_t len)
{
    struct sock_addr name;

    if (!addr)
        return 0;
    if (fresh->ops->name(fresh, &name, true))
        return -ECONNABORTED;
    return sock_addr_to_user(&name, addr, len);
}

static int accept(struct socket *sock, uaddr_t addr, uaddr_t len, int flags)
{
    struct file *file;

    if (!sock->ops->accept)
        return -EOPNOTSUPP;
    if (!fd_has_room()) /* before a connection is taken off the queue */
        return -EMFILE;
    int err = socket_file_create(sock->ops, sock->protocol, (u32)flags & SOCK_NONBLOCK, &file);
    if (err)
        return err;
    err = sock->ops->accept(sock, file->data);
    if (!err)
        err = put_peer(file->data, addr, len);
    if (!err)
        return install(file, flags);
    file_put(file);
    return err;
}

long sys_accept4(int fd, uaddr_t addr, uaddr_t len, int flags)
{
    struct socket *sock;
    struct fd_ref ref;

    if (flags & ~FLAGS_OK)
        return -EINVAL;
    int err = socket_borrow(fd, &ref, &sock);
    if (err)
        return err;
    err = accept(sock, addr, len, flags);
    fd_return(ref);
    return err;
}

long sys_accept(int fd, uaddr_t addr, uaddr_t len)
{
    return sys_accept4(fd, addr, len, 0);
}

long sys_shutdown(int fd, int how)
{
    struct socket *sock;
    struct fd_ref ref;
    int err = socket_borrow(fd, &ref, &sock);

    if (err)
        return err;
    if (how < SHUT_RD || how > SHUT_RDWR)
        err = -EINVAL;
    else
        err = sock->ops->shutdown ? sock->ops->shutdown(sock, how) : -EOPNOTSUPP;
    fd_return(ref);
    return err;
}

/* ---- options ---- */

/* A word of the protocol's, as TCP_CORK around each answer. */
static int set_word(struct socket *sock, int level, int name, uaddr_t value)
{
    u32 word;

    if (user_get32(&word, value))
        return -EFAULT;
    return sock->ops->setopt ? sock->ops->setopt(sock, level, name, &word, sizeof(word))
                             : -EOPNOTSUPP;
}

static __attribute__((noinline)) int set_any(struct fd_ref ref, int level, int name, uaddr_t value,
                                             u32 len)
{
    u64 buf[SOCK_OPTION_MAX / sizeof(u64)];
    int err = copy_from_user(buf, value, len);

    if (!err)
        err = socket_setopt(ref.file->data, level, name, buf, len);
    fd_return(ref);
    return err;
}

long sys_setsockopt(int fd, int level, int name, uaddr_t value, int len)
{
    struct socket *sock;
    struct fd_ref ref;

    if (len < 0)
        return -EINVAL;
    int err = socket_borrow(fd, &ref, &sock);
    if (err)
        return err;
    if (unlikely(ref.owned || level == SOL_SOCKET || len != sizeof(u32)))
        return set_any(ref, level, name, value, (u32)min(len, SOCK_OPTION_MAX));
    return set_word(sock, level, name, value); /* there is no reference to let go of */
}

long sys_getsockopt(int fd, int level, int name, uaddr_t value, uaddr_t len_at)
{
    u64 buf[SOCK_OPTION_MAX / sizeof(u64)];
    struct socket *sock;
    struct fd_ref ref;
    int len;
    int err = socket_borrow(fd, &ref, &sock);

    if (err)
        return err;
    err = copy_from_user(&len, len_at, sizeof(len));
    if (!err && len < 0)
        err = -EINVAL;
    if (!err) {
        u32 n = min((u32)len, (u32)sizeof(buf));
        if (unlikely(level == SOL_PACKET)) /* PACKET_HDRLEN reads it */
            err = copy_from_user(buf, value, n);
        err = err ? err : socket_getopt(sock, level, name, buf, &n);
        len = (int)n;
    }
    if (!err && (copy_to_user(value, buf, (size_t)len) || copy_to_user(len_at, &len, sizeof(len))))
        err = -EFAULT;
    fd_return(ref);
    return err;
}
