/* What is said to a program of an instance that takes input (`ingot run -d -i`): bytes of who is
 * attached, on their way into the runner's standard input, which stays open as long as it runs. */
#pragma once

#include "lib/types.h"

#include <stddef.h>

struct input {
    int fd;            /* our end of the pipe, which never blocks; -1: nobody reads */
    size_t start, len; /* of .bytes: not taken yet */
    char bytes[4096];
};

/** Make the pipe.  @theirs: the runner's end, owned by the caller.  0 or a negative errno. */
int input_open(struct input *input, int *theirs);

/** Close it; nobody can write to it any more. */
void input_close(struct input *input);

/** Take what @from, a socket, has to say; only with nothing left (.len is 0).  Never blocks.
 * Returns false at its end. */
bool input_take(struct input *input, int from);

/** Pass on what is left, as far as there is room.  What nobody reads any more is dropped. */
void input_flush(struct input *input);
