/* 9p messages: made, sent, and read within their bounds.  Numbers are little endian, as we are. */
#include "abi/errno.h"
#include "fs/9p/priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"

enum { FIRST_TAG = 1, ERRNO_LAST = 4095, NO_TAG = 0xffff };

/* A free slot, whose number makes the tag. */
static bool take_slot(struct p9_client *client, u32 *slot)
{
    spin_lock(&client->lock);
    u32 left = ~client->busy & (BIT(P9_SLOTS) - 1);
    if (left) {
        *slot = (u32)__builtin_ctz(left);
        client->busy |= 1u << *slot;
    }
    spin_unlock(&client->lock);
    return left;
}

static void free_slot(struct p9_client *client, u32 slot)
{
    spin_lock(&client->lock);
    client->busy &= ~(1u << slot);
    spin_unlock(&client->lock);
    waitq_wake_all(&client->waitq, 0);
}

void p9_put(struct p9_msg *m, const void *bytes, size_t len)
{
    if (m->bad || len > P9_SLOT_HALF - m->len) {
        m->bad = true;
        return;
    }
    memcpy(m->out + m->len, bytes, len);
    m->len += (u32)len;
}

void p9_put16(struct p9_msg *m, u16 value)
{
    p9_put(m, &value, sizeof(value));
}

void p9_put32(struct p9_msg *m, u32 value)
{
    p9_put(m, &value, sizeof(value));
}

void p9_put64(struct p9_msg *m, u64 value)
{
    p9_put(m, &value, sizeof(value));
}

void p9_put_str(struct p9_msg *m, const char *text, size_t len)
{
    if (len > UINT16_MAX)
        m->bad = true;
    p9_put16(m, (u16)len);
    p9_put(m, text, len);
}

int p9_begin(struct p9_client *client, struct p9_msg *m, enum p9_type type)
{
    u8 byte = (u8)type;

    *m = (struct p9_msg){.client = client};
    (void)wait_event(&client->waitq, take_slot(client, &m->slot), false, NO_DEADLINE);
    struct page **page = &client->slots[m->slot];
    if (!*page)
        *page = page_alloc(P9_SLOT_ORDER, 0);
    if (!*page) {
        free_slot(client, m->slot);
        return -ENOMEM;
    }
    m->out = page_to_virt(*page);
    m->in = m->out + P9_SLOT_HALF;
    p9_put32(m, 0); /* the length: p9_call() */
    p9_put(m, &byte, sizeof(byte));
    p9_put16(m, type == P9_VERSION ? (u16)NO_TAG : (u16)(FIRST_TAG + m->slot));
    return 0;
}

static const u8 *take(struct p9_msg *m, u32 len)
{
    if (m->bad || len > m->end - m->pos) {
        m->bad = true;
        return NULL;
    }
    m->pos += len;
    return m->in + m->pos - len;
}

u8 p9_get8(struct p9_msg *m)
{
    const u8 *p = take(m, 1);

    return p ? *p : 0;
}

u16 p9_get16(struct p9_msg *m)
{
    const u8 *p = take(m, sizeof(u16));
    u16 value = 0;

    if (p)
        memcpy(&value, p, sizeof(value));
    return value;
}

u32 p9_get32(struct p9_msg *m)
{
    const u8 *p = take(m, sizeof(u32));
    u32 value = 0;

    if (p)
        memcpy(&value, p, sizeof(value));
    return value;
}

u64 p9_get64(struct p9_msg *m)
{
    const u8 *p = take(m, sizeof(u64));
    u64 value = 0;

    if (p)
        memcpy(&value, p, sizeof(value));
    return value;
}

void p9_get_qid(struct p9_msg *m, struct p9_qid *qid)
{
    qid->type = p9_get8(m);
    qid->version = p9_get32(m);
    qid->path = p9_get64(m);
}

const char *p9_get_str(struct p9_msg *m, u16 *len)
{
    *len = p9_get16(m);
    return (const char *)take(m, *len);
}

/* The answer's header, and what is wrong with it; [.pos, .end) is what follows. */
static int check_answer(struct p9_msg *m, u32 got, u32 in_slot)
{
    u8 type;
    u16 tag;

    m->pos = 0;
    m->end = min(got, in_slot);
    u32 size = p9_get32(m);
    type = p9_get8(m);
    memcpy(&tag, m->out + 5, sizeof(tag));
    if (p9_get16(m) != tag || m->bad || size > got)
        return -EIO;
    m->end = min(size, in_slot);
    if (type == P9_LERROR) {
        u32 code = p9_get32(m);
        return m->bad || !code || code > ERRNO_LAST ? -EIO : -(int)code;
    }
    return type == m->out[4] + 1 ? 0 : -EIO;
}

static int send(struct p9_msg *m, struct p9_exchange *x)
{
    u32 size = m->len + (x->out[1] ? x->out_len[1] : 0);

    if (m->bad)
        return -ENAMETOOLONG;
    memcpy(m->out, &size, sizeof(size));
    x->out[0] = m->out;
    x->out_len[0] = m->len;
    x->in[0] = m->in;
    int err = m->client->channel->exchange(m->client->channel, x);
    return err ? err : check_answer(m, x->got, x->in_len[0]);
}

int p9_call(struct p9_msg *m, const void *data, u32 data_len)
{
    struct p9_exchange x = {
        .out = {NULL, data}, .out_len = {0, data_len}, .in_len = {P9_SLOT_HALF}};

    return send(m, &x);
}

int p9_call_read(struct p9_msg *m, void *into, u32 room, u32 *got)
{
    struct p9_exchange x = {.in = {NULL, into}, .in_len = {P9_DATA_HEADER, room}};

    int err = send(m, &x);
    if (err)
        return err;
    u32 count = p9_get32(m);
    if (m->bad || count > room || count > x.got - P9_DATA_HEADER)
        return -EIO;
    *got = count;
    return 0;
}

int p9_end(struct p9_msg *m)
{
    bool bad = m->bad;

    free_slot(m->client, m->slot);
    return bad ? -EIO : 0;
}

int p9_finish(struct p9_msg *m)
{
    int err = p9_call(m, NULL, 0);

    m->bad = false;
    (void)p9_end(m);
    return err;
}

struct p9_fid *p9_fid_create(struct p9_client *client)
{
    struct p9_fid *fid = kmalloc(sizeof(*fid));

    if (!fid)
        return NULL;
    *fid = (struct p9_fid){.client = client,
                           .nr = __atomic_fetch_add(&client->next_fid, 1, __ATOMIC_RELAXED)};
    fid->refs.raw = 1;
    return fid;
}

void p9_fid_put(struct p9_fid *fid)
{
    struct p9_msg m;

    if (!fid || !ref_put(&fid->refs))
        return;
    if (!p9_begin(fid->client, &m, P9_CLUNK)) {
        p9_put32(&m, fid->nr);
        (void)p9_finish(&m); /* a server that will not forget it has only itself to blame */
    }
    kfree(fid);
}

struct p9_fid *p9_fid_of(const struct inode *inode)
{
    struct p9_inode *pi = p9_inode_of(inode);

    spin_lock(&pi->lock);
    struct p9_fid *fid = pi->fid;
    p9_fid_get(fid);
    spin_unlock(&pi->lock);
    return fid;
}

static int walk(struct p9_fid *from, struct p9_fid *to, const char *name, size_t len,
                struct p9_qid *qid)
{
    struct p9_msg m;

    int err = p9_begin(from->client, &m, P9_WALK);
    if (err)
        return err;
    p9_put32(&m, from->nr);
    p9_put32(&m, to->nr);
    p9_put16(&m, name ? 1 : 0);
    if (name)
        p9_put_str(&m, name, len);
    err = p9_call(&m, NULL, 0);
    if (!err && p9_get16(&m) != (name ? 1 : 0))
        err = m.bad ? -EIO : -ENOENT;
    if (!err && name)
        p9_get_qid(&m, qid);
    int bad = p9_end(&m);
    return err ? err : bad;
}

int p9_walk(struct p9_fid *from, const char *name, size_t len, struct p9_fid **out,
            struct p9_qid *qid)
{
    struct p9_fid *fid = p9_fid_create(from->client);
    if (!fid)
        return -ENOMEM;

    int err = walk(from, fid, name, len, qid);
    if (err)
        kfree(fid); /* the server never had it */
    else
        *out = fid;
    return err;
}

int p9_open(struct inode *inode, u32 flags, struct p9_fid **out)
{
    struct p9_fid *from = p9_fid_of(inode), *fid;
    struct p9_msg m;

    int err = p9_walk(from, NULL, 0, &fid, NULL);
    p9_fid_put(from);
    if (err)
        return err;
    err = p9_begin(fid->client, &m, P9_LOPEN);
    if (!err) {
        p9_put32(&m, fid->nr);
        p9_put32(&m, flags);
        err = p9_finish(&m);
    }
    if (err)
        p9_fid_put(fid);
    else
        *out = fid;
    return err;
}
