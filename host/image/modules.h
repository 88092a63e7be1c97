/* Modules of languages, as this machine has them installed, for an image: with the packages that
 * they came in, and those that these need. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"

struct tree;

/**
 * Add to @tree the modules @names ("LANGUAGE:NAME", as imports.h finds them) that this machine has.
 * Where no package owns a module, the folder that it lies in comes whole.  What is not found is
 * left out.
 * @program: the interpreter, or a script beside it: one that is not the system's has packages of
 * its own; or NULL
 * @dpkg: folder of the package database, as dpkg_open() takes it
 */
int modules_add(struct tree *tree, const struct strs *names, const char *program, const char *dpkg,
                struct err *err);

/** Append those of @names that this machine has to @found.  @program: as above. */
void modules_installed(const struct strs *names, const char *program, struct strs *found);

/** Append the programs among @names: those that a shell script starts, found in PATH. */
void modules_programs(const struct strs *names, struct strs *programs);

/**
 * Add to @tree what the Debian package of @program has for it at run time: its configuration, data,
 * plugins and the folders it writes to, without programs and what is for people.
 * @language: of a script: the packages of that language which it needs come too; NULL: of an ELF
 * program, with dpkg_family(), of which more than 64 MiB stay behind
 */
int modules_add_of(struct tree *tree, const char *language, const char *program, const char *dpkg,
                   struct err *err);

/** Add to @tree the files of the Debian package @name, but for programs and what is for people;
 * nothing if it is not installed. */
int modules_add_package(struct tree *tree, const char *name, struct err *err);

/** Add to @tree what the Debian package of @program has made at boot: tmpfiles.h. */
int modules_add_boot(struct tree *tree, const char *program, const char *dpkg, struct err *err);
