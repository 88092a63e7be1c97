/* The first line of a script: "#!INTERPRETER [ARGUMENT]", as Linux reads it (execve(2)). */
#pragma once

#include "lib/types.h"

struct script {
    char *interpreter; /* owned */
    char *argument;    /* all of the rest, one word or many; owned; NULL if there is none */
};

/** Parse; false if these bytes are no script.  A pure function over untrusted bytes. */
bool script_parse(const u8 *data, size_t len, struct script *out);

/** Free what @script owns; fit for CLEANUP. */
void script_free(struct script *script);
