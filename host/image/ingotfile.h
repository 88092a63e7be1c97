/* The language of an Ingotfile: a small dialect of the Dockerfile.  Parsing only: a pure function
 * over untrusted bytes, so that it can be fuzzed; recipe.c does what the lines say. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

#include <stddef.h>

enum ingot_verb {
    INGOT_FROM,        /* FROM scratch | IMAGE */
    INGOT_COPY,        /* COPY SOURCE... TARGET */
    INGOT_PROGRAM,     /* PROGRAM PATH [ARG...]: an executable or a source file, with its closure */
    INGOT_ENV,         /* ENV NAME=VALUE... */
    INGOT_WORKDIR,     /* WORKDIR PATH */
    INGOT_USER,        /* USER NAME[:GROUP] */
    INGOT_EXPOSE,      /* EXPOSE PORT[/tcp|/udp]... */
    INGOT_VOLUME,      /* VOLUME PATH... */
    INGOT_ENTRYPOINT,  /* ENTRYPOINT ["PROGRAM", "ARG"] | PROGRAM ARG */
    INGOT_CMD,         /* CMD ["ARG"] | ARG */
    INGOT_STOPSIGNAL,  /* STOPSIGNAL NAME */
    INGOT_EXEC,        /* EXEC PROGRAM... */
    INGOT_HEALTHCHECK, /* HEALTHCHECK [--interval=TIME ...] tcp:PORT | http:PORT/PATH | NONE */
    INGOT_COMPRESS,    /* COMPRESS lz4 | lzma | none */
    INGOT_LABEL,       /* LABEL KEY=VALUE... */
    INGOT_VERBS
};

struct ingot_line {
    enum ingot_verb verb;
    int line;         /* where it begins, from 1 */
    struct strs args; /* words, quotes removed, ${NAME} of earlier ENV lines replaced */
};

struct ingotfile {
    struct ingot_line *lines; /* owned */
    size_t len;
};

/**
 * Parse @len bytes of @text.  Errors are EINVAL and begin "line N: "; a keyword that is misspelt,
 * or that Docker has and Ingot has not, is answered with what to write.
 * On success @out is freed with ingotfile_free(); it is empty on failure.
 */
int ingotfile_parse(const char *text, size_t len, struct ingotfile *out, struct err *err);

/** Free what @file owns; fit for CLEANUP. */
void ingotfile_free(struct ingotfile *file);
