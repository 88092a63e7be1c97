/* Sockets as files: the network below knows no files, so what it needs of them is handed in here.
 */
#include "sys/socket_file.h"

#include "mm/heap.h"
#include "mm/page.h"
#include "net/pkt.h"
#include "net/unix.h"
#include "vfs/anon/anon_inode.h"
#include "vfs/anon/pipe.h"
#include "vfs/dentry.h"
#include "vfs/path.h"
#include "vfs/permission.h"

enum { RUN_PAGES = 16, RUN_BYTES = 65536, FILES_IN_FLIGHT = 16384, ONE_PIECE = 1024 };

static ssize_t socket_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    struct socket *sock = file->data;
    struct sock_msg msg = {.data = to, .flags = socket_wait_flag(sock)};

    if (unlikely(!to->left))
        return 0;
    return sock->ops->recv(sock, &msg);
}

ssize_t socket_send(struct socket *sock, struct sock_msg *msg)
{
    ssize_t n = sock->ops->send(sock, msg);

    if (unlikely(n == -EPIPE) && sock->type == SOCK_STREAM && !(msg->flags & MSG_NOSIGNAL))
        return pipe_broken();
    return n;
}

static ssize_t socket_write(struct file *file, struct iov_iter *from,
                            s64 *pos __attribute__((unused)))
{
    struct socket *sock = file->data;
    struct sock_msg msg = {.data = from, .flags = socket_wait_flag(sock)};

    return socket_send(sock, &msg);
}

static u32 socket_ready(struct file *file)
{
    struct socket *sock = file->data;

    return sock->ops->ready(sock);
}

static int socket_file_ioctl(struct file *file, unsigned cmd, uaddr_t arg)
{
    return socket_ioctl(file->data, cmd, arg);
}

static void socket_release(struct file *file)
{
    struct socket *sock = file->data;

    if (sock->data)
        sock->ops->close(sock);
    kfree(sock);
}

const struct file_ops socket_file_ops = {
    .read = socket_read,
    .write = socket_write,
    .ready = socket_ready,
    .ioctl = socket_file_ioctl,
    .release = socket_release,
};

/* ---- mappings: the ring of a packet socket ---- */

static struct file *backing_file(struct vm_backing *backing)
{
    return container_of(backing, struct file, backing);
}

static void backing_get(struct vm_backing *backing)
{
    file_get(backing_file(backing));
}

static void backing_put(struct vm_backing *backing)
{
    file_put(backing_file(backing));
}

static int backing_page(struct vm_backing *backing, u64 index, bool write __attribute__((unused)),
                        paddr_t *pa)
{
    struct socket *sock = backing_file(backing)->data;
    struct page *page = sock->ops->map_page(sock, index);

    if (!page)
        return -EFAULT;
    *pa = page_to_phys(page);
    return 0;
}

static const struct vm_backing_ops socket_backing_ops = {
    .get = backing_get, .put = backing_put, .page = backing_page};

static int socket_reopen(struct inode *inode, struct file *file)
{
    (void)inode, (void)file;
    return -ENXIO;
}

static const struct anon_kind socket_kind = {.ops = {.open = socket_reopen}};

int socket_file_create(const struct proto_ops *ops, int protocol, u32 flags, struct file **out)
{
    struct socket *sock = kmalloc(sizeof(*sock));
    struct inode *inode = sock ? anon_inode_create(S_IFSOCK | 0777, &socket_kind, sock) : NULL;
    struct file *file =
        inode ? anon_inode_file(inode, &socket_file_ops, "socket", O_RDWR | flags) : NULL;

    if (inode)
        inode_put(inode); /* the file holds it now */
    if (!file) {
        kfree(sock);
        return -ENOMEM;
    }
    socket_init(sock, ops, protocol);
    sock->file = file;
    sock->file_flags = &file->flags;
    sock->ino = file->inode->ino;
    file->waitq = &sock->waitq;
    if (unlikely(ops->map_page))
        file->backing.ops = &socket_backing_ops;
    *out = file;
    return 0;
}

/* ---- sendfile ---- */

/* Memory that stays needs no reference, so pages of it that lie together are one piece. */
static bool extend(struct pkt_frag *last, const struct page *page, const u8 *data, u32 len)
{
    if (page || last->page || last->data + last->len != data || last->len > RUN_BYTES)
        return false;
    last->len += len;
    return true;
}

/* A run of pages of @in from @pos on, each with a reference. Their number, or a negative errno. */
static int gather(struct inode *in, u64 pos, u64 len, struct pkt_frag frags[RUN_PAGES])
{
    u32 n = 0;

    while (len && n < RUN_PAGES) {
        u64 offset = pos & (PAGE_SIZE - 1);
        paddr_t pa;
        int err = inode_map_page(in, pos >> PAGE_SHIFT, false, &pa);
        if (err)
            return n ? (int)n : err;
        u32 piece = (u32)min(PAGE_SIZE - offset, len);
        u8 *data = (u8 *)phys_to_virt(pa) + offset;
        struct page *page = page_of_phys(pa);
        if (!n || !extend(&frags[n - 1], page, data, piece))
            frags[n++] = (struct pkt_frag){page, data, piece};
        pos += piece;
        len -= piece;
    }
    return (int)n;
}

static ssize_t send_copied(struct socket *sock, const struct pkt_frag *frags, u32 n, u32 flags)
{
    ssize_t done = 0;

    for (u32 i = 0; i < n; i++) {
        struct iov_iter from;
        struct iovec iov;
        struct sock_msg msg = {.data = &from, .flags = flags | (i + 1 < n ? MSG_MORE : 0)};
        iter_init_kernel(&from, &iov, frags[i].data, frags[i].len);
        ssize_t got = socket_send(sock, &msg);
        if (got <= 0)
            return done ? done : got;
        done += got;
        if ((u32)got < frags[i].len)
            break;
    }
    return done;
}

static ssize_t send_frags(struct socket *sock, const struct pkt_frag *frags, u32 n, u32 flags)
{
    if (!sock->ops->send_pages)
        return send_copied(sock, frags, n, flags);
    ssize_t got = sock->ops->send_pages(sock, frags, n, flags);
    return unlikely(got == -EPIPE) ? pipe_broken() : got;
}

/* Pages that are pointed to, as many at a time as a packet holds. */
static __attribute__((noinline)) ssize_t send_run(struct socket *sock, struct inode *in, s64 *pos,
                                                  u64 count)
{
    struct pkt_frag frags[RUN_PAGES];
    u64 done = 0;
    ssize_t got = 0;

    while (done < count) {
        int n = gather(in, (u64)*pos, count - done, frags);
        if (n < 0)
            return done ? (ssize_t)done : n;
        u64 run = 0;
        for (int i = 0; i < n; i++)
            run += frags[i].len;
        u32 more = run < count - done ? MSG_MORE : 0;
        got = send_frags(sock, frags, (u32)n, socket_wait_flag(sock) | more);
        for (int i = 0; i < n; i++)
            if (frags[i].page)
                page_put(frags[i].page);
        if (got <= 0)
            break;
        done += (u64)got;
        *pos += got;
        if ((u64)got < run || signal_pending())
            break;
        sched_point();
    }
    return done ? (ssize_t)done : got;
}

/* A small file of an image, in one piece without a look at its pages. Bytes, a negative errno, or
 * 0: it is not so. */
static ssize_t send_small_file(struct socket *sock, struct inode *in, u64 pos, u64 count)
{
    u64 run;
    const void *bytes = in->ops->direct ? in->ops->direct(in, pos, &run) : NULL;

    if (!bytes || run < count)
        return 0;
    struct pkt_frag all = {NULL, (u8 *)(uintptr_t)bytes, (u32)count};
    return send_frags(sock, &all, 1, socket_wait_flag(sock));
}

ssize_t socket_send_file(struct socket *sock, struct inode *in, s64 *pos, u64 count)
{
    struct inode *layer = in->ops->origin ? in->ops->origin(in) : NULL;
    u64 size = in->size;

    if (layer)
        in = layer;
    count = (u64)*pos < size ? min(count, size - (u64)*pos) : 0;
    if (count && count <= ONE_PIECE) {
        ssize_t got = send_small_file(sock, in, (u64)*pos, count);
        if (got > 0)
            *pos += got;
        if (got)
            return got;
    }
    return send_run(sock, in, pos, count);
}

/* ---- what AF_UNIX needs ---- */

static u32 hook_refs(const struct file *file)
{
    return ref_count(&file->refs);
}

static int hook_install(struct file *file, bool cloexec)
{
    return fd_install(file, 0, cloexec);
}

static struct socket *hook_socket(struct file *file)
{
    return socket_of_file(file);
}

static int hook_bind(const char *path, void **node)
{
    struct inode *inode;
    u32 umask = __atomic_load_n(&current_fs()->umask, __ATOMIC_RELAXED);
    int err = vfs_create_node(path, S_IFSOCK | (0777 & ~umask), 0, &inode);

    if (!err)
        *node = inode;
    return err;
}

static int hook_find(const char *path, void **node)
{
    struct path place;
    int err = path_lookup_kernel(path, LOOKUP_FOLLOW, &place);

    if (err)
        return err;
    struct inode *inode = place.dentry->inode;
    err = inode ? inode_permission(inode, W_OK) : -ENOENT;
    if (!err && !S_ISSOCK(inode->mode))
        err = -ECONNREFUSED;
    if (!err) {
        inode_get(inode);
        *node = inode;
    }
    path_put(&place);
    return err;
}

static void hook_forget(void *node)
{
    inode_put(node);
}

static const struct unix_files unix_hooks = {
    .from_fd = fd_get_raw,
    .get = file_get,
    .put = file_put,
    .refs = hook_refs,
    .install = hook_install,
    .socket = hook_socket,
    .bind = hook_bind,
    .find = hook_find,
    .forget = hook_forget,
    .log = dev_log_send,
    .max_files = FILES_IN_FLIGHT,
};

void socket_calls_init(void)
{
    unix_init(&unix_hooks);
}
