/* The names of images: name[:tag], a registry's host and port allowed, as Docker writes them. */
#pragma once

#include "lib/err.h"

/**
 * Check @text and complete it with ":latest" where it has no tag.
 * Returns the whole name, owned by the caller, or NULL with @err set (ERR_USAGE).
 */
char *reference_full(const char *text, struct err *err);

/** A name made from any text: letters lowered, what is not allowed replaced by '-'. Owned. */
char *reference_from(const char *text);

/** The ':' that begins the tag of a full name, or NULL.  Borrowed. */
const char *reference_tag(const char *name);
