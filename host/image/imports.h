/* What scripts import: `from flask import Flask`, `require 'sinatra'`, `use Mojolicious::Lite`.
 * The interpreter's own library is in its section of runtimes.txt; what was installed besides is
 * found by reading the script: modules beside it come along as files, and those of this machine
 * with the package that they came in and the packages which that one needs.
 * Lines are matched, not parsed: a name too many is looked for in vain, and a module whose name the
 * script computes is not seen (--with, --file). */
#pragma once

#include "lib/buf.h"

/** The language of a script, by its name or by its interpreter's ("/usr/bin/python3", "x.rb");
 * a word of the table's, or NULL. */
const char *imports_language(const char *name);

/** What was found: files and folders of the user's, and names of modules. */
struct imports {
    struct strs files; /* host paths, beside the scripts that name them */
    struct strs names; /* "LANGUAGE:NAME", each once; local ones are not among them */
};

/** Free what @imports owns; fit for CLEANUP. */
void imports_free(struct imports *imports);

/** Add what the script @path imports, and what the modules beside it import in turn.
 * @language: of imports_language(), or NULL for none */
void imports_scan_file(struct imports *imports, const char *language, const char *path);

/** The same for a text of the command line; modules are looked for in @folder. */
void imports_scan_text(struct imports *imports, const char *language, const char *text,
                       const char *folder);

/** Add one module by its name, as `python3 -m NAME` has it. */
void imports_add(struct imports *imports, const char *language, const char *name,
                 const char *folder);
