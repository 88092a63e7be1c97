/* Where a dynamic linker looks for a library.  Sources: ld.so(8); musl's ldso and its
 * /etc/ld-musl-x86_64.path. */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

struct closure;
struct closure_object;

/**
 * The path of library @name as the linker of @object would find it, or NULL.
 * @by_name_alone: set when the system's own places had it, not the object's search path
 */
char *search_library(const struct closure *closure, const struct closure_object *object,
                     const char *name, bool *by_name_alone);

/** Append the places that search_library() looks in, as a list for an error. */
void search_describe(const struct closure *closure, const struct closure_object *object,
                     struct buf *out);

/** Append the folders that an ld.so.conf names, `include`d files followed. */
void search_read_conf(const char *path, struct strs *dirs);

/** Append the folders that musl's linker searches. */
void search_read_musl(struct strs *dirs);

/** Is this one of the names that musl's linker answers to itself (libc.so, libm.so ...)? */
bool search_musl_itself(const char *name);

/**
 * Append the folders of a DT_RPATH or DT_RUNPATH, with $ORIGIN, $LIB and $PLATFORM replaced.
 * @origin: the folder of the object, links resolved
 * @lib:    what $LIB stands for: "lib/x86_64-linux-gnu" or "lib64"
 */
void search_expand(const char *list, const char *origin, const char *lib, struct strs *dirs);
