/* What Debian's package manager knows of this machine's files: whose they are, and which other
 * packages their package needs.  Read from its own files (deb-status(5) and dpkg(1): "FILES"); on a
 * machine without them nobody owns anything. */
#pragma once

#include "lib/buf.h"

#include <stdbool.h>

struct dpkg {
    char *folder;      /* "/var/lib/dpkg"; owned */
    struct buf status; /* all of its file `status`; empty where there is none */
};

/** Read what is installed by the database in @folder; NULL: this machine's. */
void dpkg_open(struct dpkg *dpkg, const char *folder);

/** Free what @dpkg owns; fit for CLEANUP. */
void dpkg_close(struct dpkg *dpkg);

/** The package that brought the file or folder @path ("python3-flask"; the first by name, if
 * several did), owned by the caller; NULL: none. */
char *dpkg_owner(const struct dpkg *dpkg, const char *path);

/** Append the absolute paths that @package brought, folders among them, to @paths. */
void dpkg_files(const struct dpkg *dpkg, const char *package, struct strs *paths);

/**
 * Append the packages that hold what @package needs beside its libraries: itself; of those that it
 * and its kin depend on the ones made from the same source, or for data by their names (-common,
 * -data); that of the same source whose name its own begins with ("tinyproxy" of "tinyproxy-bin");
 * and those of the same source that need it, its plugins ("pdns-backend-bind" of "pdns-server").
 */
void dpkg_family(const struct dpkg *dpkg, const char *package, struct strs *names);

/** Is the folder @path that of a package beside @family, too? */
bool dpkg_is_shared(const struct dpkg *dpkg, const char *path, const struct strs *family);

/** Append the names of the packages that @package needs to @names: of alternatives the first. */
void dpkg_depends(const struct dpkg *dpkg, const char *package, struct strs *names);
