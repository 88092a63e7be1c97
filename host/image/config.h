/* The OCI image configuration: its text and struct image_config, one to the other. */
#pragma once

#include "image/image.h"
#include "lib/json.h"

#include <stddef.h>

/**
 * Take the "config" object out of an OCI image-config.  Untrusted: unknown members are left
 * alone, a wrong type is EINVAL with the member named.  @out is empty before, and on failure.
 */
int config_parse(const json_t *root, struct image_config *out, struct err *err);

/** As config_parse(), from text that may be anything. */
int config_parse_text(const char *text, size_t len, struct image_config *out, struct err *err);

/** The "config" object; a new reference. */
json_t *config_json(const struct image_config *config);

/** Everything set to what an image without settings has: PATH, "/", SIGTERM. */
void config_defaults(struct image_config *config);

/** Set NAME=VALUE in @env, in place of an earlier value. */
void config_setenv(struct strs *env, const char *assignment);

/** The value of NAME in @env, or NULL.  Borrowed. */
const char *config_getenv(const struct strs *env, const char *name);

/**
 * Check the name or number of a signal ("SIGTERM", "term", "15").
 * Returns its number, or 0 if there is no such signal.
 */
int config_signal(const char *name);
