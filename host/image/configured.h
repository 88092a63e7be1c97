/* What has come into a package's own folders of /etc when and after it was installed: files that
 * its scripts made of templates, links that enable modules, what an administrator added. */
#pragma once

#include "image/dpkg.h"
#include "image/tree.h"

/**
 * Add to @tree what stands in the folders directly below /etc that are among @files, a package's,
 * and belong to no package but those of @family and of their source.  What is root's alone stays
 * behind, as do the administrator's keys and passwords; what may be read by a user or group that a
 * package made for its service (100 to 999) is that service's.  So does what is large.
 */
int configured_add(struct tree *tree, const struct dpkg *dpkg, const struct strs *family,
                   const struct strs *files, struct err *err);

/**
 * Add folders of /var that are named for a package of @family and belong to a user that a package
 * made, empty: their scripts make them, so no list of files has them.
 */
int configured_add_kept(struct tree *tree, const struct strs *family, struct err *err);

/**
 * Add the files of this machine that configuration below /etc in @tree names by an absolute path,
 * under the same rule, empty folders below /var, and the folders of files that it wants
 * below /run.  Remarks name nothing, nor does what stands in
 * a folder "...-available" without a link to it; programs stay behind.
 */
int configured_add_named(struct tree *tree, struct err *err);
