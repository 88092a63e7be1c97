/* What the files of the 9p client share.  The protocol is 9P2000.L: abi/p9.h.
 *
 * Names and attributes are the server's alone: every look is a question, nothing is cached but
 * pages of files that are mapped.  The server is not trusted: each answer is read within its
 * bounds. */
#pragma once

#include "abi/p9.h"
#include "core/spinlock.h"
#include "sched/wait.h"
#include "vfs/inode.h"
#include "vfs/p9_channel.h"

enum {
    P9_SLOTS = 16,     /* messages at a time */
    P9_SLOT_ORDER = 2, /* pages of a slot: half for what goes, half for what comes */
    P9_SLOT_HALF = PAGE_SIZE << (P9_SLOT_ORDER - 1),
    P9_DATA_ORDER = 3, /* of a buffer for what is read or written */
    P9_DATA_MAX = PAGE_SIZE << P9_DATA_ORDER,
    P9_MSIZE = P9_DATA_MAX + 64, /* room for P9_WRITE_HEADER before the data */
};

/* Fields: [I], [L] under .lock, [A]. */
struct p9_client {
    struct p9_channel *channel;   /* [I] */
    struct spinlock lock;         /* a leaf */
    struct waitq waitq;           /* a slot is free */
    u32 busy;                     /* [L] slots, a bit each */
    struct page *slots[P9_SLOTS]; /* memory of a slot; whoever has the slot; owns */
    u32 next_fid;                 /* [A] */
};

/* A file of the server's that we have a name for. Fields: [I], [A]. */
struct p9_fid {
    ref_t refs; /* [A] */
    u32 nr;     /* [I] */
    struct p9_client *client;
};

/* Behind each inode. */
struct p9_inode {
    struct spinlock lock;
    struct p9_fid *fid;             /* under .lock; owns; replaced when a name is looked up again */
    struct p9_fid *map_fid;         /* [A] open for reading; owns; NULL until pages are read */
    struct linux_timespec map_time; /* under inode->lock; mtime of the pages that are cached */
};

struct p9_qid {
    u8 type;
    u32 version;
    u64 path;
};

/* A message on its way: what is put in, then what is got out. */
struct p9_msg {
    struct p9_client *client;
    u8 *out, *in; /* halves of the slot */
    u32 slot, len, end, pos;
    bool bad; /* too long to send, or the answer was too short */
};

/** What is behind an inode's file system, and behind the inode. */
static inline struct p9_client *p9_client_of(const struct inode *inode)
{
    return inode->sb->data;
}
static inline struct p9_inode *p9_inode_of(const struct inode *inode)
{
    return inode->data;
}

/** Begin a message of @type; p9_end() ends it in any case. 0, -ENOMEM. Sleeps for a slot. */
int p9_begin(struct p9_client *client, struct p9_msg *m, enum p9_type type);
/** Append to the message; what does not fit fails p9_call() with -ENAMETOOLONG. */
void p9_put(struct p9_msg *m, const void *bytes, size_t len);
void p9_put16(struct p9_msg *m, u16 value);
void p9_put32(struct p9_msg *m, u32 value);
void p9_put64(struct p9_msg *m, u64 value);
void p9_put_str(struct p9_msg *m, const char *text, size_t len);
/**
 * Send it and wait for the answer. 0; what the server said; -EIO it is gone or talks nonsense;
 * -ENAMETOOLONG.
 * @data, @data_len: follow the message (Twrite); or NULL
 */
int p9_call(struct p9_msg *m, const void *data, u32 data_len);
/** p9_call() of a read: up to @room bytes of contiguous memory @into; *@got of them. */
int p9_call_read(struct p9_msg *m, void *into, u32 room, u32 *got);
/** The next of the answer; behind its end 0, and p9_end() says so. */
u8 p9_get8(struct p9_msg *m);
u16 p9_get16(struct p9_msg *m);
u32 p9_get32(struct p9_msg *m);
u64 p9_get64(struct p9_msg *m);
void p9_get_qid(struct p9_msg *m, struct p9_qid *qid);
/** The bytes of a string, in the message. NULL: there is none. */
const char *p9_get_str(struct p9_msg *m, u16 *len);
/** -EIO where the answer was too short. */
int p9_end(struct p9_msg *m);
/** p9_call() where the answer does not matter, and p9_end(). */
int p9_finish(struct p9_msg *m);

/** A fid with a number of its own, which the server does not know yet. NULL: no memory. */
struct p9_fid *p9_fid_create(struct p9_client *client);
/** One more reference. */
static inline void p9_fid_get(struct p9_fid *fid)
{
    ref_get(&fid->refs);
}
/** The last one lets the server forget it. NULL is ignored. */
void p9_fid_put(struct p9_fid *fid);
/** The fid of an inode, with a reference. */
struct p9_fid *p9_fid_of(const struct inode *inode);
/** Walk from @from to @name (NULL: to itself). 0 with a new fid. */
int p9_walk(struct p9_fid *from, const char *name, size_t len, struct p9_fid **out,
            struct p9_qid *qid);
/** A new fid on the inode's file, open by @flags (O_*). */
int p9_open(struct inode *inode, u32 flags, struct p9_fid **out);

/** Ask for all attributes. -ESTALE where the file has become of another kind. */
int p9_getattr(struct inode *inode);
int p9_setattr(struct inode *inode, const struct inode_attr *attr);
/** The inode of @fid, whose reference is taken in any case. */
int p9_iget(struct super_block *sb, struct p9_fid *fid, const struct p9_qid *qid,
            struct inode **out);

extern const struct inode_ops p9_dir_ops, p9_file_ops, p9_link_ops, p9_special_ops;
extern const struct file_ops p9_file_file_ops;
