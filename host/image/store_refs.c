/* Where the index has a name or a build cache key, noted in a small file of its own, so that a run
 * need not read an index that grows with every image.  A note holds for the index.json that it was
 * made from and no other: it says which one, and whoever finds another reads the index again.
 * Notes are made by readers; nothing is lost without them. */
#include "image/store_priv.h"

#include "lib/cleanup.h"
#include "lib/fs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTE_MAX = 4096 };

bool store_state(const char *root, char *state, size_t size)
{
    char *path CLEANUP(mem_free) = fs_join(root, "index.json");
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    snprintf(state, size, "%lx %lx %lx %lx.%lx %lx.%lx", (unsigned long)st.st_dev,
             (unsigned long)st.st_ino, (unsigned long)st.st_size, (unsigned long)st.st_mtim.tv_sec,
             (unsigned long)st.st_mtim.tv_nsec, (unsigned long)st.st_ctim.tv_sec,
             (unsigned long)st.st_ctim.tv_nsec);
    return true;
}

char *store_note_name(const char *key)
{
    return str_dup(sha256_bytes(key, strlen(key)).text);
}

char *store_note_path(const struct store *store, const char *key)
{
    char *name CLEANUP(mem_free) = store_note_name(key);

    return str_printf("%s/refs/%s", store->root, name);
}

/* The text up to the next newline, NULL if it is empty; owned by the caller. */
static char *take_line(char **text)
{
    const char *line = strsep(text, "\n");

    return line && *line ? str_dup(line) : NULL;
}

static bool recall(const struct store *store, const char *key, bool any, struct store_entry *entry)
{
    char *path CLEANUP(mem_free) = store_note_path(store, key);
    struct buf text CLEANUP(buf_free) = {0};
    char now[STORE_STATE];
    struct err ignored;

    if (fs_read(path, NOTE_MAX, &text, &ignored) < 0 || !store_state(store->root, now, sizeof(now)))
        return false;
    char *at = text.data;
    char *state CLEANUP(mem_free) = take_line(&at);
    char *of CLEANUP(mem_free) = take_line(&at);
    if (!state || (!any && strcmp(state, now) != 0) || !of || strcmp(of, key) != 0)
        return false;
    *entry = (struct store_entry){.name = take_line(&at), .cache = take_line(&at)};
    entry->digest = take_line(&at);
    entry->created = take_line(&at);
    if (entry->digest && strlen(entry->digest) == SHA256_HEX &&
        strspn(entry->digest, "0123456789abcdef") == SHA256_HEX)
        return true;
    store_entry_free(entry);
    return false;
}

bool store_recall(const struct store *store, const char *key, struct store_entry *entry)
{
    return recall(store, key, false, entry);
}

bool store_recall_any(const struct store *store, const char *key, struct store_entry *entry)
{
    return recall(store, key, true, entry);
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* Not synced: a note that is lost or cut short is made again. */
void store_write_note(const struct store *store, const char *path, const void *bytes, size_t len)
{
    char *folder CLEANUP(mem_free) = fs_join(store->root, "refs");
    char *fresh CLEANUP(mem_free) = str_printf("%s.%d", path, (int)getpid());

    (void)mkdir(folder, 0755); /* there, or a store that is not ours to write */
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    bool whole = write(fd, bytes, len) == (ssize_t)len;
    close(fd);
    if (!whole || rename(fresh, path) < 0)
        unlink(fresh);
}

void store_remember(const struct store *store, const char *key, const struct store_entry *entry)
{
    char *path CLEANUP(mem_free) = store_note_path(store, key);
    char *text CLEANUP(mem_free) =
        str_printf("%s\n%s\n%s\n%s\n%s\n%s\n", store->state, key, or_empty(entry->name),
                   or_empty(entry->cache), entry->digest, or_empty(entry->created));

    if (store->state[0] && strlen(text) < NOTE_MAX)
        store_write_note(store, path, text, strlen(text));
}
