/* An image as the runner sees it: EROFS layers to boot from and the configuration to start by.
 * Targets (an image of the store, an executable, a source file, a project folder) all end here. */
#pragma once

#include "image/erofs.h"
#include "lib/buf.h"
#include "lib/err.h"

#include <stdbool.h>
#include <stdint.h>

/** How to ask whether the program is well: "Healthcheck" as Docker writes it.  0: not said. */
struct image_health {
    struct strs test; /* "CMD", "curl", ...; "NONE"; empty: nothing was said */
    int64_t interval_ns, timeout_ns, start_ns;
    int64_t retries;
};

/** How to start the program: the part of the OCI image-config ("config") that we use. */
struct image_config {
    struct strs entrypoint, cmd; /* the program's argv is both, in this order */
    struct strs env;             /* "NAME=VALUE" */
    char *workdir;               /* absolute; never NULL after parsing ("/" if unset) */
    char *stopsignal;            /* "SIGTERM", "15"; never NULL after parsing */
    char *user;                  /* USER[:GROUP], looked up by the kernel; "" if unset: root */
    struct strs exposed;         /* "6379/tcp" */
    struct strs volumes;         /* absolute guest paths */
    struct strs labels;          /* "key=value" */
    struct image_health health;
};

/** Free what @config owns and leave it empty; fit for CLEANUP. */
void image_config_free(struct image_config *config);

struct image {
    char *name;         /* "hello:1", or the target as it was given; owned */
    char id[65];        /* hex sha256 of the OCI config blob, as Docker's image id */
    struct strs layers; /* host paths of the EROFS layers, lowest first; each a multiple of 4096 */
    struct strs links;  /* "PATH=TARGET": links to folders, which a layer above must respect */
    uint64_t size;      /* bytes of all layers */
    bool fresh;         /* it was built just now, and has no name */
    struct image_config config;
};

/** Free what @image owns and leave it empty; fit for CLEANUP. */
void image_free(struct image *image);

/** What a user may say beside the target. All fields may stay zero. */
struct image_opts {
    const struct strs *files; /* --file HOST:GUEST: more files for the image (build only) */
    const struct strs *with;  /* --with NAME: extras of the runtime table, by name */
    const char *program;      /* --program NAME: which executable of a project folder */
    bool quiet;               /* no progress on the terminal */
    bool rebuild;             /* ignore what the cache has */
    bool no_patch;            /* system calls stay instructions */
    bool seal;                /* the kernel shall refuse calls that the image does not contain */
    const struct strs *allow; /* ... but for these, by name or number */
    enum erofs_compression compression; /* --compress (build only) */
    const struct strs *exec;    /* --allow-exec: programs that it may start: builder_add_exec() */
    const struct strs *imports; /* modules that its arguments ask for: "LANGUAGE:NAME", imports.h */
};

/**
 * Turn a target into a bootable image, building it if it is not one of the store's.
 * Resolution order: a word that begins with a slash or a dot is a path; else an image of the store
 * by its reference `name[:tag]` or at least 4 digits of its id; else what target_named() finds.
 * A stored image costs three small file reads: no process, no hashing.  An executable, a source
 * file or a folder is built once and found again by the state of the files it was made from.
 * @opts may be NULL.  On success @image is the caller's, to be freed with image_free().
 * Errors: ENOENT no such image or file; ENOEXEC not a program for this machine; what building
 * and the store report (ENOSPC, EACCES ...); the text names the cause and the remedy.
 */
int image_resolve(const char *target, const struct image_opts *opts, struct image *image,
                  struct err *err);

/**
 * The program of this machine that image_resolve() would find in PATH for @word, owned by the
 * caller; NULL where it would find an image or a path.
 */
char *image_in_path(const char *word);

/** How layer_from_files() is to make a layer. */
struct layer_opts {
    bool rebuild;   /* make it even if it is kept */
    bool libraries; /* with the libraries that shared objects in it need and the image lacks */
};

/**
 * Make one EROFS layer of host files, for `run --file`.
 * @pairs: "HOST:GUEST"; HOST may be a folder; GUEST is absolute and defaults to HOST's name in /
 * @image: what it will lie on, so that "/lib/x" stays behind a link /lib
 * @kept: is it new in the store?  A layer of many files, which takes long to make, is kept there
 *        beside @image as an image without a name, and found again by the state of the files.
 * Returns a descriptor to read it from, which is the caller's, or an error.
 */
int layer_from_files(const struct strs *pairs, const struct image *image,
                     const struct layer_opts *opts, bool *kept, struct err *err);
