/* AF_UNIX: unix(7).  Files, descriptors and paths are a room above; that room hands in what is
 * needed of them here. */
#pragma once

#include "net/socket.h"

struct unix_files {
    struct file *(*from_fd)(int fd); /* a new reference, or NULL: EBADF */
    void (*get)(struct file *file);
    void (*put)(struct file *file);
    u32 (*refs)(const struct file *file);
    /** Takes the reference on success: a descriptor, or a negative errno. */
    int (*install)(struct file *file, bool cloexec);
    struct socket *(*socket)(struct file *file); /* NULL: it is none */
    /** Make a socket's node at @path: 0 and a new reference in *@node, or the errno of bind. */
    int (*bind)(const char *path, void **node);
    /** The node at @path, with a reference: 0, or the errno of connect. */
    int (*find)(const char *path, void **node);
    void (*forget)(void *node); /* drop such a reference */
    /** A message of @len bytes to /dev/log, where nobody serves it. 0, or the errno of send. */
    int (*log)(struct iov_iter *from, u32 len, bool wait);
    u64 max_files; /* in flight at once */
};

/** Make AF_UNIX known to socket(2). @files is borrowed for ever. At start. */
void unix_init(const struct unix_files *files);

/** One socket, as /proc/net/unix shows it. */
struct unix_info {
    const void *id;
    u32 refs, flags, type, state; /* flags 0x10000: it listens; state as Linux's SS_* */
    u64 ino, peer_ino;            /* 0: none */
    u32 recv_queue, send_queue; /* bytes; of a listener: connections that wait, and how many may */
    struct sock_addr name;      /* len 2: none */
};
/** Call @fn for each socket until it returns non-zero. @fn must not sleep. */
int unix_for_each(int (*fn)(const struct unix_info *info, void *arg), void *arg);
u32 unix_count(void);
