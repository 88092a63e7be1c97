#include "fs/partition.h"

#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "disk/partition.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { MAX_PARTITIONS = 128, MAX_LOGICAL = 60, PROBE_BYTES = 4096 };

/* A piece of a disk, itself a disk. Fields: [I]. */
struct partition {
    struct block_dev bd;
    struct block_dev *whole;
    u64 start; /* sectors */
    char name[24];
    char uuid[40];  /* as PARTUUID= has it, in small letters */
    char label[40]; /* of GPT, what is not ASCII as '?' */
    struct list_head node;
};

static struct list_head partitions = LIST_INIT(partitions); /* only ever added to, at start */

static void partition_submit(struct block_dev *bd, struct block_request *request)
{
    const struct partition *p = bd->data;

    /* Whoever made the request has checked it against the partition's end. */
    request->sector += request->op == BLOCK_FLUSH ? 0 : p->start;
    p->whole->ops->submit(p->whole, request);
}

static const struct block_ops partition_ops = {.submit = partition_submit};

/* Takes the limits and abilities of the whole disk. */
static void add_partition(struct block_dev *whole, u32 number, u64 start, u64 sectors,
                          const char *uuid, const char *label)
{
    if (!sectors || start >= whole->sectors || sectors > whole->sectors - start) {
        log_warn("%s: partition %u lies outside the disk", whole->name, number);
        return;
    }
    struct partition *p = kzalloc(sizeof(*p));
    if (!p) {
        log_err("%s: no memory for partition %u", whole->name, number);
        return;
    }
    char last = whole->name[strlen(whole->name) - 1];
    format(p->name, sizeof(p->name), "%s%s%u", whole->name, last >= '0' && last <= '9' ? "p" : "",
           number);
    str_copy(p->uuid, uuid, sizeof(p->uuid));
    str_copy(p->label, label, sizeof(p->label));
    p->whole = whole;
    p->start = start;
    p->bd = *whole;
    p->bd.name = p->name;
    p->bd.ops = &partition_ops;
    p->bd.sectors = sectors;
    p->bd.data = p;
    p->bd.whole = whole;
    memset(p->bd.counts, 0, sizeof(p->bd.counts));
    p->bd.dev = 0;
    if (block_add(&p->bd)) {
        kfree(p);
        return;
    }
    list_add_tail(&partitions, &p->node);
}

/* ---- GPT ---- */

/* Of the reflected polynomial 0xedb88320, as the table has it. */
static u32 crc32(const u8 *data, size_t len)
{
    u32 crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (u32 bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* The first three fields of a GUID are little endian. */
static void format_guid(const u8 *g, char *text, size_t size)
{
    format(text, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", g[3],
           g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14],
           g[15]);
}

static void add_gpt_entry(struct block_dev *bd, u32 number, const struct gpt_entry *e)
{
    static const u8 unused[16];
    char uuid[40], label[37];
    u64 first = le64_get(e->first_lba), last = le64_get(e->last_lba);

    if (!memcmp(e->type, unused, sizeof(unused)))
        return;
    format_guid(e->guid, uuid, sizeof(uuid));
    for (u32 i = 0; i < 36; i++) {
        u16 c = le16_get(e->name[i]);
        label[i] = c < 0x7f ? (char)c : '?';
    }
    label[36] = '\0';
    add_partition(bd, number, first, last < first ? 0 : last - first + 1, uuid, label);
}

static bool header_is_good(struct gpt_header *h)
{
    u32 size = le32_get(h->header_size), crc = le32_get(h->header_crc);

    if (memcmp(h->signature, "EFI PART", 8) || size < 92 || size > SECTOR_SIZE)
        return false;
    h->header_crc = (le32){0};
    return crc32((const u8 *)h, size) == crc;
}

/* The table that the header in @sector tells of. 0 or a negative errno, and nothing was added. */
static int read_gpt(struct block_dev *bd, u64 sector)
{
    u8 *header = kmalloc(SECTOR_SIZE), *table = NULL;
    int err = header ? block_read(bd, sector, header, 1) : -ENOMEM;
    if (err)
        goto out;
    struct gpt_header *h = (struct gpt_header *)header;
    err = -EINVAL;
    if (!header_is_good(h))
        goto out;
    u32 nr = le32_get(h->nr_entries), size = le32_get(h->entry_size), bytes;
    if (size < sizeof(struct gpt_entry) || size > SECTOR_SIZE || !nr ||
        __builtin_mul_overflow(nr, size, &bytes) || bytes > KIB(128))
        goto out;
    table = kmalloc(ALIGN_UP(bytes, SECTOR_SIZE));
    err = table ? block_read(bd, le64_get(h->entries_lba), table, DIV_UP(bytes, SECTOR_SIZE))
                : -ENOMEM;
    if (!err && crc32(table, bytes) != le32_get(h->entries_crc))
        err = -EINVAL;
    for (u32 i = 0; !err && i < min(nr, (u32)MAX_PARTITIONS); i++)
        add_gpt_entry(bd, i + 1, (const struct gpt_entry *)(table + (size_t)i * size));
out:
    kfree(header);
    kfree(table);
    return err;
}

/* ---- MBR ---- */

static bool is_extended(u8 type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

static void add_mbr_entry(struct block_dev *bd, u32 number, u64 base, const struct mbr_entry *e,
                          u32 signature)
{
    char uuid[16];

    format(uuid, sizeof(uuid), "%08x-%02x", signature, number);
    add_partition(bd, number, base + le32_get(e->first_lba), le32_get(e->sectors), uuid, "");
}

/* A chain of tables, each with a partition and where the next table lies; it may be a loop. */
static void read_logical(struct block_dev *bd, u64 extended, u32 signature, u8 *sector)
{
    u64 at = extended;

    for (u32 number = 5; number < 5 + MAX_LOGICAL; number++) {
        if (at >= bd->sectors || block_read(bd, at, sector, 1))
            return;
        const struct mbr *table = (const struct mbr *)sector;
        struct mbr_entry next = table->entries[1];
        if (le16_get(table->magic) != MBR_MAGIC)
            return;
        if (table->entries[0].type)
            add_mbr_entry(bd, number, at, &table->entries[0], signature);
        if (!is_extended(next.type) || !le32_get(next.first_lba))
            return;
        at = extended + le32_get(next.first_lba);
    }
}

static void read_mbr(struct block_dev *bd, u8 *sector)
{
    const struct mbr mbr = *(const struct mbr *)sector;
    u32 signature = le32_get(mbr.signature);

    for (u32 i = 0; i < 4; i++) {
        const struct mbr_entry *e = &mbr.entries[i];
        if (is_extended(e->type))
            read_logical(bd, le32_get(e->first_lba), signature, sector);
        else if (e->type)
            add_mbr_entry(bd, i + 1, 0, e, signature);
    }
}

/* A boot sector of a file system has the same magic, and no sensible table. */
static bool table_is_plausible(const struct block_dev *bd, const struct mbr *mbr)
{
    u32 used = 0;

    for (u32 i = 0; i < 4; i++) {
        const struct mbr_entry *e = &mbr->entries[i];
        if (e->active & 0x7f || (e->type && le32_get(e->first_lba) >= bd->sectors))
            return false;
        used += e->type != 0;
    }
    return used != 0;
}

static int scan_disk(struct block_dev *bd, void *arg)
{
    (void)arg; /* nothing to carry */
    if (bd->ops == &partition_ops || bd->sectors < 4)
        return 0;
    u8 *sector = kmalloc(4 * SECTOR_SIZE);
    if (!sector || block_read(bd, 0, sector, 4)) { /* a block of a CD */
        log_warn("%s: the partition table cannot be read", bd->name);
        kfree(sector);
        return 0;
    }
    const struct mbr *mbr = (const struct mbr *)sector;
    if (le16_get(mbr->magic) == MBR_MAGIC && table_is_plausible(bd, mbr)) {
        bool protective = mbr->entries[0].type == MBR_PROTECTIVE;
        if (!protective)
            read_mbr(bd, sector);
        else if (read_gpt(bd, 1) && read_gpt(bd, bd->sectors - 1))
            log_warn("%s: both copies of the GPT are damaged", bd->name);
    }
    kfree(sector);
    return 0;
}

void partition_scan_all(void)
{
    static bool done;

    if (!done)
        block_for_each(scan_disk, NULL);
    done = true;
}

/* ---- names ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool same_but_case(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

static struct block_dev *find_partition(const char *value, bool by_label)
{
    struct partition *p;

    list_for_each(p, &partitions, node)
        if (by_label ? !strcmp(p->label, value) : same_but_case(p->uuid, value))
            return &p->bd;
    return NULL;
}

struct contents {
    char uuid[40], label[17];
};

/* Of text that need not end; @size counts the NUL. */
static void copy_label(char *to, const u8 *from, size_t size)
{
    memcpy(to, from, size - 1);
    to[size - 1] = '\0';
}

static void format_uuid(const u8 *u, char *text, size_t size)
{
    const u8 guid[16] = {u[3], u[2], u[1],  u[0],  u[5],  u[4],  u[7],  u[6],
                         u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]};

    format_guid(guid, text, size);
}

/* Both kinds have their superblock at byte 1024. */
static bool read_contents(struct block_dev *bd, struct contents *c)
{
    u8 *start = kmalloc(PROBE_BYTES);
    bool known = false;

    if (start && bd->sectors >= PROBE_BYTES / SECTOR_SIZE &&
        !block_read(bd, 0, start, PROBE_BYTES / SECTOR_SIZE)) {
        const u8 *sb = start + 1024;
        bool erofs = sb[0] == 0xe2 && sb[1] == 0xe1 && sb[2] == 0xf5 && sb[3] == 0xe0;
        bool ext4 = sb[56] == 0x53 && sb[57] == 0xef;
        known = erofs || ext4;
        format_uuid(sb + (erofs ? 48 : 104), c->uuid, sizeof(c->uuid));
        copy_label(c->label, sb + (erofs ? 64 : 120), sizeof(c->label));
    }
    kfree(start);
    return known;
}

struct content_search {
    const char *value;
    bool by_label;
    struct block_dev *found;
};

static int match_contents(struct block_dev *bd, void *arg)
{
    struct content_search *search = arg;
    struct contents c;

    if (!read_contents(bd, &c))
        return 0;
    bool match =
        search->by_label ? !strcmp(c.label, search->value) : same_but_case(c.uuid, search->value);
    if (match)
        search->found = bd;
    return match;
}

static struct block_dev *find_contents(const char *value, bool by_label)
{
    struct content_search search = {.value = value, .by_label = by_label};

    block_for_each(match_contents, &search);
    return search.found;
}

struct block_dev *partition_find(const char *spec)
{
    struct block_dev *bd = block_find(spec);

    if (bd)
        return bd;
    partition_scan_all();
    if (str_starts(spec, "PARTUUID="))
        return find_partition(spec + 9, false);
    if (str_starts(spec, "PARTLABEL="))
        return find_partition(spec + 10, true);
    if (str_starts(spec, "LABEL="))
        return find_contents(spec + 6, true);
    if (str_starts(spec, "UUID="))
        return find_contents(spec + 5, false);
    return block_find(spec);
}
