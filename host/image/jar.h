/* Archives of Java's: what the manifest of one says that it needs besides. */
#pragma once

#include "lib/buf.h"

/**
 * Append the words of the Class-Path of the archive at @path to @words: paths from its own folder,
 * or absolute ones.  An archive that has none, or is damaged, adds nothing.
 * Source: "JAR File Specification", Java SE 17; PKWARE's APPNOTE.TXT 6.3.
 */
void jar_class_path(const char *path, struct strs *words);
