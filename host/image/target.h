/* What a user may name: a program, a source file, a folder; and the building of it. */
#pragma once

#include "image/image.h"

enum target_kind {
    TARGET_PROGRAM,   /* an ELF executable or a script */
    TARGET_SOURCE,    /* one C or C++ file */
    TARGET_SOURCES,   /* a folder of C or C++ files that make one program */
    TARGET_MAKE,      /* a folder with a Makefile */
    TARGET_CMAKE,     /* ... CMakeLists.txt */
    TARGET_MESON,     /* ... meson.build */
    TARGET_CARGO,     /* ... Cargo.toml */
    TARGET_GO,        /* ... go.mod */
    TARGET_SCRIPTS,   /* a folder of scripts or pages: scripts.h */
    TARGET_INGOTFILE, /* ... Ingotfile; or such a file itself */
    TARGET_CONTAINER, /* an image of Docker, podman or buildah: container.h */
};

struct target {
    enum target_kind kind;
    char *path;   /* as given; for TARGET_INGOTFILE the folder that COPY takes files from */
    char *recipe; /* TARGET_INGOTFILE: path of the Ingotfile */
    char *which;  /* TARGET_CONTAINER: name of the image there; NULL: the only one */
};

/** Look at an existing path, or at what container_word() takes.  ENOEXEC if nothing can be made of
 * it, with what was expected. */
int target_classify(const char *path, struct target *target, struct err *err);

/** Free what @target owns; fit for CLEANUP. */
void target_free(struct target *target);

/**
 * The executable that PATH has for @word, as a shell would start it, owned by the caller; NULL if
 * there is none, or if @word is a path: has a slash, or begins with a dot.
 */
char *target_in_path(const char *word);

/**
 * What @word names of this machine, owned by the caller: a path itself, else what PATH has, else a
 * file or folder of the current folder.  NULL: nothing.
 */
char *target_named(const char *word);

/** Changes to the configuration that a command line asks for. */
struct target_changes {
    int (*apply)(struct image_config *config, const void *values, struct err *err);
    const void *values;
};

/**
 * Build an image of @target and put it into the store.
 * @name: full reference, or NULL; @key: build cache key, or NULL; @changes may be NULL
 */
int target_build(const struct target *target, const struct image_opts *opts, const char *name,
                 const struct target_changes *changes, const char *key, char id[65],
                 struct err *err);
