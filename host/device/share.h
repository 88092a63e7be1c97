/* A folder of the host, served as 9P2000.L (abi/p9.h) over a virtio-9p queue (virtio 1.2, 5.9 of
 * the later drafts: a request is the message there and room for the message back).
 *
 * A fid is a descriptor of ours (O_PATH until it is opened), so it is the file whatever becomes of
 * its names.  A name is one component, never "..", and links are not followed: a guest's kernel
 * follows them in the guest's own tree.  So nothing outside of the folder can be named.  What
 * breaks the protocol shuts the device off; what a file system may refuse is answered with its
 * errno. */
#pragma once

#include "abi/p9.h"
#include "device/device.h"

#include <sys/stat.h>

enum {
    SHARE_QUESTION = 8192,  /* bytes of a message, but for what P9_WRITE carries */
    SHARE_ANSWER = 33024,   /* likewise, but for what P9_READ carries */
    SHARE_BUCKETS = 1024,   /* of fids */
    SHARE_MAX_FIDS = 65536, /* the host's limit of descriptors may be lower */
    SHARE_MAX_DEVS = 255,   /* file systems below the folder */
};

/* The guest's name for a file. */
struct share_fid {
    struct share_fid *next;
    u32 nr;
    int fd; /* owned */
    bool opened;
    u64 dir_pos; /* of an opened folder's descriptor */
};

/* Its thread's own. */
struct share {
    struct device dev;
    int root;    /* the folder, O_PATH; borrowed */
    int proc_fd; /* /proc/self/fd, where what is O_PATH is opened anew; borrowed */
    bool readonly;
    u32 nr_fids;
    struct share_fid *fids[SHARE_BUCKETS];
    u32 nr_devs;
    dev_t devs[SHARE_MAX_DEVS]; /* met so far; the place makes the number */
    u8 question[SHARE_QUESTION];
    u8 answer[SHARE_ANSWER];
};

/** Answer all messages that are there.  True if there was one. */
bool share_serve(struct share *share);
/** Serve until the guest is gone.  @share: struct share; the thread's function. */
void *share_run(void *share);
/** Forget all fids. */
void share_forget(struct share *share);

/* ---- what its files share ---- */

/* A message and its answer. */
struct share_call {
    struct share *share;
    struct ring_chain *chain;
    u32 len, pos; /* of .question */
    u32 out;      /* bytes of .answer */
    u32 direct;   /* bytes that stand in the guest's buffers behind the answer already */
    bool bad;     /* the message was too short */
};

/** A handler: 0 with the answer's body put, or a negative errno. */
typedef int share_handler(struct share_call *call);

/** The next little-endian number of the request; 0 behind its end, which fails the call. */
u16 share_get16(struct share_call *call);
u32 share_get32(struct share_call *call);
u64 share_get64(struct share_call *call);
/** One string, with a zero behind it, of less than @room bytes; a longer one, or one that has a
 * zero within, is an empty string. */
void share_get_str(struct share_call *call, char *text, size_t room);
/** Append to the answer; handlers know that it fits. */
void share_put(struct share_call *call, const void *bytes, size_t len);
void share_put16(struct share_call *call, u16 value);
void share_put32(struct share_call *call, u32 value);
void share_put64(struct share_call *call, u64 value);

/** A name in a folder: what share_get_str() gave.  True if it is one. */
bool share_is_name(const char *name);

/** The file that @nr names; NULL: none. */
struct share_fid *share_find(struct share *share, u32 nr);
/** Give @fd the name @nr; takes @fd.  0, -EBADF it has it already, -ENFILE, -ENOMEM. */
int share_add(struct share *share, u32 nr, int fd);
/** Forget @nr and close its descriptor; without such a fid nothing. */
void share_remove(struct share *share, u32 nr);
/** The file once more, open by @flags.  A descriptor; -ENXIO for what is no file and no folder. */
int share_reopen(const struct share *share, int fd, int flags);
/** Put the qid of a file; 0, -EXDEV too many file systems. */
int share_put_qid(struct share_call *call, const struct stat *st);
/** Likewise, of what a folder's descriptor has under a name. */
int share_put_qid_at(struct share_call *call, int dir, const char *name);
/** The number that stands for a file: as long as there is one file system its inode's. */
int share_path_of(struct share *share, dev_t dev, u64 ino, u64 *path);

share_handler share_walk, share_mkdir, share_mknod, share_symlink, share_link, share_renameat,
    share_unlinkat, share_lcreate, share_readlink;        /* share_name.c */
share_handler share_getattr, share_setattr, share_statfs; /* share_attr.c */
/** @fid is open as @fd from here on: answer its qid. Takes @fd, also where that fails. */
int share_answer_open(struct share_call *call, struct share_fid *fid, int fd);

share_handler share_lopen, share_read, share_write, share_readdir, share_fsync; /* share_file.c */
