#include "image/cache.h"

#include "image/store.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/sha256.h"

#include <string.h>

#define CACHE_FORMAT "ingot-cache 2 " INGOT_VERSION

void cache_key(const struct strs *words, char key[65])
{
    struct buf all CLEANUP(buf_free) = {0};

    buf_add(&all, CACHE_FORMAT, sizeof(CACHE_FORMAT));
    for (size_t i = 0; i < words->len; i++)
        buf_add(&all, words->at[i], strlen(words->at[i]) + 1);
    struct sha256_hex hex = sha256_bytes(all.data, all.len);
    memcpy(key, hex.text, sizeof(hex.text));
}

/* What tells one state of a file from another, as one line.  Returns its last change. */
static struct timespec cache_line(const char *path, char *line, size_t size)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        st = (struct stat){0};
    snprintf(line, size, "%lx %lx %lx %lx.%lx %lx.%lx %x ", (unsigned long)st.st_dev,
             (unsigned long)st.st_ino, S_ISDIR(st.st_mode) ? 0ul : (unsigned long)st.st_size,
             (unsigned long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec,
             (unsigned long)st.st_ctim.tv_sec, (unsigned long)st.st_ctim.tv_nsec, st.st_mode);
    return st.st_ctim;
}

static bool cache_fresh(char *text)
{
    char now[160], *line;

    while ((line = strsep(&text, "\n"))) {
        if (!*line)
            continue;
        char *path = strchr(line, '/');
        if (!path)
            return false;
        cache_line(path, now, sizeof(now));
        size_t len = strlen(now);
        if ((size_t)(path - line) != len || memcmp(line, now, len) != 0)
            return false;
    }
    return true;
}

bool cache_load(const struct store *store, const char *key, struct image *image)
{
    struct store_entry entry CLEANUP(store_entry_free) = {0};
    struct buf text CLEANUP(buf_free) = {0};
    struct err ignored;

    if (!store_find_cached(store, key, &entry))
        return false;
    char *path CLEANUP(mem_free) = store_cache_path(key);
    if (fs_read(path, MIB(64), &text, &ignored) < 0 || !cache_fresh(text.data))
        return false;
    return store_load_known(store, &entry, image, &ignored) == 0;
}

/* File systems note times in steps of some milliseconds, so a little before counts as after. */
static bool cache_changed(const struct timespec *change, const struct timespec *began)
{
    enum { STEP_NS = 10 * 1000 * 1000 };
    s64 seconds = change->tv_sec - began->tv_sec;

    return seconds > 1 ||
           (seconds >= -1 && seconds * 1000000000 + change->tv_nsec - began->tv_nsec >= -STEP_NS);
}

void cache_store(const char *key, const struct strs *deps, const struct timespec *began)
{
    struct buf text CLEANUP(buf_free) = {0};
    char line[160];
    struct err ignored;

    for (size_t i = 0; i < deps->len; i++) {
        if (deps->at[i][0] != '/' || strchr(deps->at[i], '\n'))
            return; /* a path that the format cannot hold: no cache for this target */
        struct timespec change = cache_line(deps->at[i], line, sizeof(line));
        if (cache_changed(&change, began))
            return;
        buf_printf(&text, "%s%s\n", line, deps->at[i]);
    }
    char *path CLEANUP(mem_free) = store_cache_path(key);
    fs_write_atomic(path, text.data, text.len, 0644, &ignored);
}
