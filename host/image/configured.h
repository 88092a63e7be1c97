/* What has come into a package's own folders of /etc when and after it was installed: files that
 * its scripts made of templates, links that enable modules, what an administrator added. */
#pragma once

#include "image/dpkg.h"
#include "image/tree.h"

/**
 * Add to @tree what stands in the folders directly below /etc that are among @files, a package's,
 * and belong to no package but those of @family.  What not everybody may read stays behind, as do
 * keys and passwords; so does what is large.
 */
int configured_add(struct tree *tree, const struct dpkg *dpkg, const struct strs *family,
                   const struct strs *files, struct err *err);
