/* What an ELF program needs to be loaded, found without running it: its interpreter and its
 * libraries, by the search rules of that interpreter (glibc's ld.so(8), or musl's). */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/types.h"

#include "image/elf_file.h"
#include "image/ld_cache.h"

struct tree;

enum closure_libc {
    CLOSURE_NONE, /* static */
    CLOSURE_GLIBC,
    CLOSURE_MUSL,
};

/** One program or library of the closure. */
struct closure_object {
    char *name; /* the name it was asked for by: "libm.so.6", or a path */
    char *path; /* host path, links not followed */
    struct elf_map map;
    struct elf_file elf;
    const struct closure_object *loader; /* who asked first; NULL for the program itself */
    enum closure_libc libc;              /* whose rules find its libraries */
};

/** A closure in the making.  Zero it, then closure_init(). */
struct closure {
    struct tree *tree; /* gets every file found; borrowed */
    struct closure_object **objects;
    size_t len;
    struct elf_map cache_map;
    struct ld_cache cache; /* count 0: none */
    struct strs conf_dirs; /* of /etc/ld.so.conf, used where there is no cache */
    struct strs musl_dirs;
    struct strs cached; /* libraries found by name alone: what the guest's cache has to know */
};

/** Begin; found files go to @tree, which must outlive the closure. */
void closure_init(struct closure *closure, struct tree *tree);

/** Free what it owns; fit for CLEANUP. */
void closure_free(struct closure *closure);

/**
 * Add a program: the file itself (unless it is @in_tree already, wherever), its interpreter, all
 * its libraries.
 * Errors: what elf_parse() reports, with the path; ENOENT for a missing interpreter or library,
 * naming it, who needs it and where it was looked for.
 */
int closure_add_program(struct closure *closure, const char *path, bool in_tree, struct err *err);

/**
 * Add the libraries that the shared object at @path needs (the file itself is in the tree
 * already), as if the first program had opened it at run time.  What is missing is left out.
 * Returns 0 also where @path is not for this machine.
 */
int closure_add_plugin(struct closure *closure, const char *path, struct err *err);

/** Add a library by name, as dlopen() would find it.  Returns false if there is none. */
bool closure_add_library(struct closure *closure, const char *name);

/** Write /etc/ld.so.cache for the guest, if a glibc program is in the closure. */
int closure_finish(struct closure *closure, struct err *err);

/** Does an object other than the C library itself name this symbol? */
bool closure_names(const struct closure *closure, const char *symbol);
