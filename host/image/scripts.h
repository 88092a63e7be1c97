/* Project folders that nothing is compiled of: Python, Node, Ruby, PHP, and pages for a server. */
#pragma once

#include "lib/err.h"

#include <stdbool.h>

struct builder;

/** Has the folder a file that says how it is started: package.json, main.py, index.html ... */
bool scripts_know(const char *folder);

/**
 * Put the folder into the image at /app, and what starts it with all it needs: the interpreter of
 * this machine.  Modules that the scripts import come as builder.h has it, packages of a language
 * that were installed into the folder with it (node_modules, .venv).
 * ENOENT: what it wants is not installed; the text says what to run.
 */
int scripts_add(struct builder *b, const char *folder, struct err *err);
