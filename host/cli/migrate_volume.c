/* Volumes on their way to another machine, over the standard streams of `ingot receive --volume`.
 *
 * Twice the same pass: every block whose hash is not that of what was sent is sent. The first is
 * made while the guest runs, the second while it stands still, and so is short. What comes last is
 * a word: the volume stays there, or it goes. A connection that breaks before the word leaves it
 * there only if a guest has taken it meanwhile.
 *
 * A record is a header, of our own two ends and so in the machine's byte order, and its bytes. */
#include "cli/migrate_priv.h"

#include "cli/run_priv.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/own.h"
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK = 64 << 10,
    TAKEN_SECONDS = 12, /* a guest that has arrived has locked its volumes by then */
    STAY_MS = 60000,    /* its disk may be slow */
    GO_MS = 5000,
};

enum record_kind { RECORD_SIZE, RECORD_DATA, RECORD_ZERO, RECORD_FLUSH, RECORD_STAY, RECORD_GO };

struct record {
    u32 kind;
    u32 len; /* bytes that follow, or that are zero */
    u64 at;  /* byte of the volume; RECORD_SIZE: how many there are */
};

struct volume_move {
    char *name, *path; /* owned */
    pid_t child;
    int fd, wire; /* -1: none */
    u64 size, key;
    u64 *hashes; /* owned: of each block as it is there; 0: zeros */
};

/* --- what is sent --- */

/* A polynomial over 2^61 - 1 at a random point: two blocks that differ have the same value once in
 * 2^46, whoever chose them. */
static u64 hash_block(const u8 *bytes, size_t len, u64 key)
{
    const u64 prime = (1ull << 61) - 1;
    u64 hash = 1;
    bool zero = true;

    for (size_t i = 0; i < len; i += 4) {
        u32 word;
        memcpy(&word, bytes + i, sizeof(word));
        zero &= !word;
        unsigned __int128 product = (unsigned __int128)hash * key + word;
        hash = (u64)(product & prime) + (u64)(product >> 61);
        hash = hash >= prime ? hash - prime : hash;
    }
    return zero ? 0 : hash | 1ull << 63;
}

static int send_record(const struct volume_move *move, enum record_kind kind, u64 at, u8 *bytes,
                       u32 len, struct err *err)
{
    struct record record = {.kind = kind, .len = len, .at = at};
    int failed = wire_transfer(move->wire, &record, sizeof(record), true);

    if (!failed && kind == RECORD_DATA)
        failed = wire_transfer(move->wire, bytes, len, true);
    return failed ? err_set(err, EIO, "volume '%s': the connection broke", move->name) : 0;
}

static int send_block(struct volume_move *move, u64 i, u8 *bytes, struct err *err)
{
    u64 at = i * BLOCK;
    u32 len = (u32)min((u64)BLOCK, move->size - at);
    ssize_t got = pread(move->fd, bytes, len, (off_t)at);

    if (got < 0)
        return err_errno(err, errno, "volume '%s'", move->name);
    memset(bytes + got, 0, BLOCK - (size_t)got);
    u64 hash = hash_block(bytes, BLOCK, move->key);
    if (hash == move->hashes[i])
        return 0;
    move->hashes[i] = hash;
    return send_record(move, hash ? RECORD_DATA : RECORD_ZERO, at, bytes, len, err);
}

/* The end of the hole that @at lies in, or @at. */
static u64 skip_hole(const struct volume_move *move, u64 at)
{
    off_t data = lseek(move->fd, (off_t)at, SEEK_DATA);

    if (data < 0)
        return errno == ENXIO ? move->size : at;
    return (u64)data;
}

static int send_changed(struct volume_move *move, struct err *err)
{
    u8 *bytes CLEANUP(mem_free) = mem_new(BLOCK);
    u64 blocks = (move->size + BLOCK - 1) / BLOCK, hole_to = 0;
    int failed = 0;

    for (u64 i = 0; i < blocks && !failed; i++) {
        if (i * BLOCK >= hole_to)
            hole_to = skip_hole(move, i * BLOCK);
        if ((i + 1) * BLOCK <= hole_to && !move->hashes[i])
            continue;
        failed = send_block(move, i, bytes, err);
    }
    if (!failed)
        failed = send_record(move, RECORD_FLUSH, 0, NULL, 0, err);
    return failed ? failed : wire_await(move->wire, "the volume", err);
}

static int open_volume(struct volume_move *move, const char *word, struct err *err)
{
    bool readonly;
    struct stat st;
    int failed = run_volume_file(word, &move->path, &readonly, err);

    if (failed)
        return failed;
    move->name = str_printf("%.*s", (int)strcspn(word, ":"), word);
    char *own CLEANUP(mem_free) = volume_is_name(move->name) ? volume_path(move->name) : NULL;
    if (!own || strcmp(own, move->path) != 0)
        return err_set(err, EOPNOTSUPP,
                       "--volume '%s': a file of this machine; by ssh only named volumes move, or "
                       "with --shared what both ends have",
                       word);
    move->fd = open(move->path, O_RDONLY | O_CLOEXEC);
    if (move->fd < 0 || fstat(move->fd, &st) < 0)
        return err_errno(err, errno, "volume '%s'", move->name);
    move->size = (u64)st.st_size;
    move->hashes = mem_new((move->size / BLOCK + 1) * sizeof(*move->hashes));
    if (getrandom(&move->key, sizeof(move->key), 0) != sizeof(move->key))
        return err_errno(err, errno, "random numbers");
    move->key >>= 4;
    return 0;
}

static int begin(struct volume_move *move, const struct place *place, const char *word,
                 struct err *err)
{
    int pair[2];
    int failed = open_volume(move, word, err);

    if (failed)
        return failed;
    const char *const words[] = {"receive", "--volume", move->name, NULL};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, errno, "a socket");
    move->wire = pair[0];
    move->child = place_start(place, words, pair[1], pair[1], pair[1]);
    close(pair[1]);
    if (move->child < 0)
        return err_errno(err, errno, "a process");
    failed = send_record(move, RECORD_SIZE, move->size, NULL, 0, err);
    if (!failed)
        failed = wire_await(move->wire, "the volume", err);
    return failed ? failed : send_changed(move, err);
}

int volume_moves_begin(struct volume_moves *moves, const struct place *place, const json_t *config,
                       struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};
    int failed = 0;

    json_strs(config, "Volumes", &words);
    moves->at = mem_new((words.len + 1) * sizeof(*moves->at));
    for (size_t i = 0; i < words.len && !failed; i++) {
        struct volume_move *move = &moves->at[moves->len++];
        *move = (struct volume_move){.fd = -1, .wire = -1};
        failed = begin(move, place, words.at[i], err);
    }
    return failed;
}

int volume_moves_finish(struct volume_moves *moves, struct err *err)
{
    int failed = 0;

    for (size_t i = 0; i < moves->len && !failed; i++)
        failed = send_changed(&moves->at[i], err);
    return failed;
}

void volume_moves_end(struct volume_moves *moves, bool stay)
{
    for (size_t i = 0; i < moves->len; i++) {
        struct volume_move *move = &moves->at[i];
        if (move->wire >= 0)
            (void)send_record(move, stay ? RECORD_STAY : RECORD_GO, 0, NULL, 0, NULL);
        fd_close(&move->wire); /* which it hears even if the word is lost */
        wire_reap(move->child, stay ? STAY_MS : GO_MS);
        fd_close(&move->fd);
        free(move->name);
        free(move->path);
        free(move->hashes);
    }
    mem_free(&moves->at);
    moves->len = 0;
}

/* --- what is received --- */

static int put_zeros(int fd, u64 at, u32 len)
{
    static const u8 zeros[BLOCK];

    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, len) == 0)
        return 0;
    return pwrite(fd, zeros, len, (off_t)at) == (ssize_t)len ? 0 : -errno;
}

static int put_data(int fd, const struct record *record)
{
    static u8 bytes[BLOCK];

    if (wire_transfer(STDIN_FILENO, bytes, record->len, false))
        return -EPIPE;
    return pwrite(fd, bytes, record->len, (off_t)record->at) == (ssize_t)record->len ? 0 : -errno;
}

/* Until its last word, or the end of the connection: RECORD_FLUSH. */
static int receive_blocks(int fd, u64 size, enum record_kind *last)
{
    struct record record;
    int failed = 0;

    *last = RECORD_FLUSH;
    while (!failed && !wire_transfer(STDIN_FILENO, &record, sizeof(record), false)) {
        bool inside = record.len <= BLOCK && record.at <= size && record.len <= size - record.at;
        if (record.kind == RECORD_STAY || record.kind == RECORD_GO) {
            *last = (enum record_kind)record.kind;
            return 0;
        }
        if (record.kind == RECORD_FLUSH)
            failed = wire_transfer(STDOUT_FILENO, (char[]){"ok\n"}, 3, true);
        else if (!inside || record.kind == RECORD_SIZE)
            failed = -EPROTO;
        else
            failed = record.kind == RECORD_DATA ? put_data(fd, &record)
                                                : put_zeros(fd, record.at, record.len);
    }
    return failed;
}

/* Has a guest taken it, as one does that has arrived? */
static bool is_taken(int *fd, const char *path)
{
    int own CLEANUP(fd_close) = open(path, O_RDWR | O_CLOEXEC);

    fd_close(fd); /* and with it our lock */
    *fd = -1;
    sleep(TAKEN_SECONDS);
    return own >= 0 && volume_lock(own, false, path, NULL, NULL) == -EBUSY;
}

static int make_file(const char *name, const char *path, u64 size, struct err *err)
{
    if (volume_create(name, max(size, (u64)MIB(1)), NULL, err))
        return -err->code;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    /* Without what mke2fs wrote: zeros are not sent. */
    if (fd >= 0 && ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)size) == 0 &&
        volume_lock(fd, false, path, "a migration", err) == 0)
        return fd;
    int failed = err_errno(err, errno, "volume '%s'", name);
    fd_close(&fd);
    (void)volume_remove(name, NULL);
    return failed;
}

int volume_receive(const char *name, struct err *err)
{
    struct record record;
    enum record_kind last;

    signal(SIGPIPE, SIG_IGN);
    if (!volume_is_name(name))
        return err_set(err, EINVAL, "'%s' is no name of a volume", name);
    char *path CLEANUP(mem_free) = volume_path(name);
    if (wire_transfer(STDIN_FILENO, &record, sizeof(record), false) || record.kind != RECORD_SIZE)
        return err_set(err, EPROTO, "'ingot migrate' speaks to this command");
    int fd CLEANUP(fd_close) = make_file(name, path, record.at, err);
    if (fd < 0)
        return fd;
    int failed = wire_transfer(STDOUT_FILENO, (char[]){"ok\n"}, 3, true);
    if (!failed)
        failed = receive_blocks(fd, record.at, &last);
    bool stay = !failed && last == RECORD_STAY;
    if (stay)
        return fsync(fd) < 0 ? err_errno(err, errno, "volume '%s'", name) : 0;
    if (!failed && last == RECORD_FLUSH && is_taken(&fd, path))
        return 0;
    fd_close(&fd);
    (void)volume_remove(name, NULL); /* what cannot be removed is seen in `ingot volume ls` */
    return failed ? err_errno(err, -failed, "volume '%s'", name) : 0;
}
