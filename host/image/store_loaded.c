/* What store_load() made of a manifest and a config, noted beside the notes of names: a run need
 * not read and hash and parse these every time.  A note holds as long as both blobs are the very
 * files that were read (inode, size, times): who changes one, or damages it, is found out as
 * before.  It is for this machine alone: numbers and structs as they lie in memory, a checksum in
 * front, strings that end with a NUL. */
#include "image/store_priv.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/siphash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LOADED_MAGIC = 0x31474d49, LOADED_MAX = 64 << 10 };

struct stamp {
    u64 dev, ino, size;
    s64 mtime, mtime_ns, ctime, ctime_ns;
};

struct head {
    u64 magic, sum; /* SipHash of all that follows these two */
    struct stamp manifest, config;
    s64 health[4];
    u64 size;
    char id[72];
};

static bool stamp_of(const struct store *store, const char *hex, struct stamp *stamp)
{
    char *path CLEANUP(mem_free) = store_blob_path(store->root, hex);
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    *stamp =
        (struct stamp){st.st_dev,          st.st_ino,         (u64)st.st_size,   st.st_mtim.tv_sec,
                       st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec};
    return true;
}

static bool is_stamp(const struct store *store, const char *hex, const struct stamp *noted)
{
    struct stamp now;

    return stamp_of(store, hex, &now) && !memcmp(&now, noted, sizeof(now));
}

static u64 sum_of(const struct buf *note)
{
    static const struct siphash_key key;
    const size_t from = offsetof(struct head, manifest);

    return siphash(&key, (const void *)(note->data + from),
                   (u32)((note->len - from) / sizeof(u64)));
}

/* Its lists in one order, for both directions. */
enum { NR_LISTS = 9 };

static void lists_of(struct image *image, struct strs *lists[NR_LISTS])
{
    struct image_config *c = &image->config;
    struct strs *const all[NR_LISTS] = {&image->layers, &image->links, &c->entrypoint,
                                        &c->cmd,        &c->env,       &c->exposed,
                                        &c->volumes,    &c->labels,    &c->health.test};

    memcpy(lists, all, sizeof(all));
}

/* The string at *@at, which is moved behind it; NULL: none ends before @end. */
static const char *take_string(const char **at, const char *end)
{
    const char *text = *at, *nul = memchr(text, 0, (size_t)(end - text));

    if (nul)
        *at = nul + 1;
    return nul ? text : NULL;
}

static bool take_list(const char **at, const char *end, struct strs *list)
{
    u32 count;

    if ((size_t)(end - *at) < sizeof(count))
        return false;
    memcpy(&count, *at, sizeof(count));
    *at += sizeof(count);
    for (u32 i = 0; i < count; i++) {
        const char *text = take_string(at, end);
        if (!text)
            return false;
        strs_add(list, text);
    }
    return true;
}

static bool take_image(const struct buf *note, struct image *image)
{
    const char *at = note->data + sizeof(struct head), *end = note->data + note->len;
    struct image_config *c = &image->config;
    char **texts[] = {&c->workdir, &c->stopsignal, &c->user};
    struct strs *lists[NR_LISTS];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *text = take_string(&at, end);
        if (!text)
            return false;
        *texts[i] = str_dup(text);
    }
    lists_of(image, lists);
    for (size_t i = 0; i < NR_LISTS; i++)
        if (!take_list(&at, end, lists[i]))
            return false;
    return end - at < (long)sizeof(u64); /* it is whole words */
}

/* Sizes are the note's: a layer that was cut short is seen by its whole size. */
static bool layers_are_there(const struct image *image)
{
    u64 size = 0;
    struct stat st;

    for (size_t i = 0; i < image->layers.len; i++) {
        if (stat(image->layers.at[i], &st) < 0)
            return false;
        size += (u64)st.st_size;
    }
    return size == image->size;
}

static bool is_note(const struct buf *note, const struct head *head)
{
    return head->magic == LOADED_MAGIC && note->len % sizeof(u64) == 0 &&
           head->sum == sum_of(note) && !head->id[sizeof(head->id) - 1] &&
           strlen(head->id) == SHA256_HEX;
}

static bool recall_image(const struct store *store, const struct store_entry *entry,
                         struct image *image)
{
    char *path CLEANUP(mem_free) = store_note_path(store, entry->digest);
    struct buf note CLEANUP(buf_free) = {0};
    struct head head;

    if (fs_read(path, LOADED_MAX, &note, NULL) < 0 || note.len < sizeof(head))
        return false;
    memcpy(&head, note.data, sizeof(head));
    if (!is_note(&note, &head) || !is_stamp(store, entry->digest, &head.manifest) ||
        !is_stamp(store, head.id, &head.config))
        return false;
    *image = (struct image){.name = str_dup(store_label(entry)), .size = head.size};
    memcpy(image->id, head.id, sizeof(image->id));
    struct image_health *h = &image->config.health;
    h->interval_ns = head.health[0], h->timeout_ns = head.health[1];
    h->start_ns = head.health[2], h->retries = head.health[3];
    if (take_image(&note, image) && layers_are_there(image))
        return true;
    image_free(image);
    return false;
}

static void add_string(struct buf *note, const char *text)
{
    buf_add(note, text, strlen(text) + 1);
}

static void add_list(struct buf *note, const struct strs *list)
{
    u32 count = (u32)list->len;

    buf_add(note, &count, sizeof(count));
    for (size_t i = 0; i < list->len; i++)
        add_string(note, list->at[i]);
}

static void remember_image(const struct store *store, const struct store_entry *entry,
                           const struct image *image)
{
    const struct image_config *c = &image->config;
    const struct image_health *h = &c->health;
    struct head head = {.magic = LOADED_MAGIC,
                        .health = {h->interval_ns, h->timeout_ns, h->start_ns, h->retries},
                        .size = image->size};
    struct buf note CLEANUP(buf_free) = {0};
    struct strs *lists[NR_LISTS];
    struct image copy = *image;

    memcpy(head.id, image->id, sizeof(image->id));
    if (!stamp_of(store, entry->digest, &head.manifest) ||
        !stamp_of(store, image->id, &head.config))
        return;
    buf_add(&note, &head, sizeof(head));
    add_string(&note, c->workdir);
    add_string(&note, c->stopsignal);
    add_string(&note, c->user);
    lists_of(&copy, lists);
    for (size_t i = 0; i < NR_LISTS; i++)
        add_list(&note, lists[i]);
    buf_add(&note, (const char[sizeof(u64)]){0}, -note.len % sizeof(u64));
    if (note.len >= LOADED_MAX)
        return;
    u64 sum = sum_of(&note);
    memcpy(note.data + offsetof(struct head, sum), &sum, sizeof(sum));
    char *path CLEANUP(mem_free) = store_note_path(store, entry->digest);
    store_write_note(store, path, note.data, note.len);
}

int store_load_known(const struct store *store, const struct store_entry *entry,
                     struct image *image, struct err *err)
{
    if (recall_image(store, entry, image))
        return 0;
    int failed = store_load(store, entry, image, err);
    if (!failed)
        remember_image(store, entry, image);
    return failed;
}
