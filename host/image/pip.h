/* What pip has installed: which packages a module needs, by their *.dist-info folders ("Recording
 * installed projects" and "Core metadata" of the Python Packaging User Guide). */
#pragma once

#include "image/tree.h"

/**
 * Add to @tree the package that brought the file @module, and the packages that it needs, as far as
 * they are installed in the same folder (site-packages or dist-packages); what they need for an
 * "extra" alone is left out.
 * Returns 1 if the packages were added, 0 if none is known to have brought it.
 */
int pip_add(struct tree *tree, const char *module, struct err *err);
