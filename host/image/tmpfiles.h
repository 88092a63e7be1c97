/* What a Debian package has made when a machine starts: the folders, files and links of its
 * tmpfiles.d(5), and the folders that its units ask for (systemd.exec(5), RuntimeDirectory= and its
 * kin).  A guest has no such start: its image brings them along. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

struct tree;

/**
 * Add to @tree what those of @files (absolute paths of a package's files) ask for that are a
 * tmpfiles.d/NAME.conf or a NAME.service.  What the image has stays; lines that say nothing for a
 * guest that begins from nothing (cleaning, attributes, devices) are passed over, as are those that
 * tmpfiles.d(5) does not know.
 */
int tmpfiles_add(struct tree *tree, const struct strs *files, struct err *err);
