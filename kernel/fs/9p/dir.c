/* Names in a shared folder.  The server's positions are its own; 0 is its first. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/9p/priv.h"
#include "lib/string.h"
#include "mm/page.h"
#include "sched/thread.h"

enum { REMOVE_DIR = 0x200 };
#define POS_SHIFTED BIT(62) /* with one of ours: the server's of that number */

static u64 pos_of(u64 offset)
{
    return offset <= READDIR_FIRST ? offset | POS_SHIFTED : offset;
}

static u64 offset_of(u64 pos)
{
    if (pos == READDIR_FIRST)
        return 0;
    return (pos & ~POS_SHIFTED) <= READDIR_FIRST ? pos & ~POS_SHIFTED : pos;
}

static int p9_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct p9_fid *from = p9_fid_of(dir), *fid;
    struct p9_qid qid;

    int err = p9_walk(from, name, len, &fid, &qid);
    p9_fid_put(from);
    return err ? err : p9_iget(dir->sb, fid, &qid, out);
}

/* A message about @name in @dir. *@fid has a reference for as long as it is used. */
static int begin_at(struct p9_msg *m, enum p9_type type, const struct inode *dir, const char *name,
                    size_t len, struct p9_fid **fid)
{
    int err = p9_begin(p9_client_of(dir), m, type);
    if (err)
        return err;
    *fid = p9_fid_of(dir);
    p9_put32(m, (*fid)->nr);
    p9_put_str(m, name, len);
    return 0;
}

static int finish_at(struct p9_msg *m, struct p9_fid *fid)
{
    int err = p9_finish(m);

    p9_fid_put(fid);
    return err;
}

/* A fid of its own: the answer opens it. */
/* Whom a new file's group is; its user is the server's to say. */
static u32 group_for(const struct inode *dir)
{
    const struct creds *c = current_creds();

    return dir->mode & S_ISGID || !c ? dir->gid : c->fsgid;
}

static int create_file(struct inode *dir, const char *name, size_t len, u32 mode)
{
    struct p9_fid *from = p9_fid_of(dir), *fid;
    struct p9_msg m;

    int err = p9_walk(from, NULL, 0, &fid, NULL);
    p9_fid_put(from);
    if (err)
        return err;
    err = p9_begin(fid->client, &m, P9_LCREATE);
    if (!err) {
        p9_put32(&m, fid->nr);
        p9_put_str(&m, name, len);
        p9_put32(&m, O_CREAT | O_EXCL | O_WRONLY);
        p9_put32(&m, mode & 07777);
        p9_put32(&m, group_for(dir));
        err = p9_finish(&m);
    }
    p9_fid_put(fid);
    return err;
}

static int create_other(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev)
{
    struct p9_fid *fid;
    struct p9_msg m;
    bool folder = S_ISDIR(mode);

    int err = begin_at(&m, folder ? P9_MKDIR : P9_MKNOD, dir, name, len, &fid);
    if (err)
        return err;
    p9_put32(&m, folder ? mode & 07777 : mode);
    if (!folder) {
        p9_put32(&m, (u32)(rdev >> 8 & 0xfff));
        p9_put32(&m, (u32)((rdev & 0xff) | (rdev >> 12 & 0xfff00)));
    }
    p9_put32(&m, group_for(dir));
    return finish_at(&m, fid);
}

static int p9_create(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                     struct inode **out)
{
    int err = S_ISREG(mode) ? create_file(dir, name, len, mode)
                            : create_other(dir, name, len, mode, rdev);

    return err ? err : p9_lookup(dir, name, len, out);
}

static int p9_symlink(struct inode *dir, const char *name, size_t len, const char *target,
                      struct inode **out)
{
    struct p9_fid *fid;
    struct p9_msg m;

    int err = begin_at(&m, P9_SYMLINK, dir, name, len, &fid);
    if (err)
        return err;
    p9_put_str(&m, target, strlen(target));
    p9_put32(&m, group_for(dir));
    err = finish_at(&m, fid);
    return err ? err : p9_lookup(dir, name, len, out);
}

static int p9_link(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct p9_msg m;

    int err = p9_begin(p9_client_of(dir), &m, P9_LINK);
    if (err)
        return err;
    struct p9_fid *at = p9_fid_of(dir), *fid = p9_fid_of(inode);
    p9_put32(&m, at->nr);
    p9_put32(&m, fid->nr);
    p9_put_str(&m, name, len);
    err = p9_finish(&m);
    p9_fid_put(at);
    p9_fid_put(fid);
    if (!err)
        inode->nlink++;
    return err;
}

static int remove_name(struct inode *dir, const char *name, size_t len, u32 flags)
{
    struct p9_fid *fid;
    struct p9_msg m;

    int err = begin_at(&m, P9_UNLINKAT, dir, name, len, &fid);
    if (err)
        return err;
    p9_put32(&m, flags);
    return finish_at(&m, fid);
}

static int p9_unlink(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    int err = remove_name(dir, name, len, 0);

    if (!err && inode->nlink)
        inode->nlink--;
    return err;
}

static int p9_rmdir(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    int err = remove_name(dir, name, len, REMOVE_DIR);

    if (!err)
        inode->nlink = 0;
    return err;
}

static int p9_rename(struct inode *old_dir, const char *old_name, size_t old_len,
                     struct inode *inode, struct inode *new_dir, const char *new_name,
                     size_t new_len, struct inode *replaced, u32 flags)
{
    struct p9_fid *from;
    struct p9_msg m;

    (void)inode, (void)replaced;
    if (flags & RENAME_EXCHANGE)
        return -EINVAL;
    int err = begin_at(&m, P9_RENAMEAT, old_dir, old_name, old_len, &from);
    if (err)
        return err;
    struct p9_fid *to = p9_fid_of(new_dir);
    p9_put32(&m, to->nr);
    p9_put_str(&m, new_name, new_len);
    err = finish_at(&m, from);
    p9_fid_put(to);
    return err;
}

static bool is_dots(const char *name, u16 len)
{
    return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
}

/* The bytes of one answer. 1: the sink is full. */
static int pass_names(const u8 *bytes, u32 len, u64 *offset, struct dir_sink *sink)
{
    struct p9_msg m = {.in = (u8 *)(uintptr_t)bytes, .end = len};

    while (m.pos < m.end) {
        struct p9_qid qid;
        u16 name_len;
        p9_get_qid(&m, &qid);
        u64 next = p9_get64(&m);
        u8 type = p9_get8(&m);
        const char *name = p9_get_str(&m, &name_len);
        if (!name || !name_len || memchr(name, '/', name_len) || memchr(name, 0, name_len))
            return -EIO;
        if (!is_dots(name, name_len) &&
            !sink->add(sink, name, name_len, qid.path, pos_of(next), type))
            return 1;
        *offset = next;
    }
    return 0;
}

static int read_names(struct p9_fid *fid, u8 *buf, u64 *offset, struct dir_sink *sink)
{
    struct p9_msg m;
    u32 got = 0;

    do {
        int err = p9_begin(fid->client, &m, P9_READDIR);
        if (err)
            return err;
        p9_put32(&m, fid->nr);
        p9_put64(&m, *offset);
        p9_put32(&m, P9_DATA_MAX);
        err = p9_call_read(&m, buf, P9_DATA_MAX, &got);
        int bad = p9_end(&m);
        if (!err)
            err = bad ? bad : pass_names(buf, got, offset, sink);
        if (err)
            return err < 0 ? err : 0;
    } while (got);
    return 0;
}

static int p9_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    u64 offset = offset_of(*pos);
    struct page *page = page_alloc(P9_DATA_ORDER, 0);
    struct p9_fid *fid;

    if (!page)
        return -ENOMEM;
    int err = p9_open(dir, O_RDONLY | O_DIRECTORY, &fid);
    if (!err) {
        u64 at = offset;
        err = read_names(fid, page_to_virt(page), &at, sink);
        if (at != offset)
            *pos = pos_of(at);
        p9_fid_put(fid);
    }
    page_put(page);
    return err;
}

const struct inode_ops p9_dir_ops = {
    .lookup = p9_lookup,
    .create = p9_create,
    .symlink = p9_symlink,
    .link = p9_link,
    .unlink = p9_unlink,
    .rmdir = p9_rmdir,
    .rename = p9_rename,
    .iterate = p9_iterate,
    .getattr = p9_getattr,
    .setattr = p9_setattr,
    .uncached = true,
};
