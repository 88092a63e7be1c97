/* What the files of `ingot migrate` and `ingot receive` share. */
#pragma once

#include "lib/json.h"
#include "lib/types.h"

#include <sys/types.h>

struct err;

/** Where it goes: a state directory, here or where ssh leads. */
struct place {
    const char *text;          /* as the user wrote it; borrowed */
    char *host, *port, *state; /* owned; host is NULL for here */
};

/** "ssh://[USER@]HOST[:PORT][/STATE]" or "STATE". Borrows @text. Errors: ERR_USAGE, EINVAL. */
int place_parse(const char *text, struct place *place, struct err *err);
void place_free(struct place *place);

/** Start `ingot WORDS` there with these standard streams. A process, or -1 with errno. */
pid_t place_start(const struct place *place, const char *const *words, int in, int out, int errors);

/** What became of a guest that was sent there. */
enum fate {
    FATE_UNKNOWN,
    FATE_RUNS, /* it runs, or ran, there */
    FATE_GONE, /* it did not begin to run, and never will */
};

/** The answers of `ingot receive --ask`. */
#define FATE_RUNS_WORD "runs"
#define FATE_GONE_WORD "gone"

/** What a guest's tap is sent while it moves to another tap of this machine. */
struct frames {
    int heard, to;   /* sockets; -1 for none */
    const char *net; /* the new tap; borrowed */
};

/** Keep what is sent to tap @from from now on; @from and @to as --net has them.  Where they are no
 * taps, or we may not, nothing is kept. */
void frames_hear(struct frames *frames, const char *from, const char *to);

/** The guest got what was kept until now. */
void frames_forget(struct frames *frames);

/** Send what was kept, and what came since the last time, to the new tap. */
void frames_pass_on(struct frames *frames);
void frames_end(struct frames *frames);

/** The volumes of a guest on their way to another machine. Zero is none. */
struct volume_moves {
    struct volume_move *at; /* owned */
    size_t len;
};

/**
 * Copy the volumes that @config names, all but what changes from now on. The guest runs meanwhile.
 * Errors: EOPNOTSUPP one is a file and no named volume, EEXIST it is there already, EIO.
 */
int volume_moves_begin(struct volume_moves *moves, const struct place *place, const json_t *config,
                       struct err *err);

/** The guest stands still: copy what has changed. */
int volume_moves_finish(struct volume_moves *moves, struct err *err);

/** The guest runs there (or it is not known that it does not): they stay there; else they go. */
void volume_moves_end(struct volume_moves *moves, bool stay);

/** The other end: `ingot receive --volume NAME`. */
int volume_receive(const char *name, struct err *err);

/** All of @bytes from or to a peer of ours.  0 or -EIO. */
int wire_transfer(int fd, void *bytes, size_t len, bool out);

/** The next line, without its end: what is in @line then, which is cut to @size. */
void wire_line(int fd, char *line, size_t size);

/** Hear "ok", or what the other end has against it.  @what: for the message. */
int wire_await(int fd, const char *what, struct err *err);

/** Wait for a child that ends by itself; what hangs is killed after @patience_ms. */
void wire_reap(pid_t child, u64 patience_ms);

/** An image on its way to another machine. */
struct image_move {
    pid_t child; /* 0: none */
    int wire;
};

/**
 * Send the image @id there, if it is not there.  @sent: how many bytes that took; 0: it was there.
 * Errors: ENOENT it is not here either, EIO.
 */
int image_move_begin(struct image_move *move, const struct place *place, const char *id,
                     const char *instance, const char *token, u64 *sent, struct err *err);

/** The guest runs there: it stays; else it goes, if it came with this migration. */
void image_move_end(struct image_move *move, bool stay);

/** The other end: `ingot receive --image ID`, of a migration of @instance. */
int image_receive(const char *id, const char *instance, const char *token, struct err *err);

/** What became of an instance that arrives with @token, so far. */
enum fate fate_of(const char *name, const char *token);
