/* The image of a guest that moves to another machine, over the standard streams of `ingot receive
 * --image`: a line of JSON says what it consists of, a line comes back that names the blobs that
 * are missing there, and their bytes follow.  Each is checked by its digest.  What comes last is a
 * word: it stays there, or it goes; a connection that breaks before leaves it there only if the
 * guest has arrived. */
#include "cli/migrate_priv.h"

#include "image/store.h"
#include "image/store_move.h"
#include "instance/instance.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PIECE = 256 << 10,
    LINE_MAX_BYTES = 64 << 10,
    DIGEST_LEN = 64,
    DECIDED_MS = 75000, /* as `ingot receive --ask` waits */
    LOOK_MS = 100,
    END_MS = 10000,
};

/* --- both ends --- */

int wire_transfer(int fd, void *bytes, size_t len, bool out)
{
    for (size_t done = 0; done < len;) {
        char *at = (char *)bytes + done;
        ssize_t n = out ? send(fd, at, len - done, MSG_NOSIGNAL) : read(fd, at, len - done);
        if (n < 0 && errno == ENOTSOCK)
            n = write(fd, at, len - done);
        if (n <= 0)
            return -EIO;
        done += (size_t)n;
    }
    return 0;
}

void wire_line(int fd, char *line, size_t size)
{
    size_t len = 0;

    while (len < size - 1 && read(fd, line + len, 1) == 1 && line[len] != '\n')
        len++;
    line[len] = 0;
}

static int refuse(const char *words, const char *what, struct err *err)
{
    const char *why =
        str_starts(words, "ingot receive: ") ? words + strlen("ingot receive: ") : words;

    return *why ? err_set(err, EIO, "%s", why)
                : err_set(err, EIO, "what takes %s there has ended", what);
}

int wire_await(int fd, const char *what, struct err *err)
{
    char words[512];

    wire_line(fd, words, sizeof(words));
    return strcmp(words, "ok") == 0 ? 0 : refuse(words, what, err);
}

void wire_reap(pid_t child, u64 patience_ms)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    u64 deadline = ticks_ms() + patience_ms;

    while (child > 0 && waitpid(child, NULL, WNOHANG) == 0) {
        if (ticks_ms() >= deadline)
            kill(child, SIGKILL);
        nanosleep(&pause, NULL);
    }
}

static bool is_digest(const char *text)
{
    return strlen(text) == DIGEST_LEN && strspn(text, "0123456789abcdef") == DIGEST_LEN;
}

/* --- what is sent --- */

static int send_blob(int wire, const char *digest, u64 *sent, struct err *err)
{
    char *path CLEANUP(mem_free) = store_blob(digest);
    u8 *bytes CLEANUP(mem_free) = mem_new(PIECE);
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    while (fd >= 0 && (got = read(fd, bytes, PIECE)) > 0) {
        if (wire_transfer(wire, bytes, (size_t)got, true))
            return err_set(err, EIO, "its image: the connection broke");
        *sent += (u64)got;
    }
    return got < 0 ? err_errno(err, errno, "%s", path) : 0;
}

/* With their sizes, in order. */
static json_t *list_blobs(const struct store_parts *parts, struct err *err)
{
    json_t *list = json_array();

    for (size_t i = 0; i < parts->digests.len; i++) {
        char *path CLEANUP(mem_free) = store_blob(parts->digests.at[i]);
        struct stat st;
        if (stat(path, &st) < 0) {
            err_errno(err, errno, "%s", path);
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, json_pack("{s:s, s:I}", "Digest", parts->digests.at[i], "Size",
                                              (json_int_t)st.st_size));
    }
    return list;
}

static int send_list(int wire, const struct store_parts *parts, struct err *err)
{
    json_t *blobs = list_blobs(parts, err);

    if (!blobs)
        return -err->code;
    json_t *all CLEANUP(json_put) =
        json_pack("{s:s, s:s, s:o}", "Name", parts->name ? parts->name : "", "Manifest",
                  parts->manifest, "Blobs", blobs);
    char *text CLEANUP(mem_free) = json_text(all, 0);
    char *line CLEANUP(mem_free) = str_printf("%s\n", text);
    return wire_transfer(wire, line, strlen(line), true)
               ? err_set(err, EIO, "its image: the connection broke")
               : 0;
}

/* It answers "want DIGEST...". */
static int send_wanted(int wire, const struct store_parts *parts, u64 *sent, struct err *err)
{
    char *line CLEANUP(mem_free) = mem_new(LINE_MAX_BYTES);
    int failed = 0;

    wire_line(wire, line, LINE_MAX_BYTES);
    if (!str_starts(line, "want"))
        return refuse(line, "its image", err);
    for (size_t i = 0; i < parts->digests.len && !failed; i++)
        if (strstr(line, parts->digests.at[i]))
            failed = send_blob(wire, parts->digests.at[i], sent, err);
    return failed ? failed : wire_await(wire, "its image", err);
}

static int send_image(int wire, const char *id, u64 *sent, struct err *err)
{
    struct store_parts parts CLEANUP(store_parts_free) = {0};
    char word[16];

    wire_line(wire, word, sizeof(word));
    if (strcmp(word, "have") == 0)
        return 0;
    if (strcmp(word, "need") != 0) {
        char rest[512], all[sizeof(word) + sizeof(rest)];
        wire_line(wire, rest, sizeof(rest));
        snprintf(all, sizeof(all), "%s%s", word, rest);
        return refuse(all, "its image", err);
    }
    int failed = store_parts(id, &parts, err);
    if (!failed)
        failed = send_list(wire, &parts, err);
    return failed ? failed : send_wanted(wire, &parts, sent, err);
}

int image_move_begin(struct image_move *move, const struct place *place, const char *id,
                     const char *instance, const char *token, u64 *sent, struct err *err)
{
    const char *const words[] = {"receive", "--image", id,    "--instance",
                                 instance,  "--token", token, NULL};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, errno, "a socket");
    move->wire = pair[0];
    move->child = place_start(place, words, pair[1], pair[1], pair[1]);
    int code = errno;
    close(pair[1]);
    if (move->child < 0) {
        move->child = 0;
        close(move->wire);
        return err_errno(err, code, "a process");
    }
    int failed = send_image(move->wire, id, sent, err);
    if (!failed && !*sent) { /* it has nothing more to do */
        close(move->wire);
        wire_reap(TAKE(move->child, 0), END_MS);
    }
    return failed ? err_prefix(err, "%s", place->text) : 0;
}

void image_move_end(struct image_move *move, bool stay)
{
    if (move->child <= 0)
        return;
    (void)wire_transfer(move->wire, (char *)(uintptr_t)(stay ? "stay\n" : "go\n"), stay ? 5 : 3,
                        true);
    close(move->wire); /* which it hears even if the word is lost */
    wire_reap(move->child, END_MS);
    move->child = 0;
}

/* --- what is received --- */

static int receive_blob(const char *folder, const char *digest, u64 size, struct err *err)
{
    char *path CLEANUP(mem_free) = fs_join(folder, digest);
    u8 *bytes CLEANUP(mem_free) = mem_new(PIECE);
    int fd CLEANUP(fd_close) = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    struct sha256_hex hex;

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    for (u64 left = size; left;) {
        size_t len = (size_t)min(left, (u64)PIECE);
        if (wire_transfer(STDIN_FILENO, bytes, len, false))
            return err_set(err, EIO, "its image: the connection broke");
        if (wire_transfer(fd, bytes, len, true))
            return err_errno(err, errno, "%s", path);
        left -= len;
    }
    int failed = sha256_file(path, &hex, &size, err);
    if (!failed && strcmp(hex.text, digest) != 0)
        failed = err_set(err, EIO, "its image: blob %s came damaged", digest);
    return failed;
}

static bool is_missing(const char *digest)
{
    char *path CLEANUP(mem_free) = store_blob(digest);

    return !fs_exists(path);
}

static int read_list(struct store_parts *parts, json_t **list, struct err *err)
{
    char *line CLEANUP(mem_free) = mem_new(LINE_MAX_BYTES);
    const json_t *blob;
    size_t i;

    wire_line(STDIN_FILENO, line, LINE_MAX_BYTES);
    *list = json_loads(line, 0, NULL);
    const char *name = json_str(*list, "Name", "");
    parts->name = *name ? str_dup(name) : NULL;
    parts->manifest = str_dup(json_str(*list, "Manifest", ""));
    bool good = is_digest(parts->manifest);
    json_array_foreach(json_object_get(*list, "Blobs"), i, blob)
    {
        const char *digest = json_str(blob, "Digest", "");
        good &= is_digest(digest) && json_int(blob, "Size", -1) >= 0 &&
                !strs_has(&parts->digests, digest);
        strs_add(&parts->digests, digest);
    }
    return good ? 0 : err_set(err, EPROTO, "'ingot migrate' speaks to this command");
}

static int receive_missing(const char *folder, const json_t *list, struct err *err)
{
    struct buf want CLEANUP(buf_free) = {0};
    const json_t *blob;
    size_t i;
    int failed = 0;

    buf_puts(&want, "want");
    json_array_foreach(json_object_get(list, "Blobs"), i, blob)
    {
        const char *digest = json_str(blob, "Digest", "");
        if (is_missing(digest))
            buf_printf(&want, " %s", digest);
    }
    buf_puts(&want, "\n");
    if (wire_transfer(STDOUT_FILENO, want.data, want.len, true))
        return err_set(err, EIO, "its image: the connection broke");
    json_array_foreach(json_object_get(list, "Blobs"), i, blob)
    {
        const char *digest = json_str(blob, "Digest", "");
        if (!failed && strstr(buf_text(&want), digest))
            failed = receive_blob(folder, digest, (u64)json_int(blob, "Size", 0), err);
    }
    return failed;
}

static int take_image(const char *id, struct err *err)
{
    struct store_parts parts CLEANUP(store_parts_free) = {0};
    json_t *list CLEANUP(json_put) = NULL;
    int failed = read_list(&parts, &list, err);

    if (failed)
        return failed;
    char *folder = store_scratch(err);
    if (!folder)
        return -err->code;
    failed = receive_missing(folder, list, err);
    if (!failed)
        failed = store_adopt(folder, &parts, id, err);
    fs_remove_tree(folder);
    free(folder);
    return failed;
}

/* Nobody said what became of the migration. */
static bool has_arrived(const char *instance, const char *token)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    u64 deadline = ticks_ms() + DECIDED_MS;
    enum fate fate;

    while ((fate = fate_of(instance, token)) == FATE_UNKNOWN && ticks_ms() < deadline)
        nanosleep(&pause, NULL);
    return fate == FATE_RUNS;
}

/* Another instance here may have found it meanwhile. */
static bool is_used(const char *id, const char *token)
{
    struct strs names CLEANUP(strs_free) = {0};

    if (instance_list(&names, NULL))
        return true;
    for (size_t i = 0; i < names.len; i++) {
        struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
        json_t *config CLEANUP(json_put) =
            instance_open(&instance, names.at[i], NULL) ? NULL : instance_config(&instance, NULL);
        if (strcmp(json_str(config, "ImageId", ""), id) == 0 &&
            strcmp(json_str(config, "Arriving", ""), token) != 0)
            return true;
    }
    return false;
}

static int say(const char *word)
{
    return wire_transfer(STDOUT_FILENO, (char *)(uintptr_t)word, strlen(word), true);
}

int image_receive(const char *id, const char *instance, const char *token, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0}, gone CLEANUP(strs_free) = {0};
    struct strs targets CLEANUP(strs_free) = {0};
    char word[16];

    signal(SIGPIPE, SIG_IGN);
    if (!is_digest(id))
        return err_set(err, EINVAL, "'%s' is no id of an image", id);
    if (store_has(id)) {
        (void)say("have\n"); /* who asked may have gone */
        return 0;
    }
    int failed =
        say("need\n") ? err_set(err, EIO, "its image: the connection broke") : take_image(id, err);
    if (failed)
        return failed;
    (void)say("ok\n");
    wire_line(STDIN_FILENO, word, sizeof(word));
    if (strcmp(word, "stay") == 0 || (strcmp(word, "go") != 0 && has_arrived(instance, token)) ||
        is_used(id, token))
        return 0;
    strs_add(&targets, id);
    return store_remove(&targets, false, &names, &gone, err);
}
