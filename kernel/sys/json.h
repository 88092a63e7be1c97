/* A strict JSON reader (RFC 8259) over a buffer, without allocation: the text is cut up in place
 * and the caller gives the nodes.  Depth is bounded.  Strings are UTF-8 and cannot hold a NUL. */
#pragma once

#include "lib/types.h"

enum { JSON_MAX_DEPTH = 32 };

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_node {
    u32 type;         /* enum json_type */
    u32 next;         /* index of the next member or element; 0: the last */
    u32 first;        /* of an array or object: index of the first; 0: empty */
    const char *key;  /* of a member: its name; else NULL */
    const char *text; /* of a string: NUL-terminated; else NULL (a number's value is not kept) */
};

/**
 * Read the @len bytes at @text, which are cut up.  The root is nodes[0].
 * Returns the number of nodes, -EINVAL (no JSON; *@where is the offset, unless NULL) or -E2BIG
 * (more than @max nodes).
 */
int json_parse(char *text, size_t len, struct json_node *nodes, u32 max, size_t *where);

/** The member of @object called @key (the first one), or NULL; @object may be NULL or no object. */
const struct json_node *json_member(const struct json_node *nodes, const struct json_node *object,
                                    const char *key);
/** First and next of an array or object; NULL at the end, or where there is none. */
const struct json_node *json_first(const struct json_node *nodes, const struct json_node *parent);
const struct json_node *json_next(const struct json_node *nodes, const struct json_node *node);
/** The text of a string node; NULL for anything else. */
const char *json_string(const struct json_node *node);
