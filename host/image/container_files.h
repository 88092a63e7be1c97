/* The files that a container image is kept as: a folder (OCI image layout), or an archive of one,
 * or of `docker save`; packed or not. */
#pragma once

#include "image/elf_file.h"
#include "image/layer.h"
#include "lib/buf.h"
#include "lib/err.h"

struct container_file; /* a name in an archive */

struct container_files {
    const char *path; /* as the user wrote it; borrowed */
    bool folder;      /* else an archive */
    struct elf_map archive;
    struct container_file *files; /* of an archive; owned */
    size_t count, cap;
    struct elf_map *maps; /* what was handed out from a folder; owned */
    size_t nr_maps;
};

/**
 * Open what is at @path. @scratch: where a packed archive is unpacked; NULL: that is an error.
 * Errors: EINVAL neither a folder nor an archive, or damaged; what layer_inflate() says.
 */
int container_files_open(struct container_files *c, const char *path, const char *scratch,
                         struct err *err);

/** Let go, and of all slices that were handed out; fit for CLEANUP. */
void container_files_close(struct container_files *c);

/** Is there a file of this name? */
bool container_has(const struct container_files *c, const char *name);

/** Its bytes; links within the archive are followed.  ENOENT names it. */
int container_read(struct container_files *c, const char *name, struct slice *out, struct err *err);

/** Does something that is no folder begin as an archive does, or as a packed file? */
bool container_is_archive(const char *path);
