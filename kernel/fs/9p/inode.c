/* Inodes of a shared folder: attributes, and the file system itself. */
#include "fs/9p.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/log.h"
#include "fs/9p/priv.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"

enum { NO_FID = -1 };
#define P9_MAGIC 0x01021997

static struct linux_timespec get_time(struct p9_msg *m)
{
    u64 sec = p9_get64(m), nsec = p9_get64(m);

    return (struct linux_timespec){.tv_sec = (s64)sec, .tv_nsec = (s64)(nsec % NSEC_PER_SEC)};
}

struct attributes {
    u32 mode, uid, gid;
    u64 nlink, rdev, size, blocks;
    struct linux_timespec atime, mtime, ctime;
};

static int ask(struct p9_fid *fid, struct attributes *a)
{
    struct p9_qid qid;
    struct p9_msg m;

    int err = p9_begin(fid->client, &m, P9_GETATTR);
    if (err)
        return err;
    p9_put32(&m, fid->nr);
    p9_put64(&m, P9_GET_BASIC);
    err = p9_call(&m, NULL, 0);
    if (!err) {
        (void)p9_get64(&m); /* what is valid: all that was asked for */
        p9_get_qid(&m, &qid);
        a->mode = p9_get32(&m);
        a->uid = p9_get32(&m);
        a->gid = p9_get32(&m);
        a->nlink = p9_get64(&m);
        a->rdev = p9_get64(&m);
        a->size = p9_get64(&m);
        (void)p9_get64(&m); /* the best size of a transfer */
        a->blocks = p9_get64(&m);
        a->atime = get_time(&m);
        a->mtime = get_time(&m);
        a->ctime = get_time(&m);
        if (a->size > INT64_MAX)
            m.bad = true;
    }
    int bad = p9_end(&m);
    return err ? err : bad;
}

static void set_attributes(struct inode *inode, const struct attributes *a)
{
    inode->mode = a->mode;
    inode->uid = a->uid;
    inode->gid = a->gid;
    inode->nlink = (u32)a->nlink;
    __atomic_store_n(&inode->size, a->size, __ATOMIC_RELAXED);
    inode->blocks = a->blocks;
    inode->atime = a->atime;
    inode->mtime = a->mtime;
    inode->ctime = a->ctime;
}

int p9_getattr(struct inode *inode)
{
    struct p9_fid *fid = p9_fid_of(inode);
    struct attributes a;

    int err = ask(fid, &a);
    p9_fid_put(fid);
    if (err == -ENOENT) { /* it has no name any more; who has it open keeps what is known of it */
        inode->nlink = 0;
        return 0;
    }
    if (!err && (a.mode & S_IFMT) != (inode->mode & S_IFMT))
        return -ESTALE;
    if (!err)
        set_attributes(inode, &a);
    return err;
}

/* It was known already: the name by which it was found now is the one that holds. */
static void adopt(struct inode *inode, struct p9_fid *fid)
{
    struct p9_inode *pi = p9_inode_of(inode);

    spin_lock(&pi->lock);
    struct p9_fid *old = pi->fid;
    pi->fid = fid;
    spin_unlock(&pi->lock);
    p9_fid_put(old);
}

static int set_ops(struct inode *inode)
{
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        inode->ops = &p9_file_ops;
        inode->fops = &p9_file_file_ops;
        return inode_alloc_pages(inode, true);
    case S_IFDIR:
        inode->ops = &p9_dir_ops;
        inode->fops = &generic_dir_file_ops;
        return 0;
    case S_IFLNK:
        inode->ops = &p9_link_ops;
        return 0;
    default:
        inode->ops = &p9_special_ops;
        return 0;
    }
}

int p9_iget(struct super_block *sb, struct p9_fid *fid, const struct p9_qid *qid,
            struct inode **out)
{
    struct attributes a;

    int err = ask(fid, &a);
    if (err)
        goto put_fid;
    struct inode *inode = inode_find(sb, qid->path);
    if (inode && (inode->mode & S_IFMT) == (a.mode & S_IFMT)) {
        adopt(inode, fid);
        set_attributes(inode, &a);
        *out = inode;
        return 0;
    }
    bool taken = inode; /* by a file that is gone, but for who has it open */
    inode_put(inode);
    inode = inode_create(sb, a.mode);
    err = -ENOMEM;
    if (!inode)
        goto put_fid;
    p9_inode_of(inode)->fid = fid;
    set_attributes(inode, &a);
    inode->ino = qid->path;
    inode->rdev = a.rdev;
    err = set_ops(inode);
    if (err)
        inode_put(inode); /* evict has the fid */
    else
        *out = taken ? inode : inode_add(inode);
    return err;
put_fid:
    p9_fid_put(fid);
    return err;
}

int p9_setattr(struct inode *inode, const struct inode_attr *attr)
{
    static const u32 pairs[][2] = {
        {ATTR_MODE, P9_SET_MODE},
        {ATTR_UID, P9_SET_UID},
        {ATTR_GID, P9_SET_GID},
        {ATTR_SIZE, P9_SET_SIZE},
        {ATTR_ATIME, P9_SET_ATIME | P9_SET_ATIME_TO},
        {ATTR_MTIME, P9_SET_MTIME | P9_SET_MTIME_TO},
    };
    struct p9_msg m;
    u32 valid = 0;

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        valid |= attr->valid & pairs[i][0] ? pairs[i][1] : 0;
    int err = p9_begin(p9_client_of(inode), &m, P9_SETATTR);
    if (err)
        return err;
    struct p9_fid *fid = p9_fid_of(inode);
    p9_put32(&m, fid->nr);
    p9_put32(&m, valid);
    p9_put32(&m, attr->mode & ~(u32)S_IFMT);
    p9_put32(&m, attr->uid);
    p9_put32(&m, attr->gid);
    p9_put64(&m, attr->size);
    p9_put64(&m, (u64)attr->atime.tv_sec);
    p9_put64(&m, (u64)attr->atime.tv_nsec);
    p9_put64(&m, (u64)attr->mtime.tv_sec);
    p9_put64(&m, (u64)attr->mtime.tv_nsec);
    err = p9_finish(&m);
    p9_fid_put(fid);
    return err ? err : p9_getattr(inode);
}

static ssize_t p9_readlink(struct inode *inode, char *buf, size_t size)
{
    struct p9_msg m;
    u16 len = 0;

    int err = p9_begin(p9_client_of(inode), &m, P9_READLINK);
    if (err)
        return err;
    struct p9_fid *fid = p9_fid_of(inode);
    p9_put32(&m, fid->nr);
    err = p9_call(&m, NULL, 0);
    const char *target = err ? NULL : p9_get_str(&m, &len);
    size_t n = min((size_t)len, size);
    if (target)
        memcpy(buf, target, n);
    int bad = p9_end(&m);
    p9_fid_put(fid);
    return err ? err : bad ? bad : (ssize_t)n;
}

const struct inode_ops p9_link_ops = {
    .readlink = p9_readlink,
    .getattr = p9_getattr,
    .setattr = p9_setattr,
};
const struct inode_ops p9_special_ops = {.getattr = p9_getattr, .setattr = p9_setattr};

static void p9_evict(struct inode *inode)
{
    struct p9_inode *pi = p9_inode_of(inode);

    inode_free_pages(inode);
    p9_fid_put(pi->map_fid);
    p9_fid_put(pi->fid);
}

static int p9_statfs(struct super_block *sb, struct statfs64 *out)
{
    struct p9_fid *fid = p9_fid_of(sb->root->inode);
    struct p9_msg m;

    int err = p9_begin(fid->client, &m, P9_STATFS);
    if (err)
        goto put;
    p9_put32(&m, fid->nr);
    err = p9_call(&m, NULL, 0);
    if (!err) {
        (void)p9_get32(&m); /* the kind of file system below */
        out->f_bsize = p9_get32(&m);
        out->f_blocks = p9_get64(&m);
        out->f_bfree = p9_get64(&m);
        out->f_bavail = p9_get64(&m);
        out->f_files = p9_get64(&m);
        out->f_ffree = p9_get64(&m);
    }
    int bad = p9_end(&m);
    err = err ? err : bad;
put:
    p9_fid_put(fid);
    return err;
}

static const struct super_ops p9_super_ops = {.evict = p9_evict, .statfs = p9_statfs};

/* Agree on the protocol, and on how long a message may be. */
static int negotiate(struct p9_client *client)
{
    static const char version[] = "9P2000.L";
    struct p9_msg m;
    u16 len = 0;

    int err = p9_begin(client, &m, P9_VERSION);
    if (err)
        return err;
    p9_put32(&m, P9_MSIZE);
    p9_put_str(&m, version, strlen(version));
    err = p9_call(&m, NULL, 0);
    u32 msize = err ? 0 : p9_get32(&m);
    const char *said = err ? NULL : p9_get_str(&m, &len);
    if (!err &&
        (!said || len != strlen(version) || memcmp(said, version, len) || msize != P9_MSIZE))
        err = -EPROTONOSUPPORT;
    int bad = p9_end(&m);
    return err ? err : bad;
}

static int attach(struct p9_client *client, struct p9_fid **out, struct p9_qid *qid)
{
    struct p9_fid *fid = p9_fid_create(client);
    struct p9_msg m;

    int err = fid ? p9_begin(client, &m, P9_ATTACH) : -ENOMEM;
    if (err)
        goto fail;
    p9_put32(&m, fid->nr);
    p9_put32(&m, (u32)NO_FID);
    p9_put_str(&m, "", 0);
    p9_put_str(&m, "", 0);
    p9_put32(&m, 0);
    err = p9_call(&m, NULL, 0);
    if (!err)
        p9_get_qid(&m, qid);
    int bad = p9_end(&m);
    err = err ? err : bad;
    if (err)
        goto fail;
    *out = fid;
    return 0;
fail:
    kfree(fid);
    return err;
}

static int mount_root_of(struct super_block *sb)
{
    struct p9_client *client = sb->data;
    struct inode *root;
    struct p9_fid *fid;
    struct p9_qid qid;

    int err = negotiate(client);
    if (!err)
        err = attach(client, &fid, &qid);
    if (!err)
        err = p9_iget(sb, fid, &qid, &root);
    if (err)
        return err;
    if (S_ISDIR(root->mode))
        sb->root = dentry_create_root(root);
    else
        inode_put(root);
    return sb->root ? 0 : -ENOTDIR;
}

int p9_mount(const char *name, struct super_block **out)
{
    struct p9_channel *channel = p9_channel_find(name);
    if (!channel)
        return -ENODEV;
    struct super_block *sb = super_create("9p", P9_MAGIC);
    struct p9_client *client = kzalloc(sizeof(*client));
    int err = -ENOMEM;
    if (!sb || !client)
        goto fail;
    client->channel = channel;
    waitq_init(&client->waitq);
    sb->data = client;
    sb->ops = &p9_super_ops;
    sb->inode_extra = sizeof(struct p9_inode);
    sb->block_size = PAGE_SIZE;
    err = mount_root_of(sb);
    if (err)
        goto fail;
    *out = sb;
    return 0;
fail:
    if (sb)
        super_destroy(sb);
    kfree(client);
    return err;
}
