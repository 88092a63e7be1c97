/* The kernel file as a guest in a process maps it: a copy, made once a boot, whose addresses are
 * true already at a place chosen at random.  A guest that maps the file itself relocates its
 * constants, which costs it a page of memory for each page that holds an address. */
#pragma once

/**
 * Open the copy of kernel file @path, which is made if there is none.
 * Returns a descriptor, the caller's; -1 where there can be none, or none is wanted (under a
 * debugger): then the file itself will do.
 */
int kernel_copy_open(const char *path);
