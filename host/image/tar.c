#include "image/tar.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAR_BLOCK = 512,
    TAR_NAME_MAX = 64 << 10, /* bytes of an extended header: the longest names are 4 KiB */
};

#define TAR_TIME_MAX (1ll << 33)

struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
static_assert(sizeof(struct tar_header) == TAR_BLOCK, "one block");

/* What the headers before an entry say of it. */
struct tar_extra {
    char *path, *target; /* owned */
    bool has_size, has_uid, has_gid, has_mtime;
    u64 size, uid, gid;
    s64 mtime;
    u32 mtime_ns;
};

static void extra_free(struct tar_extra *extra)
{
    free(extra->path);
    free(extra->target);
    *extra = (struct tar_extra){0};
}

void tar_free(struct tar *tar)
{
    free(tar->path);
    free(tar->target);
    tar->path = tar->target = NULL;
    tar->at = 0;
}

static int tar_damaged(const struct tar *tar, const char *what, struct err *err)
{
    return err_set(err, EINVAL, "damaged archive: %s at byte %zu", what, tar->at);
}

/* An octal number between blanks, or GNU's base 256; false: neither, or above 2^63. */
static bool tar_number(const char *field, size_t len, u64 *out)
{
    u64 value = 0;
    size_t i = 0;

    if ((u8)field[0] & 0x80) {
        value = (u8)field[0] & 0x7f;
        for (i = 1; i < len; i++) {
            if (value >> 55)
                return false;
            value = value << 8 | (u8)field[i];
        }
        *out = value;
        return true;
    }
    while (i < len && field[i] == ' ')
        i++;
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (u64)(field[i] - '0'); /* 12 digits at most: 36 bits */
    *out = value;
    return i == len || field[i] == ' ' || field[i] == 0;
}

static bool tar_sum_fits(const struct tar_header *header)
{
    const u8 *bytes = (const u8 *)header;
    u64 wanted, sum = 0;
    size_t at = offsetof(struct tar_header, sum);

    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= at && i < at + sizeof(header->sum) ? ' ' : bytes[i];
    return tar_number(header->sum, sizeof(header->sum), &wanted) && sum == wanted;
}

static bool tar_is_zero(const u8 *block)
{
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

bool tar_begins(const u8 *data, size_t len)
{
    if (len < TAR_BLOCK)
        return false;
    return tar_is_zero(data) || tar_sum_fits((const struct tar_header *)(const void *)data);
}

static char *tar_text(const char *field, size_t len)
{
    return str_printf("%.*s", (int)strnlen(field, len), field);
}

static bool pax_number(const char *value, u64 *out)
{
    char *end;

    errno = 0;
    *out = strtoull(value, &end, 10);
    return *value >= '0' && *value <= '9' && !*end && !errno;
}

/* "1700000000.25": seconds and their fraction. Before 1970 is 1970. */
static bool pax_time(const char *value, struct tar_extra *extra)
{
    char *end;
    u32 unit = 100000000;

    errno = 0;
    extra->mtime = strtoll(value, &end, 10);
    extra->mtime_ns = 0;
    if (end == value || errno || (*end && *end != '.'))
        return false;
    for (; *end && *++end >= '0' && *end <= '9'; unit /= 10)
        extra->mtime_ns += unit * (u32)(*end - '0');
    if (value[0] == '-')
        extra->mtime = extra->mtime_ns = 0;
    return !*end;
}

static void extra_text(char **slot, const char *value)
{
    free(*slot);
    *slot = str_dup(value);
}

/* One "KEY=VALUE" of an extended header.  Returns NULL, or what is wrong. */
static const char *pax_take(const char *key, const char *value, struct tar_extra *extra)
{
    if (strcmp(key, "path") == 0)
        extra_text(&extra->path, value);
    else if (strcmp(key, "linkpath") == 0)
        extra_text(&extra->target, value);
    else if (strcmp(key, "size") == 0)
        return (extra->has_size = pax_number(value, &extra->size)) ? NULL : "no size";
    else if (strcmp(key, "uid") == 0)
        return (extra->has_uid = pax_number(value, &extra->uid)) ? NULL : "no user id";
    else if (strcmp(key, "gid") == 0)
        return (extra->has_gid = pax_number(value, &extra->gid)) ? NULL : "no group id";
    else if (strcmp(key, "mtime") == 0)
        return (extra->has_mtime = pax_time(value, extra)) ? NULL : "no time";
    else if (str_starts(key, "GNU.sparse."))
        return "a sparse file";
    return NULL;
}

/* Records "LENGTH KEY=VALUE\n"; the length counts itself.  Returns NULL, or what is wrong. */
static const char *pax_parse(const char *text, size_t len, struct tar_extra *extra)
{
    while (len) {
        char *end;
        if (*text < '1' || *text > '9')
            return "an extended header without a length";
        u64 record = strtoull(text, &end, 10); /* stops at the NUL behind the text, if not before */
        size_t digits = (size_t)(end - text);
        if (record > len || digits + 2 > record || *end != ' ' || text[record - 1] != '\n')
            return "an extended header of a wrong length";
        char *key CLEANUP(mem_free) = str_printf("%.*s", (int)(record - digits - 2), end + 1);
        char *equals = strchr(key, '=');
        bool whole = strlen(key) == record - digits - 2; /* a NUL would cut a name off */
        if (!equals || (!whole && !str_starts(key, "SCHILY.xattr.")))
            return "an extended header that is no text";
        *equals = 0;
        const char *bad = pax_take(key, equals + 1, extra);
        if (bad)
            return bad;
        text += record;
        len -= record;
    }
    return NULL;
}

/* The bytes of a header's entry; @at goes to the block behind them. */
static int tar_data(struct tar *tar, u64 size, const u8 **data, struct err *err)
{
    size_t left = tar->len - tar->at - TAR_BLOCK;

    if (size > left)
        return tar_damaged(tar, "the archive ends within a file", err);
    *data = tar->data + tar->at + TAR_BLOCK;
    tar->at += TAR_BLOCK + min(ALIGN_UP(size, (u64)TAR_BLOCK), (u64)left);
    return 0;
}

/* A header that speaks of the next one: 'x' (pax), 'L' and 'K' (GNU names); 'g' is of no use. */
static int tar_extra(struct tar *tar, char type, u64 size, struct tar_extra *extra, struct err *err)
{
    const u8 *data;

    if (size > TAR_NAME_MAX)
        return tar_damaged(tar, "an extended header of more than 64 KiB", err);
    int failed = tar_data(tar, size, &data, err);
    if (failed || type == 'g')
        return failed;
    char *text CLEANUP(mem_free) = mem_new(size + 1);
    memcpy(text, data, size);
    if (type == 'x') {
        const char *bad = pax_parse(text, size, extra);
        return bad ? tar_damaged(tar, bad, err) : 0;
    }
    extra_text(type == 'L' ? &extra->path : &extra->target, text);
    return 0;
}

static char *tar_path(const struct tar_header *header)
{
    char *name CLEANUP(mem_free) = tar_text(header->name, sizeof(header->name));

    if (memcmp(header->magic, "ustar", 6) != 0 || !header->prefix[0]) /* GNU's has times there */
        return TAKE(name, NULL);
    char *prefix CLEANUP(mem_free) = tar_text(header->prefix, sizeof(header->prefix));
    return str_printf("%s/%s", prefix, name);
}

static enum tar_type tar_type(char type, const char *path)
{
    switch (type) {
    case 0:
    case '0':
    case '7': /* contiguous */
        return str_ends(path, "/") ? TAR_DIR : TAR_FILE;
    case '1':
        return TAR_HARD_LINK;
    case '2':
        return TAR_LINK;
    case '5':
        return TAR_DIR;
    default:
        return TAR_OTHER;
    }
}

static bool tar_fields(const struct tar_header *header, const struct tar_extra *extra,
                       struct tar_entry *out)
{
    u64 mode, uid, gid, mtime;

    if (!tar_number(header->mode, sizeof(header->mode), &mode))
        return false;
    if (!tar_number(header->uid, sizeof(header->uid), &uid) && !extra->has_uid)
        return false;
    if (!tar_number(header->gid, sizeof(header->gid), &gid) && !extra->has_gid)
        return false;
    if (!tar_number(header->mtime, sizeof(header->mtime), &mtime))
        mtime = 0; /* before 1970 */
    uid = extra->has_uid ? extra->uid : uid;
    gid = extra->has_gid ? extra->gid : gid;
    s64 time = extra->has_mtime ? extra->mtime : (s64)mtime;
    out->mode = (u32)mode & 07777;
    out->uid = (u32)uid;
    out->gid = (u32)gid;
    out->mtime = time < 0 ? 0 : min(time, (s64)TAR_TIME_MAX);
    out->mtime_ns = extra->has_mtime ? extra->mtime_ns : 0;
    return uid < UINT32_MAX && gid < UINT32_MAX;
}

static int tar_entry(struct tar *tar, const struct tar_header *header, u64 size,
                     struct tar_extra *extra, struct tar_entry *out, struct err *err)
{
    bool has_data = !header->type || strchr("07", header->type);

    free(tar->path);
    free(tar->target);
    tar->path = extra->path ? TAKE(extra->path, NULL) : tar_path(header);
    tar->target =
        extra->target ? TAKE(extra->target, NULL) : tar_text(header->link, sizeof(header->link));
    *out = (struct tar_entry){.type = tar_type(header->type, tar->path),
                              .path = tar->path,
                              .target = tar->target,
                              .size = extra->has_size ? extra->size : size};
    if (!tar_fields(header, extra, out))
        return tar_damaged(tar, "no number where one should be", err);
    /* Only files have content; what others say of a size is none (a hard link repeats its file's).
     */
    if (out->type == TAR_LINK || out->type == TAR_HARD_LINK || (out->type == TAR_DIR && !has_data))
        out->size = 0;
    return tar_data(tar, out->size, &out->data, err);
}

int tar_next(struct tar *tar, struct tar_entry *out, struct err *err)
{
    struct tar_extra extra CLEANUP(extra_free) = {0};
    u64 size;

    while (tar->len - tar->at >= TAR_BLOCK) {
        const struct tar_header *header = (const void *)(tar->data + tar->at);
        if (tar_is_zero(tar->data + tar->at))
            return 0;
        if (!tar_sum_fits(header))
            return tar_damaged(tar, "a wrong checksum", err);
        if (!tar_number(header->size, sizeof(header->size), &size))
            return tar_damaged(tar, "no size", err);
        if (header->type == 'S' || header->type == 'M')
            return err_set(err, ENOTSUP, "a sparse file, or one of several volumes, at byte %zu",
                           tar->at);
        if (!header->type || !strchr("xgLK", header->type)) {
            int failed = tar_entry(tar, header, size, &extra, out, err);
            return failed ? failed : 1;
        }
        int failed = tar_extra(tar, header->type, size, &extra, err);
        if (failed)
            return failed;
    }
    return tar->at == tar->len ? 0 : tar_damaged(tar, "the archive ends within a header", err);
}
