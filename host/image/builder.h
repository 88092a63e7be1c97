/* An image in the making: its files, its configuration, what lies below; and the ways in which
 * programs, scripts and host files get into it. */
#pragma once

#include "image/closure.h"
#include "image/erofs.h"
#include "image/image.h"
#include "image/tree.h"

struct builder {
    struct tree tree;
    struct closure closure;
    struct image_config config;
    struct strs base;                   /* layers of the image that this one is made FROM */
    const struct image_opts *opts;      /* never NULL */
    char *scratch;                      /* temporary folder inside the store */
    struct timespec began;              /* when: what changes later may be in or not */
    char *program;                      /* host path of the main program, links resolved; or NULL */
    struct strs scripts;                /* guest paths of scripts that it starts by */
    struct strs started;                /* host paths of programs that it may start */
    enum erofs_compression compression; /* what the options say, else an Ingotfile's COMPRESS */
    bool scratch_base;                  /* FROM scratch, or no FROM: needs what every image has */
};

/** Begin an image from nothing. On failure there is nothing to free. */
int builder_init(struct builder *b, const struct image_opts *opts, struct err *err);

/** Free everything, scratch folder included; fit for CLEANUP, also before builder_init(). */
void builder_fini(struct builder *b);

/**
 * Add a program with all it needs: an ELF executable, or a script together with its interpreter.
 * Its command line is appended to @argv: the guest path, for a script the interpreter's first.
 * The first program added decides which runtime extras the image gets.
 */
int builder_add_program(struct builder *b, const char *path, struct strs *argv, struct err *err);

/**
 * Add the libraries of a program whose file is in the tree already, copied from @host.
 * What is no ELF program of this machine is left as it is.
 */
int builder_complete_program(struct builder *b, const char *host, struct err *err);

/**
 * Let the image's programs start another one (label org.ingot.exec), and add that with all it
 * needs.
 * @word: a path, a name to be found in PATH, "@image", "@any", or a folder with a slash at the end.
 * A path may be one of the image already, or of the image below.
 */
int builder_add_exec(struct builder *b, const char *word, struct err *err);

/**
 * Add a program that a shell script of the image names, found in PATH; one that is not there is
 * left out.  Whoever started the image by a shell may start it: docs/decisions/0015.
 */
int builder_add_started(struct builder *b, const char *name, struct err *err);

/** The same for what the image has: only says so in the label.  @word: as above. */
void builder_allow_exec(struct builder *b, const char *word);

/** Add "HOST:GUEST" pairs of --file to @tree. */
int builder_add_pairs(struct tree *tree, const struct strs *pairs, struct err *err);

/**
 * Make the layer and put the image into the store.
 * @name: full reference or NULL; @key: build cache key or NULL; @id gets the image id
 */
int builder_finish(struct builder *b, const char *name, const char *key, char id[65],
                   struct err *err);

/** Tell a user at a terminal what takes its time. */
void builder_progress(const struct builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
