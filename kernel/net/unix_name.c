/* Names of AF_UNIX sockets: paths, found by their inode, and abstract ones, found by their bytes.
 * /dev/log, where syslog(3) sends to, is a place of its own: /dev takes no new files, and a program
 * that has gone to another root means the same by it.  Who binds it has it until he closes his
 * socket; else it is unix_log's. */
#include "net/unix_priv.h"

#include "core/random.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"

enum {
    BUCKETS = 64,
    FAMILY_LEN = sizeof(u16),
    PATH_LEN = sizeof(((struct sockaddr_un_abi){0}).path)
};
enum { AUTOBIND_NAMES = 0x100000 };

static struct list_head names[BUCKETS]; /* [T]; a bucket that was never used is all zero */

static struct list_head *bucket(u32 hash)
{
    struct list_head *head = &names[hash % BUCKETS];

    if (!head->next)
        list_init(head);
    return head;
}

static u8 log_place; /* its address stands for a node */

struct unix_sock unix_log; /* [T] all zero until it is first found */

static bool is_log(const char *path)
{
    return !strcmp(path, "/dev/log");
}

static struct unix_sock *the_log_locked(void)
{
    if (!unix_log.type) {
        ref_init(&unix_log.refs);
        waitq_init(&unix_log.peer_wait);
        unix_log.type = SOCK_DGRAM;
    }
    return &unix_log;
}

static void forget_node(void *node)
{
    if (node && node != &log_place)
        unix_files->forget(node);
}

static u32 hash_bytes(const char *bytes, u32 len, int type)
{
    u32 hash = 2166136261u ^ (u32)type;

    for (u32 i = 0; i < len; i++)
        hash = (hash ^ (u8)bytes[i]) * 16777619u;
    return hash;
}

static u32 hash_node(const void *node)
{
    return (u32)((uintptr_t)node >> 6);
}

/* Check an address; *@len as getsockname will tell it. 0 or -EINVAL. */
static int parse_name(const struct sock_addr *addr, struct sockaddr_un_abi *out, u32 *len)
{
    if (addr->len <= FAMILY_LEN || addr->len > sizeof(*out) || addr->family != AF_UNIX)
        return -EINVAL;
    memset(out, 0, sizeof(*out));
    memcpy(out, addr->bytes, addr->len);
    *len = addr->len;
    if (out->path[0]) {
        u32 n = 0;
        while (n < PATH_LEN && out->path[n])
            n++;
        *len = FAMILY_LEN + n + 1;
    }
    return 0;
}

/* A path may fill all of sun_path, without a NUL. */
static void copy_path(char to[PATH_LEN + 1], const struct sockaddr_un_abi *addr)
{
    memcpy(to, addr->path, PATH_LEN);
    to[PATH_LEN] = 0;
}

void unix_name_put(struct unix_name *name)
{
    if (!name || !ref_put(&name->refs))
        return;
    forget_node(name->node);
    kfree(name);
}

static struct unix_sock *find_node_locked(const void *node)
{
    struct unix_sock *u;

    list_for_each(u, bucket(hash_node(node)), name_node)
        if (u->name->node == node)
            return u;
    return NULL;
}

static struct unix_sock *find_abstract_locked(const struct sockaddr_un_abi *addr, u32 len, int type)
{
    struct unix_sock *u;

    list_for_each(u, bucket(hash_bytes(addr->path, len - FAMILY_LEN, type)), name_node)
        if (!u->name->node && u->type == type && u->name->len == len &&
            !memcmp(u->name->addr.path, addr->path, len - FAMILY_LEN))
            return u;
    return NULL;
}

static struct unix_name *name_create(const struct sockaddr_un_abi *addr, u32 len, void *node,
                                     int type)
{
    struct unix_name *name = kzalloc(sizeof(*name));

    if (!name)
        return NULL;
    ref_init(&name->refs);
    name->addr = *addr;
    name->addr.family = AF_UNIX;
    name->len = len;
    name->node = node;
    name->hash = node ? hash_node(node) : hash_bytes(addr->path, len - FAMILY_LEN, type);
    return name;
}

/* 0, -EINVAL (it has a name) or -EADDRINUSE. Takes @name on success. */
static int hash_name(struct unix_sock *u, struct unix_name *name)
{
    int err = 0;

    spin_lock(&unix_lock);
    if (u->name)
        err = -EINVAL;
    else if (name->node ? name->node == &log_place && find_node_locked(&log_place)
                        : find_abstract_locked(&name->addr, name->len, u->type) != NULL)
        err = -EADDRINUSE;
    if (!err) {
        u->name = name;
        list_add(bucket(name->hash), &u->name_node);
    }
    spin_unlock(&unix_lock);
    return err;
}

void unix_unhash_locked(struct unix_sock *u)
{
    list_remove(&u->name_node);
}

int unix_autobind(struct unix_sock *u)
{
    struct sockaddr_un_abi addr = {.family = AF_UNIX};
    u32 first = (u32)random_u64();

    for (u32 i = 0; i < AUTOBIND_NAMES && !__atomic_load_n(&u->name, __ATOMIC_ACQUIRE); i++) {
        format(addr.path + 1, 6, "%05x", (first + i) % AUTOBIND_NAMES);
        struct unix_name *name = name_create(&addr, FAMILY_LEN + 6, NULL, u->type);
        if (!name)
            return -ENOMEM;
        int err = hash_name(u, name);
        if (!err)
            return 0;
        unix_name_put(name);
        if (err != -EADDRINUSE)
            return 0; /* somebody else has named it meanwhile */
    }
    return u->name ? 0 : -ENOSPC;
}

int unix_bind(struct socket *sock, const struct sock_addr *addr)
{
    struct unix_sock *u = unix_of(sock);
    struct sockaddr_un_abi un;
    char path[PATH_LEN + 1];
    void *node = NULL;
    u32 len;

    if (addr->len == FAMILY_LEN && addr->family == AF_UNIX)
        return unix_autobind(u);
    int err = parse_name(addr, &un, &len);
    if (err || (u->name && !un.path[0]))
        return -EINVAL;
    if (un.path[0]) {
        copy_path(path, &un);
        err = u->name ? unix_files->find(path, &node) : unix_files->bind(path, &node);
        if (err && !u->name && is_log(path)) {
            err = 0;
            node = &log_place;
        }
    }
    if (u->name) { /* Linux looks for the path first */
        forget_node(node);
        return !err || err == -ECONNREFUSED ? -EADDRINUSE : -EINVAL;
    }
    if (err)
        return err == -EEXIST ? -EADDRINUSE : err;
    struct unix_name *name = name_create(&un, len, node, u->type);
    if (!name) {
        forget_node(node);
        return -ENOMEM;
    }
    err = hash_name(u, name);
    if (err)
        unix_name_put(name);
    return err;
}

int unix_lookup(const struct sock_addr *addr, int type, struct unix_sock **out)
{
    struct sockaddr_un_abi un;
    char path[PATH_LEN + 1];
    void *node = NULL;
    u32 len;

    int err = parse_name(addr, &un, &len);
    bool log = false;
    if (!err && un.path[0]) {
        copy_path(path, &un);
        err = unix_files->find(path, &node);
        log = is_log(path);
    }
    if (err && !log)
        return err;
    err = 0;
    spin_lock(&unix_lock);
    struct unix_sock *u = node  ? find_node_locked(node)
                          : log ? NULL
                                : find_abstract_locked(&un, len, type);
    if (log && !u)
        u = find_node_locked(&log_place);
    if (log && !u)
        u = the_log_locked();
    if (!u)
        err = -ECONNREFUSED;
    else if (u->type != type)
        err = -EPROTOTYPE;
    else
        unix_get(u);
    spin_unlock(&unix_lock);
    forget_node(node);
    if (!err)
        *out = u;
    return err;
}

void unix_show_name(const struct unix_sock *u, struct sock_addr *out)
{
    const struct unix_name *name = __atomic_load_n(&u->name, __ATOMIC_ACQUIRE);

    out->family = AF_UNIX;
    out->len = FAMILY_LEN;
    if (!name)
        return;
    memcpy(out->bytes, &name->addr, name->len);
    out->len = name->len;
}
