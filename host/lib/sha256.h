/* SHA-256 as the image store names its blobs: "sha256:" and 64 hex digits.  FIPS 180-4. */
#pragma once

#include "lib/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SHA256_HEX = 64, /* digits */
};

/** A digest as text: 64 lower-case hex digits and a NUL, without "sha256:". */
struct sha256_hex {
    char text[SHA256_HEX + 1];
};

/** Digest of @len bytes. */
struct sha256_hex sha256_bytes(const void *bytes, size_t len);

/** Digest and size in bytes of a whole file. */
int sha256_file(const char *path, struct sha256_hex *hex, uint64_t *size, struct err *err);
