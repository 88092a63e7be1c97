/* Where the files are that belong to this program: the kernel, and programs beside it. */
#pragma once

/**
 * @name: beside this program's own file, in ../libexec/ingot from there, or where it was installed.
 * Returns a string owned by the caller, or NULL: it is in none of them.
 */
char *own_path(const char *name);
