#include "device/share.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { QUEUE = 0, LEAST_ANSWER = P9_HEADER + 4, LEAST_MSIZE = 4096, MOST_MSIZE = 1 << 20 };

/* ---- messages ---- */

static void take(struct share_call *call, void *to, u32 len)
{
    if (call->bad || len > call->len - call->pos) {
        call->bad = true;
        memset(to, 0, len);
        return;
    }
    memcpy(to, call->share->question + call->pos, len);
    call->pos += len;
}

u16 share_get16(struct share_call *call)
{
    u16 value;

    take(call, &value, sizeof(value));
    return value;
}

u32 share_get32(struct share_call *call)
{
    u32 value;

    take(call, &value, sizeof(value));
    return value;
}

u64 share_get64(struct share_call *call)
{
    u64 value;

    take(call, &value, sizeof(value));
    return value;
}

void share_get_str(struct share_call *call, char *text, size_t room)
{
    u32 len = share_get16(call);

    *text = 0;
    if (call->bad || len > call->len - call->pos) {
        call->bad = true;
        return;
    }
    const u8 *bytes = call->share->question + call->pos;
    call->pos += len;
    if (len >= room || memchr(bytes, 0, len))
        return;
    memcpy(text, bytes, len);
    text[len] = 0;
}

void share_put(struct share_call *call, const void *bytes, size_t len)
{
    memcpy(call->share->answer + call->out, bytes, len); /* handlers know what fits */
    call->out += (u32)len;
}

void share_put16(struct share_call *call, u16 value)
{
    share_put(call, &value, sizeof(value));
}

void share_put32(struct share_call *call, u32 value)
{
    share_put(call, &value, sizeof(value));
}

void share_put64(struct share_call *call, u64 value)
{
    share_put(call, &value, sizeof(value));
}

bool share_is_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* ---- the session ---- */

static int version(struct share_call *call)
{
    static const char ours[] = "9P2000.L", unknown[] = "unknown";
    char theirs[16];
    u32 msize = share_get32(call);

    share_get_str(call, theirs, sizeof(theirs));
    if (call->bad || msize < LEAST_MSIZE)
        return -EPROTO;
    share_forget(call->share);
    bool good = !strcmp(theirs, ours);
    share_put32(call, min(msize, (u32)MOST_MSIZE));
    share_put16(call, (u16)strlen(good ? ours : unknown));
    share_put(call, good ? ours : unknown, strlen(good ? ours : unknown));
    return 0;
}

static int attach(struct share_call *call)
{
    struct share *share = call->share;
    u32 nr = share_get32(call);
    struct stat st;

    if (call->bad)
        return -EPROTO;
    int fd = openat(share->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st)) {
        int err = -errno;
        close(fd);
        return err;
    }
    int err = share_add(share, nr, fd);
    return err ? err : share_put_qid(call, &st);
}

static int clunk(struct share_call *call)
{
    u32 nr = share_get32(call);

    if (!share_find(call->share, nr))
        return -EBADF;
    share_remove(call->share, nr);
    return 0;
}

/* Messages are answered in their order: the one that is meant has its answer already. */
static int flush(struct share_call *call)
{
    (void)share_get16(call);
    return 0;
}

struct kind {
    share_handler *handle;
    bool changes; /* the folder */
};

static const struct kind kinds[] = {
    [P9_STATFS] = {share_statfs, false},
    [P9_LOPEN] = {share_lopen, false},
    [P9_LCREATE] = {share_lcreate, true},
    [P9_SYMLINK] = {share_symlink, true},
    [P9_MKNOD] = {share_mknod, true},
    [P9_READLINK] = {share_readlink, false},
    [P9_GETATTR] = {share_getattr, false},
    [P9_SETATTR] = {share_setattr, true},
    [P9_READDIR] = {share_readdir, false},
    [P9_FSYNC] = {share_fsync, false},
    [P9_LINK] = {share_link, true},
    [P9_MKDIR] = {share_mkdir, true},
    [P9_RENAMEAT] = {share_renameat, true},
    [P9_UNLINKAT] = {share_unlinkat, true},
    [P9_VERSION] = {version, false},
    [P9_ATTACH] = {attach, false},
    [P9_FLUSH] = {flush, false},
    [P9_WALK] = {share_walk, false},
    [P9_READ] = {share_read, false},
    [P9_WRITE] = {share_write, true},
    [P9_CLUNK] = {clunk, false},
};

static int handle(struct share_call *call, u8 type)
{
    const struct kind *kind = type < ARRAY_LEN(kinds) ? &kinds[type] : NULL;

    if (!kind || !kind->handle)
        return -EOPNOTSUPP;
    if (kind->changes && call->share->readonly)
        return -EROFS;
    return kind->handle(call);
}

/* ---- the device ---- */

static void put_header(struct share_call *call, u8 type, u16 tag)
{
    u32 size = call->out + call->direct;

    memcpy(call->share->answer, &size, sizeof(size));
    call->share->answer[4] = type;
    memcpy(call->share->answer + 5, &tag, sizeof(tag));
}

/* What is wrong with it, or NULL. */
static const char *read_question(struct share_call *call)
{
    const struct ring_chain *chain = call->chain;
    struct share *share = call->share;

    if (chain->out_bytes < P9_HEADER || chain->in_bytes < LEAST_ANSWER)
        return "a message without a header or room for an answer";
    ring_copy_out(chain->piece, chain->nr_out, 0, share->question,
                  min(chain->out_bytes, (u64)SHARE_QUESTION));
    u32 size = share_get32(call);
    if (size < P9_HEADER || size > chain->out_bytes)
        return "a message of another length than it says";
    if (size > SHARE_QUESTION && share->question[4] != P9_WRITE)
        return "a message that is too long";
    call->len = min(size, (u32)SHARE_QUESTION);
    call->pos = P9_HEADER;
    return NULL;
}

static void serve_one(struct share *share, struct ring_chain *chain)
{
    struct share_call call = {.share = share, .chain = chain, .len = P9_HEADER, .out = P9_HEADER};
    u16 tag;

    const char *wrong = read_question(&call);
    if (wrong) {
        device_break(&share->dev, wrong);
        return;
    }
    u8 type = share->question[4];
    memcpy(&tag, share->question + 5, sizeof(tag));
    int err = handle(&call, type);
    if (call.bad) {
        device_break(&share->dev, "a message that ends too soon");
        return;
    }
    if (err) {
        call.out = P9_HEADER;
        call.direct = 0;
        share_put32(&call, (u32)-err);
    }
    if (call.out + (u64)call.direct > chain->in_bytes) {
        device_break(&share->dev, "too little room for an answer");
        return;
    }
    put_header(&call, err ? P9_LERROR : (u8)(type + 1), tag);
    ring_copy_in(chain->piece + chain->nr_out, chain->nr_in, share->answer, call.out);
    ring_give(&share->dev.ring[QUEUE], chain->head, call.out + call.direct);
}

bool share_serve(struct share *share)
{
    struct ring_chain chain;
    bool served = false;

    device_update(&share->dev);
    while (device_take(&share->dev, QUEUE, &chain)) {
        serve_one(share, &chain);
        device_publish(&share->dev, QUEUE);
        served = true;
    }
    return served;
}

void *share_run(void *arg)
{
    struct share *share = arg;
    struct pollfd doorbell[1];

    for (;;) {
        if (share_serve(share))
            continue;
        if (share->dev.gone)
            return NULL;
        device_wait(&share->dev, doorbell, 0, -1, 0);
    }
}
