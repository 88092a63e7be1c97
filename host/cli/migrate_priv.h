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
